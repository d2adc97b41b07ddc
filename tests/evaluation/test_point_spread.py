"""Point-spread: one cell of any tap leaves a spot as wide as any other's once brought to it."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from evaluation.point_spread import at_point_spread, point_spread

SIDE = 224


def spot(cell, sigma):
    """A map (1, SIDE, SIDE) of one cell in the middle, smoothed over cells and interpolated."""
    cells = np.zeros((SIDE // cell, SIDE // cell))
    cells[len(cells) // 2, len(cells) // 2] = 1
    smooth = torch.from_numpy(gaussian_filter(cells, sigma) if sigma else cells)[None, None]
    return interpolate(smooth, (SIDE, SIDE), mode="bilinear", align_corners=False)[0].numpy()


def width(maps):
    """Deviation of a spot along the rows, in pixels."""
    weights, rows = maps[0].sum(axis=1), np.arange(SIDE)
    mean = np.average(rows, weights=weights)
    return np.sqrt(np.average((rows - mean) ** 2, weights=weights))


@pytest.mark.parametrize("cell", [4, 8, 16])
@pytest.mark.parametrize("sigma", [0, 1])
def test_the_spread_of_a_cell_is_the_width_of_its_spot(cell, sigma):
    assert width(spot(cell, sigma)) == pytest.approx(point_spread(cell, sigma), rel=0.02)


@pytest.mark.parametrize("cell", [4, 8, 16])
def test_spots_of_all_taps_are_as_wide_as_that_of_the_coarsest(cell):
    own, wanted = point_spread(cell, 1), point_spread(16, 1)
    found = at_point_spread(spot(cell, 1), own, wanted)
    assert width(found) == pytest.approx(wanted, rel=0.02)


def test_smoothing_keeps_the_sum_also_at_the_edge():
    maps = np.zeros((1, 32, 32))
    maps[0, 0, 5] = 3
    assert at_point_spread(maps, 1, 4).sum() == pytest.approx(3)


def test_the_coarsest_map_stays_and_none_is_sharpened():
    maps = np.random.default_rng(0).random((2, 8, 8))
    np.testing.assert_array_equal(at_point_spread(maps, 2.5, 2.5), maps)
    with pytest.raises(ValueError, match="cannot be sharpened"):
        at_point_spread(maps, 3, 2)
    with pytest.raises(ValueError, match="NaN or infinity"):
        at_point_spread(maps * np.nan, 1, 2)
