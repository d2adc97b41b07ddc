"""IoU of thresholded attribution maps with boxes, the threshold chosen on other patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from evaluation.config import BoxRounding

FRAME = 1024.0  # NIH boxes are given in this frame, whatever the film's size

BITS_PER_PIXEL = np.logspace(-4, 1, 101)
"""Absolute thresholds, for maps in that unit (``scale=1`` of ``iou_curve``)."""


def box_mask(
    x: float,
    y: float,
    w: float,
    h: float,
    side: int,
    frame: float = FRAME,
    rounding: BoxRounding = BoxRounding.centre,
) -> NDArray[np.bool_]:
    """Mask (side, side) bool of the box with top-left (x, y), width w and height h in ``frame`` px.

    ``centre``: a pixel is in when its centre lies in the scaled box (left and top edge included,
    right and bottom not). ``truncated``: the scaled x, y, w, h are cut to integers. Either way a
    box that would cover no column (row) covers the one that holds its middle, and what lies outside
    the frame is cut off. ValueError for a box without area or wholly outside the frame.
    """
    if not all(np.isfinite(v) for v in (x, y, w, h)) or w <= 0 or h <= 0:
        raise ValueError(f"box x={x} y={y} w={w} h={h}: width and height must be positive numbers")
    if x >= frame or y >= frame or x + w <= 0 or y + h <= 0:
        raise ValueError(f"box x={x} y={y} w={w} h={h} lies outside the {frame:g}-px frame")
    mask = np.zeros((side, side), dtype=bool)
    scale = side / frame
    mask[
        _span(y * scale, h * scale, side, rounding), _span(x * scale, w * scale, side, rounding)
    ] = 1
    return mask


def _span(start: float, length: float, side: int, rounding: BoxRounding) -> slice:
    if rounding is BoxRounding.truncated:
        first, stop = int(start), int(start) + int(length)
    else:
        first, stop = int(np.ceil(start - 0.5)), int(np.ceil(start + length - 0.5))
    first, stop = max(first, 0), min(stop, side)
    if stop <= first:
        first = min(max(int(np.floor(start + length / 2)), 0), side - 1)
        stop = first + 1
    return slice(first, stop)


def box_masks(
    samples: pd.DataFrame, side: int, rounding: BoxRounding = BoxRounding.centre
) -> NDArray[np.bool_]:
    """Masks (N, side, side) bool of the rows of ``samples`` (x, y, w, h in the 1024-px frame)."""
    boxes = samples[["x", "y", "w", "h"]].to_numpy(dtype=float)
    masks = np.zeros((len(boxes), side, side), dtype=bool)
    for mask, (x, y, w, h) in zip(masks, boxes, strict=True):
        mask[:] = box_mask(x, y, w, h, side, rounding=rounding)
    return masks


def threshold_grid(count: int) -> NDArray[np.float64]:
    """Thresholds (count,) evenly spaced inside (0, 1): 99 gives 0.01 ... 0.99."""
    return np.arange(1, count + 1) / (count + 1)


def check_finite(maps: NDArray[np.floating], names: Sequence[object] | None = None) -> None:
    """ValueError for maps (N, H, W) that hold NaN or infinity; ``names`` say whose."""
    for row in np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))[:1]:
        name = names[row] if names is not None else row
        raise ValueError(f"map of sample {name} holds NaN or infinity")


def iou_curve(
    maps: NDArray[np.floating],
    truth: NDArray[np.bool_],
    thresholds: ArrayLike,
    names: Sequence[object] | None = None,
    scale: float | None = None,
) -> NDArray[np.float64]:
    """IoU (N, T) of ``map / max(map) > t`` with ``truth``, for maps (N, H, W) and thresholds (T,).

    With ``scale``, which all maps share, ``map / scale > t``. A map without positive values
    predicts nothing: IoU 0. ``names`` (N,) only names samples in errors. ValueError for a map that
    is not finite, an empty truth mask, or thresholds that do not rise inside [0, 1), or from 0 on
    with a scale.
    """
    levels = np.asarray(thresholds, dtype=np.float64)
    limit = 1 if scale is None else np.inf
    if levels.ndim != 1 or not len(levels) or levels[0] < 0 or levels[-1] >= limit:
        raise ValueError(f"thresholds must be one row of numbers in [0, {limit}), got {levels}")
    if np.any(np.diff(levels) <= 0):
        raise ValueError("thresholds must rise strictly")
    if maps.ndim != 3 or maps.shape != truth.shape:
        raise ValueError(f"maps {maps.shape} and truth {truth.shape} must share one (N, H, W)")
    check_finite(maps, names)
    curves = np.zeros((len(maps), len(levels)))
    for i in range(len(maps)):
        inside = truth[i].ravel()
        values = maps[i].ravel()
        peak = float(values.max())
        if not inside.any():
            name = names[i] if names is not None else i
            raise ValueError(f"truth mask of sample {name} is empty")
        if peak <= 0:
            continue
        unit = peak if scale is None else scale
        predicted = _passing(values, unit, levels)
        hit = _passing(values[inside], unit, levels)
        curves[i] = hit / (predicted + inside.sum() - hit)
    return curves


def _passing(
    values: NDArray[np.floating], unit: float, levels: NDArray[np.float64]
) -> NDArray[np.intp]:
    """How many values are, divided by ``unit``, above each level (T,): one sort holds them all."""
    share = np.sort(values).astype(np.float64) / unit
    return len(share) - np.searchsorted(share, levels, side="right")


def patient_folds(patients: ArrayLike, seed: int) -> NDArray[np.str_]:
    """Fold 'a' or 'b' (N,) of each sample; a patient's samples stay together.

    The patients, in an order drawn from ``seed`` but those with more samples first, go one by one
    to the fold with fewer samples: the folds differ by at most one patient's samples, whatever the
    order of the rows. ValueError for fewer than two patients.
    """
    unique, index, counts = np.unique(np.asarray(patients), return_inverse=True, return_counts=True)
    if len(unique) < 2:
        raise ValueError(
            f"cross-fitting needs two patients or more, got {len(unique)}: a threshold must not be "
            "chosen on the patient whom it is applied to; take more images"
        )
    order = np.random.default_rng(seed).permutation(len(unique))
    order = order[np.argsort(-counts[order], kind="stable")]
    in_b = np.zeros(len(unique), dtype=bool)
    sizes = [0, 0]
    for patient in order:
        in_b[patient] = sizes[1] < sizes[0]
        sizes[int(in_b[patient])] += counts[patient]
    return np.where(in_b[index], "b", "a")


def best_threshold(scores: NDArray[np.floating]) -> NDArray[np.intp]:
    """Index (...) of the highest score (..., T); the lowest threshold among ties.

    Scores within 1e-12 of the highest tie: the last bits of a sum depend on the order of its terms.
    """
    highest = scores.max(axis=-1, keepdims=True)
    return np.argmax(scores >= highest - 1e-12 * np.abs(highest), axis=-1)


@dataclass(frozen=True)
class CrossFit:
    """Every sample judged at the threshold that the other fold's patients chose."""

    folds: NDArray[np.str_]  # (N,) 'a' or 'b'
    thresholds: NDArray[np.float64]  # (N,) the threshold applied to each sample
    iou: NDArray[np.float64]  # (N,)


def cross_fit(
    curves: NDArray[np.floating], patients: ArrayLike, thresholds: ArrayLike, seed: int
) -> CrossFit:
    """Two-fold cross-fitting over patients of ``curves`` (N, T), IoU per sample and threshold.

    The threshold with the highest mean IoU over fold a's samples is applied to fold b, and the
    reverse, so that every box counts once and none had a say in its own threshold.
    """
    folds = patient_folds(patients, seed)
    choice = np.empty(len(curves), dtype=np.intp)
    for chosen_on, applied_to in (("a", "b"), ("b", "a")):
        choice[folds == applied_to] = best_threshold(curves[folds == chosen_on].mean(axis=0))
    applied = np.asarray(thresholds, dtype=np.float64)[choice]
    iou = curves[np.arange(len(curves)), choice].astype(np.float64)
    return CrossFit(folds, applied, iou)


def cross_fitted_samples(
    samples: pd.DataFrame, curves: NDArray[np.floating], thresholds: ArrayLike, seed: int
) -> pd.DataFrame:
    """The frame behind a row of the table: sample, image, patient, finding, fold, threshold, iou.

    ``samples`` has the first four columns and a row for each row of ``curves`` (N, T).
    """
    if len(samples) != len(curves):
        raise ValueError(f"{len(samples)} samples, but IoU curves of {len(curves)}")
    fitted = cross_fit(curves, samples["patient"].to_numpy(), thresholds, seed)
    frame = samples[["sample", "image", "patient", "finding"]].reset_index(drop=True)
    return frame.assign(fold=fitted.folds, threshold=fitted.thresholds, iou=fitted.iou)
