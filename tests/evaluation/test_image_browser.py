"""What the browser's layers show is what the figures show."""

import base64
import io
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from evaluation.image_browser import ImageBrowser, choose_films, layer, outlines
from evaluation.overlays import OPACITY, ScoredZones, blend
from tests.evaluation import shown

SIDE = 16


example = partial(
    shown.example,
    SIDE,
    boxes=((102.4, 0.0, 512.0, 256.0),),
    iou={"iba": 0.31},
    notes={"iba": ("behind: 0.05",)},
)


def browser(*examples) -> ImageBrowser:
    return ImageBrowser("rule", {"Findings": examples})


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(";base64,")[1])))


def test_a_layer_over_its_film_at_the_first_opacity_is_the_overlay_of_the_figures():
    given = example(film=np.full((SIDE, SIDE), 80, np.uint8))  # even, so that a JPEG is true
    film = browser(given).films[0]
    np.testing.assert_array_equal(np.asarray(decoded(film["film"])), given.film)
    heat = given.maps["iba"] / given.maps["iba"].max()
    rgba = np.asarray(decoded(film["maps"]["iba"]["layer"]).convert("RGBA")) / 255
    opacity = browser(given).opacity / 100 * rgba[..., 3:]
    laid_over = (1 - opacity) * given.film[..., None] / 255 + opacity * rgba[..., :3]
    np.testing.assert_allclose(laid_over, blend(given.film, heat, SIDE), atol=0.02)
    assert browser(given).opacity == 100 * OPACITY


def test_a_layer_is_opaque_at_its_maximum_and_absent_at_0():
    image = layer(np.array([[0.0, 1.0]]))
    assert image.mode == "P"
    assert np.asarray(image.convert("RGBA"))[0, :, 3].tolist() == [0, 255]


def test_each_map_is_opaque_at_its_own_maximum_which_is_named_where_it_has_a_unit():
    ones = np.ones((SIDE, SIDE), np.float32)
    maps = {"iba": 0.04 * ones, "inverse_iba": 2 * ones, "lrp": 7 * ones}
    film = browser(example(maps=maps, notes={})).films[0]
    tops = [film["maps"][method]["top"] for method in maps]
    assert tops == ["0.04 bits/pixel", "2 bits/pixel", "its own maximum"]
    for method in maps:
        layer = decoded(film["maps"][method]["layer"]).convert("RGBA")
        assert np.asarray(layer)[0, 0, 3] == 255


def test_a_map_without_positive_values_is_said_to_be_empty():
    maps = {"iba": -np.ones((SIDE, SIDE), np.float32)}
    film = browser(example(maps=maps)).films[0]
    assert film["maps"]["iba"]["top"] == "no value above 0"


def test_the_page_gets_plain_values_with_boxes_in_percent():
    film = json.loads(json.dumps(browser(example()).films))[0]
    assert film["boxes"] == [[10, 0, 50, 25]]
    bits = example().maps["iba"].sum()
    assert film["maps"]["iba"]["note"] == f"IoU 0.31 · {bits:.0f} bits · behind: 0.05"
    assert film["headline"] == "Mass · predicted probability 0.83"


def test_a_browser_without_films_is_refused():
    with pytest.raises(ValueError, match="one film at least"):
        ImageBrowser("rule", {"Findings": []})


def zones(**changes: object) -> ScoredZones:
    """Six stripes of two rows, scored 0, 1, 2, 3, 3, 0; the last is empty."""
    masks = np.zeros((6, SIDE, SIDE), bool)
    for number in range(5):
        masks[number, 3 * number : 3 * number + 3] = True
    return ScoredZones(masks, np.array([0, 1, 2, 3, 3, 0]), **changes)


def test_a_scored_film_has_its_zones_outlined_and_a_score_in_the_middle_of_each():
    film = browser(example(zones=zones())).films[0]
    assert decoded(film["zones"]).size == (SIDE, SIDE)
    assert [score for _, _, score in film["scores"]] == ["0", "1", "2", "3", "3"]
    assert film["scores"][0][:2] == (50.0, 9.4)  # of 16 rows the first three
    assert "scored 9 of 18" in film["headline"]


def test_outlines_leave_the_inside_free_and_marked_zones_stand_out():
    rgba = np.asarray(outlines(zones(marked=3)).convert("RGBA"))
    assert rgba[1, SIDE // 2, 3] == 0  # inside the first stripe
    grey, marked = rgba[0, 5], rgba[9, 5]
    assert grey[3] < marked[3] == 255
    assert marked[2] > marked[0]


SAMPLES = {
    "findings": ["a", "a", "a", "a", "b"],
    "numbers": [0, 1, 2, 3, 4],
    "predicted": [0.1, 0.5, 0.6, 0.9, 0.3],
    "agreement": [0.4, 0.2, 0.0, 0.3, np.nan],
}


def test_of_each_finding_the_typical_the_worst_and_the_best_film_are_chosen_once():
    assert choose_films(**SAMPLES, per_role=1) == [
        (1, "typical"), (4, "typical"), (2, "worst"), (0, "best"),
    ]  # fmt: skip


def test_one_of_each_role_is_chosen_before_another_of_any():
    assert [role for _, role in choose_films(**SAMPLES, per_role=2)] == [
        "typical", "typical", "worst", "best", "typical",
    ]  # fmt: skip


def test_no_film_is_chosen_twice_where_there_are_fewer_than_asked_for():
    chosen = choose_films(**SAMPLES, per_role=3)
    assert sorted(position for position, _ in chosen) == [0, 1, 2, 3, 4]
