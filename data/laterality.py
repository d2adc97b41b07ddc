"""Which side is which: whether films or masks are mirrored, from what is seen on them.

A mirrored set swaps zones A-C with D-F without any error, so it is looked for. One film says little
(some people's hearts lie in the middle, few even at the right); a set says it clearly.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.integrity import DataError

HEART_ROWS = (0.5, 0.8)  # ours: of the lungs' height, above the domes, below the arch
HEART_REACH = 0.25  # ours: of the lungs' width, to either side of their middle
CERTAINTY = 3.0  # ours: standard errors from 0 at which a set is judged


def heart_side(film: NDArray[np.uint8], lung: NDArray[np.bool_]) -> float:
    """Above 0 where the heart lies at the image's right, as it does on films not mirrored.

    How much brighter the film (H, W) is right of the middle of the lungs (H, W) than left of it, in
    the heart's rows, in standard deviations of the film around the lungs. NaN for an empty mask.
    """
    rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
    if len(columns) < 2:
        return np.nan
    top, bottom, start, end = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    first, last = (round(top + share * (bottom - top)) for share in HEART_ROWS)
    half, reach = (end - start) // 2, max(round(HEART_REACH * (end - start)), 1)
    band = film[first : max(last, first + 1)].astype(np.float64)
    at_left = band[:, start + half - reach : start + half]
    brighter = band[:, end - half : end - half + reach].mean() - at_left.mean()
    return float(brighter / max(film[top:bottom, start:end].std(), 1e-6))


def mask_side(film: NDArray[np.uint8], lung: NDArray[np.bool_]) -> float:
    """Above 0 where a mask (H, W) lies on its film (H, W) better than its mirror image would.

    Lungs are dark: how much brighter the film is where only the mirrored mask lies than where only
    the mask does, in standard deviations of both. NaN for a mask that is its own mirror image.
    """
    mirrored = lung[:, ::-1]
    inside, outside = lung & ~mirrored, mirrored & ~lung
    if not inside.any():
        return np.nan
    spread = film[lung | mirrored].std()
    return float((film[outside].mean() - film[inside].mean()) / max(spread, 1e-6))


def check_sides(cues: ArrayLike, what: str) -> None:
    """Raises DataError if the cues (N,) of a set say that it is mirrored. NaNs are left out.

    Too few or too equal cues raise nothing: they say nothing.
    """
    values = np.asarray(cues, np.float64)
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return
    error = values.std(ddof=1) / np.sqrt(len(values))
    if values.mean() < -CERTAINTY * error:
        raise DataError(
            f"{what} look mirrored (mean cue {values.mean():.2f}, standard error {error:.2f}, of "
            f"{len(values)}): the image's left must be the patient's right; flip them"
        )
