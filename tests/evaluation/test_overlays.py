"""Heat, boxes and zones lie over the pixels that they belong to."""

import io
from functools import partial

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from evaluation import charts
from evaluation.overlays import (
    COLUMNS,
    PANEL,
    ScoredZones,
    blend,
    by_severity,
    colours,
    draw_boxes,
    draw_overlay,
    draw_zones,
    mosaic,
    shares,
)
from tests.evaluation import shown

SIDE = 64
example = partial(shown.example, SIDE)


def panels(figure: Figure) -> list[Axes]:
    """All that show a film, in their order; not the colour bar."""
    return [axes for axes in figure.axes if not axes.axison]


def rendered(film: np.ndarray, heat: np.ndarray | None, *boxes: tuple) -> np.ndarray:
    """RGB of one overlay that fills a figure of 512 px: 1 px is 2 units of the 1024 frame."""
    figure = Figure(figsize=(5.12, 5.12), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    draw_overlay(axes, film, heat, side=512)
    draw_boxes(axes, boxes)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


def test_the_box_is_drawn_where_the_1024_frame_says():
    grey = np.full((SIDE, SIDE), 100, np.uint8)
    changed = (rendered(grey, None, (200, 400, 300, 100)) != 100).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    # Edges are lines some pixels wide, centred on x = 200, 500 and y = 400, 500 of 1024.
    np.testing.assert_allclose([columns[0], columns[-1]], [100, 250], atol=4)
    np.testing.assert_allclose([rows[0], rows[-1]], [200, 250], atol=4)
    assert changed[225, 100]
    assert not changed[210:240, 110:240].any()


def test_a_map_of_zeros_shows_the_film_as_it_is():
    film = example().film
    shown = blend(film, np.zeros((SIDE, SIDE), np.float32), SIDE)
    np.testing.assert_array_equal(shown, np.repeat(film[..., None] / 255, 3, axis=2))


def test_heat_covers_more_where_it_is_higher_but_never_hides_the_film():
    heat = np.repeat(np.linspace(0, 1, SIDE, dtype=np.float32)[:, None], SIDE, axis=1)
    black, white = (blend(np.full((SIDE, SIDE), v, np.uint8), heat, SIDE) for v in (0, 255))
    visible = (white - black)[:, 0, 0]  # what is left of the film's range
    assert (np.diff(visible) < 0).all()
    assert visible[0] == 1
    assert visible[-1] > 0.15


def test_heat_lies_over_the_pixels_it_belongs_to():
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[48:56, 8:16] = 1
    picture = rendered(np.full((SIDE, SIDE), 100, np.uint8), heat)
    coloured = np.argwhere(np.ptp(picture, axis=2) > 0)
    np.testing.assert_allclose(coloured.mean(axis=0), [51.5 * 8 + 4, 11.5 * 8 + 4], atol=1)


def test_a_film_and_a_map_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"film \(64, 64\) and map \(32, 32\)"):
        rendered(example().film, np.zeros((32, 32)))


def test_each_map_reaches_full_colour_at_its_own_maximum_which_is_written_below():
    ramp = np.repeat(np.linspace(0, 1, SIDE, dtype=np.float32)[:, None], SIDE, axis=1)
    maps = {"iba": 0.04 * ramp, "gradient": 7 * ramp, "inverse_iba": 2 * ramp}
    figure = mosaic([example(maps=maps, film=np.zeros((SIDE, SIDE), np.uint8), boxes=())])
    film, iba, gradient, inverse = (axes.images[0].get_array() for axes in panels(figure))
    assert film.max() == 0
    np.testing.assert_allclose(iba, gradient, atol=1e-6)
    np.testing.assert_allclose(iba, inverse, atol=1e-6)
    texts = [text.get_text() for text in figure.texts]
    assert "maximum 0.04 bits/pixel" in texts
    assert "maximum 2 bits/pixel" in texts
    assert sum("maximum" in text for text in texts) == 3  # the third is the colour bar's


def test_a_mosaic_of_many_methods_goes_on_in_the_next_line():
    maps = dict.fromkeys("abcdefg", np.ones((SIDE, SIDE), np.float32))
    figure = mosaic([example(maps=maps)])
    tops = [round(axes.get_position().y1, 6) for axes in panels(figure)]
    assert [tops.count(top) for top in sorted(set(tops), reverse=True)] == [COLUMNS, 3]
    assert (
        figure.get_figwidth()
        == mosaic([example(maps=dict.fromkeys("abcd", maps["a"]))]).get_figwidth()
    )


def test_no_words_of_a_panel_reach_into_the_next_panel_or_out_of_the_figure():
    name = "inverse_iba"
    notes = ("Detector3 predicts 0.56", "probability behind: 0.05", "100 % in zones of score 3")
    row = example(
        maps={name: np.full((SIDE, SIDE), 0.0123, np.float32)} | example().maps,
        iou={name: 0.31},
        notes={name: notes},
        image="1.2.826.0.1.3680043.8.498.25137512.png",
        role="Worst of Inverse IBA",
        finding="Pleural_Thickening",
        hung=True,
    )
    figure = mosaic([row])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    whole = figure.bbox
    for text in figure.texts:
        extent = text.get_window_extent()
        assert whole.x0 <= extent.x0 < extent.x1 <= whole.x1, text.get_text()
        assert whole.y0 <= extent.y0 < extent.y1 <= whole.y1, text.get_text()
        if text.get_text() in (*notes, "maximum 0.012 bits/pixel", "IoU 0.31 · 50 bits"):
            assert extent.width <= PANEL


@pytest.mark.parametrize("value", [0, -1])
def test_maps_without_positive_values_say_so(value):
    maps = dict.fromkeys(("iba", "lrp"), np.full((SIDE, SIDE), value, np.float32))
    figure = mosaic([example(maps=maps)])
    assert [text.get_text() for text in figure.texts].count("no value above 0") == 2
    assert charts.png(figure)


def test_a_row_names_finding_probability_and_film_even_one_with_dollar_signs():
    figure = mosaic([example(image="$a_$.png")])
    texts = [text.get_text() for text in figure.texts]
    assert "Mass · predicted probability 0.83" in texts
    assert "$a_$.png" in texts
    assert charts.png(figure)


def test_panels_are_pixel_for_pixel_in_the_png():
    film = example().film
    png = charts.png(mosaic([example(boxes=())]))
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    expected = np.asarray(Image.fromarray(film).resize((PANEL, PANEL), Image.Resampling.BICUBIC))
    windows = [picture[y : y + PANEL, 14 : 14 + PANEL, 0] for y in range(80, 120)]
    assert any(np.abs(window.astype(int) - expected).max() <= 1 for window in windows)


def test_the_same_examples_give_the_same_bytes():
    assert charts.png(mosaic([example()])) == charts.png(mosaic([example()]))


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([], "one example at least"),
        ([example(), example(maps={})], "same methods"),
        ([example(maps={"iba": np.full((SIDE, SIDE), np.nan, np.float32)})], "iba map of sample 3"),
    ],
)
def test_examples_that_cannot_be_drawn_are_refused_with_the_reason(examples, message):
    with pytest.raises(ValueError, match=message):
        mosaic(examples)


def test_a_description_names_finding_probability_and_every_map_with_its_scale_and_notes():
    maps = {"iba": np.full((8, 8), 0.04, np.float32), "grad_cam": np.zeros((8, 8), np.float32)}
    known = {"iou": {"iba": 0.31}, "notes": {"iba": ("behind: 0.05",)}}
    text = example(maps=maps, **known, role="Median film")
    text = text.describe()
    assert text.startswith("Median film. Film 00000001_000.png with the box of Mass: Mass")
    assert "0.83" in text
    assert "IBA, maximum 0.04 bits/pixel, IoU 0.31 · 2.6 bits, behind: 0.05;" in text
    assert "GradCAM, no value above 0" in text


def zones(marked: int | None = None) -> ScoredZones:
    """Six zones of 16 x 24 pixels in two columns; the last is empty."""
    masks = np.zeros((6, SIDE, SIDE), bool)
    for zone in range(5):
        top, left = 4 + 18 * (zone % 3), 4 + 32 * (zone // 3)
        masks[zone, top : top + 16, left : left + 24] = True
    return ScoredZones(masks, np.array([0, 1, 2, 3, 3, 0]), marked)


def test_zones_are_outlined_where_they_lie_and_named_by_their_score():
    figure = Figure(figsize=(5.12, 5.12), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    draw_overlay(axes, np.full((SIDE, SIDE), 100, np.uint8), None, side=512)
    draw_zones(axes, zones(), scores=True)
    written = {text.get_text(): text.get_position() for text in axes.texts}
    assert sorted(text.get_text() for text in axes.texts) == ["0", "1", "2", "3", "3"]
    assert written["0"] == (256.0, 192.0)  # middle of columns 4 to 27, rows 4 to 19, of 16 units
    (first, *_) = axes.collections
    (outline,) = first.get_paths()
    low, high = outline.vertices.min(axis=0), outline.vertices.max(axis=0)
    np.testing.assert_allclose([low, high], [[64, 64], [448, 320]], atol=16)


def test_zones_of_the_marked_score_alone_stand_out():
    axes = Figure().add_axes((0, 0, 1, 1))
    draw_zones(axes, zones(marked=3), scores=False)
    widths = [float(lines.get_linewidths()[0]) for lines in axes.collections]
    assert np.argsort(widths)[-2:].tolist() == [3, 4]
    assert widths[0] == widths[1] == widths[2] < widths[3] == widths[4]


def test_severity_colours_each_zone_by_a_third_of_its_score():
    heat = by_severity(zones())
    assert heat[4, 4] == 0
    np.testing.assert_allclose([heat[22, 4], heat[40, 4], heat[4, 36]], [1 / 3, 2 / 3, 1])
    assert heat[0, 0] == 0


def test_the_row_of_a_scored_film_says_both_severities_and_colours_the_zones():
    row = example(boxes=(), zones=zones(), probability=None, severity=9.34, finding="Severity")
    figure = mosaic([row])
    texts = [text.get_text() for text in figure.texts]
    assert "predicted severity 9.3 of 18 · scored 9 of 18" in texts
    assert "Scores of the zones, 0 to 3" in texts
    assert "scores 0, 1, 2, 3, 3, 0" in row.describe()
    film, scores, iba = panels(figure)
    assert [len(axes.texts) for axes in (film, scores, iba)] == [0, 5, 0]
    assert [len(axes.collections) for axes in (film, scores, iba)] == [0, 5, 5]


def test_sides_are_named_only_where_they_are_known():
    named, unnamed = (
        {text.get_text() for text in mosaic([example(hung=hung)]).texts} for hung in (True, False)
    )
    assert named - unnamed == {"R", "L"}


def test_a_maps_notes_stand_below_it_line_by_line():
    row = example(iou={"iba": 0.31}, notes={"iba": ("first", "second")})
    heights = {text.get_text(): text.get_position()[1] for text in mosaic([row]).texts}
    bits = f"IoU 0.31 · {row.maps['iba'].sum():,.0f} bits"
    order = ["maximum 1 bits/pixel", bits, "first", "second"]
    assert sorted(order, key=lambda text: -heights[text]) == order


def test_boxes_and_the_causal_outline_lie_over_the_maps_and_the_film_is_plain():
    causal = np.zeros((SIDE, SIDE), bool)
    causal[8:24, 16:32] = True
    boxes = ((0.0, 0.0, 100.0, 100.0), (500.0, 0.0, 100.0, 100.0))
    film, iba = panels(mosaic([example(boxes=boxes, causal=causal)]))
    assert not film.patches
    assert not film.collections
    assert len(iba.patches) == 2
    (outline,) = iba.collections[0].get_paths()
    low, high = outline.vertices.min(axis=0), outline.vertices.max(axis=0)
    np.testing.assert_allclose([low, high], [[256, 128], [512, 384]], atol=16)


def test_shares_are_of_a_maps_own_maximum():
    np.testing.assert_array_equal(shares(np.array([[4.0, 2, -1]])), [[1, 0.5, 0]])
    np.testing.assert_array_equal(shares(np.array([[-1.0, 0]])), [[0, 0]])


def test_colours_are_transparent_at_0_and_never_hide_the_film():
    opacity = colours(np.linspace(0, 1, 5))[:, 3]
    assert opacity[0] == 0
    assert (np.diff(opacity) > 0).all()
    assert opacity[-1] < 1
