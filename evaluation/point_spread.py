"""Maps of different taps at one point-spread: what a finer map marks more, and not more sharply.

A bottleneck's map is a grid of cells, smoothed and interpolated. One cell of a late layer covers
more of the film than one of an early layer, so their maps differ where they mark the same place.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from evaluation.localization import check_finite


def point_spread(cell: float, sigma: float) -> float:
    """Deviation along an axis, in pixels, of the spot that one cell leaves on a map.

    ``cell``: pixels from one cell to the next; ``sigma``: of the Gaussian over cells, in cells.
    Variances of kernels in a row add up: the Gaussian has (sigma cell)^2, and the triangle of the
    linear interpolation between cells cell^2 / 6.
    """
    return cell * float(np.sqrt(sigma**2 + 1 / 6))


def at_point_spread(maps: NDArray[np.floating], own: float, wanted: float) -> NDArray[np.float64]:
    """``maps`` (N, H, W) of the point-spread ``own``, smoothed so that it is ``wanted``, float64.

    By a Gaussian of sqrt(wanted^2 - own^2) pixels, mirrored at the film's edges, so that the sum
    stays what it is. ValueError for a map that is not finite or wider than wanted.
    """
    check_finite(maps)
    if own > wanted:
        raise ValueError(f"a map of point-spread {own:g} px cannot be sharpened to {wanted:g} px")
    sigma = float(np.sqrt(wanted**2 - own**2))
    values = maps.astype(np.float64)
    return values if sigma == 0 else gaussian_filter(values, (0, sigma, sigma), mode="reflect")
