"""Polygons as masks: a pixel is in when its centre is, as of boxes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.localization import FRAME, box_mask
from evaluation.polygons import polygon_mask

SIDE = 32


def turns_around(points: NDArray[np.float64], side: int) -> NDArray[np.bool_]:
    """The slow way: how often the polygon's points turn around each pixel's centre."""
    rows, columns = np.indices((side, side)) + 0.5
    x, y = (points * side / FRAME).T
    angles = np.arctan2(y[:, None, None] - rows, x[:, None, None] - columns)
    steps = np.roll(angles, -1, axis=0) - angles
    steps = (steps + np.pi) % (2 * np.pi) - np.pi
    return np.rint(steps.sum(axis=0) / (2 * np.pi)) != 0


@pytest.mark.parametrize("seed", range(20))
def test_any_polygon_holds_the_centres_that_it_winds_around(seed):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-0.3 * FRAME, 1.3 * FRAME, (rng.integers(3, 12), 2))
    np.testing.assert_array_equal(polygon_mask(points, SIDE), turns_around(points, SIDE))


@pytest.mark.parametrize(
    "edges", [(96, 160, 320, 64), (100.5, 31.9, 77.7, 300), (-40, 900, 99, 400)]
)
def test_a_rectangle_is_the_box_of_the_same_edges(edges):
    x, y, w, h = edges
    corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
    for points in (corners, corners[::-1], np.vstack([corners, corners[:1]])):
        np.testing.assert_array_equal(polygon_mask(points, SIDE), box_mask(x, y, w, h, SIDE))


def test_the_area_is_kept_on_average():
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    circle = 60 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    areas = [polygon_mask(circle + rng.uniform(200, 800, 2), SIDE).sum() for _ in range(400)]
    exact = 0.5 * 12 * 60**2 * np.sin(2 * np.pi / 12) * (SIDE / FRAME) ** 2
    assert np.mean(areas) == pytest.approx(exact, rel=0.02)


def test_two_loops_of_one_line_have_no_hole():
    bow = np.array([[100, 100], [900, 900], [900, 100], [100, 900]])
    star = np.array([[512, 20], [800, 950], [40, 380], [980, 380], [220, 950]])
    assert polygon_mask(bow, SIDE)[SIDE // 2, [5, -5]].all()
    assert polygon_mask(star, SIDE)[SIDE // 2, SIDE // 2]


def test_a_polygon_between_all_centres_covers_the_pixel_that_it_lies_in():
    points = np.array([[65, 130], [70, 130], [66, 135]])
    assert np.argwhere(polygon_mask(points, SIDE)).tolist() == [[4, 2]]
