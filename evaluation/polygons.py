"""Polygons in the 1024-px frame as masks of pixels."""

import numpy as np
from numpy.typing import NDArray

from evaluation.localization import FRAME


def polygon_mask(
    points: NDArray[np.floating], side: int, frame: float = FRAME
) -> NDArray[np.bool_]:
    """Mask (side, side) bool of what a closed polygon winds around; ``points`` (P, 2): x, y.

    As of ``box_mask``, a pixel is in when its centre is (left and top edge included, right and
    bottom not), what lies outside the frame is cut off, and a polygon that would cover no pixel
    covers the one that holds the middle of its points. cv2 and PIL fill the outline too, which
    widens a nodule by a third at 224 px. A polygon that crosses itself has no holes.
    """
    scaled = np.asarray(points, dtype=np.float64) * (side / frame)
    winding = np.zeros((side, side + 1), dtype=np.int64)
    for (x, y), (end_x, end_y) in zip(scaled, np.roll(scaled, -1, axis=0), strict=True):
        first, stop = np.ceil(np.clip([min(y, end_y), max(y, end_y)], 0, side) - 0.5).astype(int)
        rows = np.arange(first, stop)  # whose centres the edge passes, right of which it winds
        if len(rows):
            crossings = x + (rows + 0.5 - y) * (end_x - x) / (end_y - y)
            columns = np.ceil(np.clip(crossings, 0, side) - 0.5).astype(int)
            winding[rows, columns] += 1 if end_y > y else -1
    mask: NDArray[np.bool_] = winding[:, :-1].cumsum(axis=1) != 0
    if not mask.any():
        column, row = np.clip(np.floor(scaled.mean(axis=0)), 0, side - 1).astype(int)
        mask[row, column] = True
    return mask
