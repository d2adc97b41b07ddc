"""Where the body lies on the film: pixels, reference millimetres, and matter laid on pixels."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data.phantom.cohort import Patient, Visit

Map = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """A square film of `side` pixels over the body.

    `x`, `y` (side, side): reference millimetres at pixel centres, x to the film's right (the
    patient's left), y downward. `turn` is the tangent of the turn about the body axis.
    """

    side: int
    pixel: float  # reference mm
    to_pixel: NDArray[np.float64]  # (2, 3)
    to_body: NDArray[np.float64]  # (2, 3)
    x: Map
    y: Map
    turn: float

    def body_noise(self, rng: np.random.Generator, cell: float) -> Map:
        """Smooth unit noise with features of `cell` mm that moves with the body, (side, side)."""
        reach = 240.0
        count = int(2 * reach / cell) + 2
        grid = rng.standard_normal((count, count), dtype=np.float32)
        to_grid = self.to_body / cell
        to_grid[:, 2] += reach / cell
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (self.side, self.side)
        noise = cv2.warpAffine(grid, to_grid, size, flags=flags, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(noise, np.float32)

    def deposit(self, x: Map, y: Map, volume: Map) -> Map:
        """Thickness in mm of points of matter (mm^3 each), spread bilinearly over pixels."""
        (a, b, c), (d, e, f) = self.to_pixel.astype(np.float32)
        column = (a * x + b * y + c).ravel()
        row = (d * x + e * y + f).ravel()
        weight = np.broadcast_to(volume, x.shape).ravel() / np.float32(self.pixel**2)
        inside = (column > 0) & (column < self.side - 1) & (row > 0) & (row < self.side - 1)
        column, row, weight = column[inside], row[inside], weight[inside]
        left, top = column.astype(np.int32), row.astype(np.int32)
        right_part, low_part = column - left, row - top
        at = top * self.side + left
        size = self.side * self.side
        low = weight * low_part
        high = weight - low
        total = np.bincount(at, high * (1 - right_part), size)
        total += np.bincount(at + 1, high * right_part, size)
        total += np.bincount(at + self.side, low * (1 - right_part), size)
        total += np.bincount(at + self.side + 1, low * right_part, size)
        return total.reshape(self.side, self.side).astype(np.float32)


def frame_of(patient: Patient, visit: Visit, side: int) -> Frame:
    """The film of this visit at this size."""
    magnification = 1.04 if visit.view == "AP" else 1.0
    pixel = visit.field / side / (patient.size * magnification)
    angle = np.deg2rad(visit.rotation)
    turn = pixel * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.array([(side - 1) / 2, (side - 1) / 2])
    offset = -turn @ centre - np.array(visit.shift)
    to_body = np.column_stack([turn, offset])
    inverse = np.linalg.inv(turn)
    to_pixel = np.column_stack([inverse, -inverse @ offset])
    index = np.arange(side, dtype=np.float32)
    (a, b, c), (d, e, f) = to_body.astype(np.float32)
    x = a * index[None, :] + b * index[:, None] + c
    y = d * index[None, :] + e * index[:, None] + f
    tangent = float(np.tan(np.deg2rad(visit.turn)))
    return Frame(side, float(pixel), to_pixel, to_body, x, y, tangent)
