"""Heat, boxes and zones lie over the pixels that they belong to."""

import io
from functools import partial

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from evaluation import charts
from evaluation.overlays import (
    PANEL,
    ScoredZones,
    blend,
    by_severity,
    colours,
    draw_overlay,
    draw_zones,
    mosaic,
    shares,
)
from tests.evaluation import shown

SIDE = 64
example = partial(shown.example, SIDE)


def rendered(film: np.ndarray, heat: np.ndarray | None, *boxes: tuple) -> np.ndarray:
    """RGB of one overlay that fills a figure of 512 px: 1 px is 2 units of the 1024 frame."""
    figure = Figure(figsize=(5.12, 5.12), dpi=100)
    draw_overlay(figure.add_axes((0, 0, 1, 1)), film, heat, boxes, side=512)
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


def test_bits_per_pixel_maps_share_one_scale_and_others_have_their_own():
    ramp = np.repeat(np.linspace(0, 1, SIDE, dtype=np.float32)[:, None], SIDE, axis=1)
    maps = {"iba": 0.04 * ramp, "gradient": 7 * ramp, "inverse_iba": 0.01 * ramp, "random": ramp}
    figure = mosaic([example(maps=maps, film=np.zeros((SIDE, SIDE), np.uint8), boxes=())])
    panels = [axes for axes in figure.axes if not axes.axison]
    films, gradient, random, iba, inverse = (panel.images[0].get_array() for panel in panels)
    np.testing.assert_allclose(gradient, random, atol=1e-6)
    np.testing.assert_allclose(gradient, iba, atol=1e-6)
    assert inverse.max() < iba.max()
    assert films.max() == 0
    relative_bar, bits_bar = (axes for axes in figure.axes if axes.axison)
    assert [t.get_text() for t in relative_bar.get_yticklabels()][-1] == "1"
    assert bits_bar.get_ylim() == pytest.approx((0, 0.04))
    assert {"bits/pixel", "own max.", "IBA", "Gradients"} <= {t.get_text() for t in figure.texts}


@pytest.mark.parametrize("value", [0, -1])
def test_maps_without_positive_values_say_so(value):
    maps = dict.fromkeys(("iba", "lrp"), np.full((SIDE, SIDE), value, np.float32))
    figure = mosaic([example(maps=maps)])
    notes = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert notes == ["no value above 0"] * 2
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
    windows = [picture[y : y + PANEL, 14 : 14 + PANEL, 0] for y in range(80, 110)]
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


def test_a_description_names_finding_probability_and_every_method_with_its_unit():
    maps = {"iba": np.zeros((8, 8), np.float32), "grad_cam": np.zeros((8, 8), np.float32)}
    text = example(maps=maps).describe()
    assert "Mass" in text
    assert "0.83" in text
    assert "own maximum: GradCAM" in text
    assert "bits/pixel on one scale: IBA" in text


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
    figure = mosaic([row], severity=True)
    texts = [text.get_text() for text in figure.texts]
    assert "Predicted severity 9.3 of 18 · scored 9 of 18" in texts
    assert "Severity, 0 to 3 a zone" in texts
    assert "scores 0, 1, 2, 3, 3, 0" in row.describe()
    with pytest.raises(ValueError, match="no zones"):
        mosaic([example()], severity=True)


def test_sides_are_named_only_where_they_are_known():
    named, unnamed = (
        {text.get_text() for text in mosaic([example(hung=hung)]).texts} for hung in (True, False)
    )
    assert named - unnamed == {"R", "L"}


def test_a_maps_note_stands_below_it_and_in_the_description():
    row = example(notes={"iba": "IoU 0.31"})
    assert "IoU 0.31" in [text.get_text() for text in mosaic([row]).texts]
    assert "IBA: IoU 0.31." in row.describe()


def test_every_box_of_a_finding_is_drawn():
    two = mosaic([example(boxes=((0.0, 0.0, 100.0, 100.0), (500.0, 0.0, 100.0, 100.0)))])
    assert len(two.axes[0].patches) == 2
    assert "Film and boxes" in [text.get_text() for text in two.texts]


def test_shares_of_bits_maps_are_of_their_common_maximum():
    maps = {"iba": np.array([[0.0, 2]]), "inverse_iba": np.array([[1.0, -1]]), "lrp": np.eye(1, 2)}
    share, tops = shares(maps)
    assert tops == {"iba": 2, "inverse_iba": 2, "lrp": 1}
    np.testing.assert_array_equal(share["inverse_iba"], [[0.5, 0]])


def test_colours_are_transparent_at_0_and_never_hide_the_film():
    opacity = colours(np.linspace(0, 1, 5))[:, 3]
    assert opacity[0] == 0
    assert (np.diff(opacity) > 0).all()
    assert opacity[-1] < 1
