import io
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from evaluation import figures
from evaluation.overlays import PANEL, Example, blend, choose_examples, draw_overlay, mosaic

SIDE = 64


def example(**changes: object) -> Example:
    rng = np.random.default_rng(0)
    settings_ = {
        "sample": 3,
        "image": "00000001_000.png",
        "finding": "Mass",
        "probability": 0.83,
        "film": rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8),
        "maps": {"iba": rng.random((SIDE, SIDE), dtype=np.float32)},
        "box": (100.0, 200.0, 300.0, 400.0),
    }
    return Example(**settings_ | changes)


def rendered(film: np.ndarray, heat: np.ndarray | None, box: tuple | None) -> np.ndarray:
    """RGB of one overlay that fills a figure of 512 px: 1 px is 2 units of the 1024 frame."""
    figure = Figure(figsize=(5.12, 5.12), dpi=100)
    draw_overlay(figure.add_axes((0, 0, 1, 1)), film, heat, box, side=512)
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
    picture = rendered(np.full((SIDE, SIDE), 100, np.uint8), heat, None)
    coloured = np.argwhere(np.ptp(picture, axis=2) > 0)
    np.testing.assert_allclose(coloured.mean(axis=0), [51.5 * 8 + 4, 11.5 * 8 + 4], atol=1)


def test_a_film_and_a_map_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"film \(64, 64\) and map \(32, 32\)"):
        rendered(example().film, np.zeros((32, 32)), None)


def test_bits_per_pixel_maps_share_one_scale_and_others_have_their_own():
    ramp = np.repeat(np.linspace(0, 1, SIDE, dtype=np.float32)[:, None], SIDE, axis=1)
    maps = {"iba": 0.04 * ramp, "gradient": 7 * ramp, "inverse_iba": 0.01 * ramp, "random": ramp}
    figure = mosaic([example(maps=maps, film=np.zeros((SIDE, SIDE), np.uint8), box=None)])
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
    assert figures.png(figure)


def test_a_row_names_finding_probability_and_film_even_one_with_dollar_signs():
    figure = mosaic([example(image="$a_$.png")])
    texts = [text.get_text() for text in figure.texts]
    assert "Mass · predicted probability 0.83" in texts
    assert "$a_$.png" in texts
    assert figures.png(figure)


def test_panels_are_pixel_for_pixel_in_the_png():
    film = example().film
    png = figures.png(mosaic([example(box=None)]))
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    expected = np.asarray(Image.fromarray(film).resize((PANEL, PANEL), Image.Resampling.BICUBIC))
    windows = [picture[y : y + PANEL, 14 : 14 + PANEL, 0] for y in range(80, 110)]
    assert any(np.abs(window.astype(int) - expected).max() <= 1 for window in windows)


def test_the_same_examples_give_the_same_bytes():
    assert figures.png(mosaic([example()])) == figures.png(mosaic([example()]))


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


def by_brute_force(samples: pd.DataFrame, probabilities: list[float], count: int) -> list[int]:
    chosen = []
    for finding in dict.fromkeys(samples["finding"]):
        members = [i for i in range(len(samples)) if samples["finding"].iloc[i] == finding]
        exact = sorted(Fraction(probabilities[i]) for i in members)
        median = (exact[(len(exact) - 1) // 2] + exact[len(exact) // 2]) / 2
        members.sort(
            key=lambda i: (abs(Fraction(probabilities[i]) - median), samples["sample"].iloc[i])
        )
        chosen += members[:count]
    return chosen


@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 64)), min_size=1, max_size=25),
    count=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_examples_are_the_nearest_to_their_findings_median(rows, count, seed):
    # Sixty-fourths are exact in floats, so ties are frequent and real.
    samples = pd.DataFrame({"finding": [finding for finding, _ in rows]})
    samples["sample"] = np.random.default_rng(seed).permutation(len(rows))
    samples.index = samples.index + 1000  # positions, not labels, are returned
    probabilities = [number / 64 for _, number in rows]
    chosen = choose_examples(samples, probabilities, count)
    assert list(chosen) == by_brute_force(samples, probabilities, count)


def test_the_two_middle_samples_tie_whatever_their_last_bits():
    samples = pd.DataFrame({"sample": [7, 5], "finding": "Mass"})
    for low in np.random.default_rng(0).random(50):
        assert list(choose_examples(samples, [low, 0.9871234567], 1)) == [1]


@pytest.mark.parametrize(
    ("probabilities", "count", "message"),
    [([0.5], 1, "each of 2"), ([0.5, np.nan], 1, "NaN"), ([0.5, 0.6], 0, "examples_per_finding")],
)
def test_unusable_probabilities_or_counts_are_refused(probabilities, count, message):
    samples = pd.DataFrame({"sample": [0, 1], "finding": "Mass"})
    with pytest.raises(ValueError, match=message):
        choose_examples(samples, probabilities, count)
