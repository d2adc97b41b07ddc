"""Where a finding, or one lesion of it, changes a film."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CAUSAL_GREY = 2  # grey levels; a change of one may be rounding


def causal_mask(film: NDArray[np.uint8], change: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a film (side, side) differs by `CAUSAL_GREY` levels or more from the one without.

    `change`: film minus the one without, modulo 256.
    """
    without = film - change
    difference = film.astype(np.int16) - without.astype(np.int16)
    return np.abs(difference) >= CAUSAL_GREY


def lesion_map(film: NDArray[np.uint8], changes: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Number of the lesion at each pixel (side, side), 0 for none, by the lesions' changes.

    A lesion that changes no pixel enough, such as one behind the shutter, gets no number.
    """
    numbers = np.zeros_like(film)
    masks = [causal_mask(film, change) for change in changes]
    for number, mask in enumerate((mask for mask in masks if mask.any()), start=1):
        numbers[mask] = number
    return numbers
