"""What the browser's layers show is what the figures show."""

import base64
import io
import json
from functools import partial

import numpy as np
import pytest
from PIL import Image

from evaluation.image_browser import ImageBrowser, layer
from evaluation.overlays import OPACITY, blend
from tests.evaluation import shown

SIDE = 16


example = partial(
    shown.example,
    SIDE,
    boxes=((102.4, 0.0, 512.0, 256.0),),
    iou={"iba": 0.31},
    notes={"iba": ("behind: 0.05",)},
)


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))


def test_a_layer_over_its_film_at_the_first_opacity_is_the_overlay_of_the_figures():
    given = example()
    film = ImageBrowser("rule", [given]).films[0]
    np.testing.assert_array_equal(np.asarray(decoded(film["film"])), given.film)
    heat = given.maps["iba"] / given.maps["iba"].max()
    rgba = np.asarray(decoded(film["maps"]["iba"]["layer"]).convert("RGBA")) / 255
    opacity = ImageBrowser("rule", [given]).opacity / 100 * rgba[..., 3:]
    laid_over = (1 - opacity) * given.film[..., None] / 255 + opacity * rgba[..., :3]
    np.testing.assert_allclose(laid_over, blend(given.film, heat, SIDE), atol=0.01)
    assert ImageBrowser("rule", [given]).opacity == 100 * OPACITY


def test_a_layer_is_opaque_at_its_maximum_and_absent_at_0():
    image = layer(np.array([[0.0, 1.0]]))
    assert image.mode == "P"
    assert np.asarray(image.convert("RGBA"))[0, :, 3].tolist() == [0, 255]


def test_each_map_is_opaque_at_its_own_maximum_which_is_named_where_it_has_a_unit():
    ones = np.ones((SIDE, SIDE), np.float32)
    maps = {"iba": 0.04 * ones, "inverse_iba": 2 * ones, "lrp": 7 * ones}
    film = ImageBrowser("rule", [example(maps=maps, notes={})]).films[0]
    tops = [film["maps"][method]["top"] for method in maps]
    assert tops == ["0.04 bits/pixel", "2 bits/pixel", "its own maximum"]
    for method in maps:
        layer = decoded(film["maps"][method]["layer"]).convert("RGBA")
        assert np.asarray(layer)[0, 0, 3] == 255


def test_a_map_without_positive_values_is_said_to_be_empty():
    maps = {"iba": -np.ones((SIDE, SIDE), np.float32)}
    assert (
        ImageBrowser("", [example(maps=maps)]).films[0]["maps"]["iba"]["top"] == "no value above 0"
    )


def test_the_page_gets_plain_values_with_boxes_in_percent():
    film = json.loads(json.dumps(ImageBrowser("rule", [example()]).films))[0]
    assert film["boxes"] == [[10, 0, 50, 25]]
    bits = example().maps["iba"].sum()
    assert film["maps"]["iba"]["note"] == f"IoU 0.31 · {bits:.0f} bits · behind: 0.05"
    assert film["headline"] == "Mass · predicted probability 0.83"


def test_a_browser_without_films_is_refused():
    with pytest.raises(ValueError, match="one film at least"):
        ImageBrowser("rule", [])
