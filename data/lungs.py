"""Lung masks cut into the six zones of the Brixia score: two lungs in three strips each.

The paper divides each lung in three; the score's own lines follow the aortic arch and the hila. The
lung at the image's left is taken for the patient's right one: ``data/laterality.py`` checks
that it is.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data.image_files import read_grey
from data.integrity import DataError
from data.packing import squash

MASK_LEVEL = 127  # lung is above; masks saved at another size hold greys between
SPECK = 0.02  # ours: parts with less of the mask's area than this are left out
SEED = 0.1  # ours: of the mask's area, at least, in either core of two merged lungs
SIDE_BY_SIDE = 0.5  # ours: two lungs share less of their columns than this, and more of their rows
EROSIONS = 24  # depths at which merged lungs are tried to come apart

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Lungs:
    """right, left: bool (H, W), the patient's; one may be empty. doubts: what was repaired."""

    right: Mask
    left: Mask
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Zones:
    """Zones A-F (see ``data.brixia_score``) as masks, bool (6, H, W), and as boxes, int (6, 4).

    A box is x, y, w, h in pixels: the strip of the lung's bounding box that the zone lies in. The
    zones of an absent lung are empty.
    """

    masks: Mask
    boxes: NDArray[np.int64]


def read_lung_mask(path: Path, side: int) -> Mask:
    """Lung mask bool (side, side) of an image file, squashed as films are; raises DataError."""
    return squashed_mask(read_grey(path), side)


def squashed_mask(grey: NDArray[np.uint8], side: int) -> Mask:
    """Lung mask bool (side, side) of an image (H, W)."""
    return squash(grey, side) > MASK_LEVEL


def split_lungs(mask: NDArray[np.uint8] | Mask) -> Lungs:
    """The two lungs of a mask (H, W): bool, or grey where lung is above ``MASK_LEVEL``.

    Specks are left out, a lung in pieces is kept together, merged lungs are cut where erosion
    parts them. Raises DataError where no pixel is lung.
    """
    lung = np.asarray(mask if mask.dtype == bool else mask > MASK_LEVEL, bool)
    parts, labels = _parts(lung)
    if not parts:
        raise DataError("no lung in the mask")
    total = sum(part.area for part in parts)
    kept = [part for part in parts if part.area >= SPECK * total]
    doubts = [f"{len(parts) - len(kept)} specks left out"] if len(kept) < len(parts) else []
    sides = _two_sides(kept)
    if sides is None:
        whole = np.isin(labels, [part.label for part in kept])
        right = _cut_merged(whole)
        if right is not None:
            doubts.append("merged lungs: cut where erosion parts them")
            return Lungs(right, whole & ~right, tuple(doubts))
        x = np.average([part.x for part in kept], weights=[part.area for part in kept])
        at_left = x < (lung.shape[1] - 1) / 2
        doubts.append(f"one lung only, at the image's {'left' if at_left else 'right'}")
        empty = np.zeros_like(whole)
        return Lungs(*((whole, empty) if at_left else (empty, whole)), tuple(doubts))
    right, left = (np.isin(labels, [part.label for part in side]) for side in sides)
    return Lungs(right, left, tuple(doubts))


def six_zones(lungs: Lungs) -> Zones:
    """Each lung in three strips of equal height, to the pixel."""
    height, width = lungs.right.shape
    masks = np.zeros((6, height, width), bool)
    boxes = np.zeros((6, 4), np.int64)
    for first, lung in ((0, lungs.right), (3, lungs.left)):
        rows, columns = np.flatnonzero(lung.any(axis=1)), np.flatnonzero(lung.any(axis=0))
        if rows.size == 0:
            continue
        edges = np.rint(np.linspace(rows[0], rows[-1] + 1, 4)).astype(int)
        for zone, (top, bottom) in enumerate(pairwise(edges), first):
            masks[zone, top:bottom] = lung[top:bottom]
            boxes[zone] = columns[0], top, columns[-1] + 1 - columns[0], bottom - top
    return Zones(masks, boxes)


@dataclass(frozen=True)
class _Part:
    """A connected part of a mask: its label, area, centre column, and first and last + 1 pixel."""

    label: int
    area: int
    x: float
    columns: tuple[int, int]
    rows: tuple[int, int]


def _parts(mask: Mask) -> tuple[list[_Part], NDArray[np.int32]]:
    _, labels, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    parts = []
    for label in range(1, len(stats)):
        x, y, w, h, area = (int(number) for number in stats[label])
        parts.append(_Part(label, area, float(centres[label][0]), (x, x + w), (y, y + h)))
    return parts, np.asarray(labels, np.int32)


def _two_sides(parts: list[_Part]) -> tuple[list[_Part], list[_Part]] | None:
    """The parts at the left and at the right, None if they do not lie side by side.

    Cut where the variance of the centres between the sides is greatest (Otsu).
    """
    parts = sorted(parts, key=lambda part: part.x)
    area = np.array([part.area for part in parts], float)
    x = np.array([part.x for part in parts])
    best, sides = 0.0, None
    for cut in range(1, len(parts)):
        left, right = area[:cut].sum(), area[cut:].sum()
        apart = np.average(x[cut:], weights=area[cut:]) - np.average(x[:cut], weights=area[:cut])
        if left * right * apart**2 > best:
            best, sides = left * right * apart**2, (parts[:cut], parts[cut:])
    if sides is None:
        return None
    columns = _shared([[part.columns for part in side] for side in sides])
    rows = _shared([[part.rows for part in side] for side in sides])
    return sides if columns < SIDE_BY_SIDE < rows else None


def _shared(sides: list[list[tuple[int, int]]]) -> float:
    """How much of the shorter of two extents lies in both; each is the hull of intervals."""
    starts = [min(start for start, _ in side) for side in sides]
    ends = [max(end for _, end in side) for side in sides]
    shorter = min(end - start for start, end in zip(starts, ends, strict=True))
    return (min(ends) - max(starts)) / shorter


def _cut_merged(whole: Mask) -> Mask | None:
    """The part of a mask that belongs to the lung at the left; None if erosion finds no two.

    Eroded step by step until two large cores lie side by side; each pixel goes to the nearer.
    """
    depth = cv2.distanceTransform(np.pad(whole, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    for least in np.linspace(0, depth.max(), EROSIONS, endpoint=False)[1:]:
        parts, labels = _parts(depth > least)
        cores = [part for part in parts if part.area >= SEED * sum(p.area for p in parts)]
        sides = _two_sides(cores)
        if sides is None:
            continue
        seeds = [np.isin(labels, [part.label for part in side]) for side in sides]
        to_left, to_right = (
            cv2.distanceTransform((~seed).astype(np.uint8), cv2.DIST_L2, 5) for seed in seeds
        )
        return whole & (to_left < to_right)
    return None
