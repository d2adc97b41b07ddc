"""Sensitivity-N (Ancona et al. 2018): does the output change as much as the map says it would?

For random sets of n pixels, the Pearson correlation per film between the change of the output when
they are replaced and the sum of the map over them.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from evaluation.config import SensitivityNConfig
from evaluation.localization import check_finite
from evaluation.perturbation import (
    REFERENCE_SIDE,
    Scorer,
    baseline_images,
    check_images,
    replaced_scores,
)


def set_sizes(points: int, side: int) -> NDArray[np.intp]:
    """The numbers of pixels n (K,), ascending and different.

    At 224 px int(logspace(0, 4.7, points)), with 50 points the 46 numbers of the published code;
    elsewhere the same fractions of the pixels, rounded: 1 at least, and one less than all at most,
    because there is but one set of all pixels.
    """
    published = np.unique(np.logspace(0, 4.7, points).astype(np.intp))
    fractions = published / REFERENCE_SIDE**2
    return np.unique(np.rint(fractions * side**2).astype(np.intp).clip(1, side**2 - 1))


def random_masks(config: SensitivityNConfig, side: int) -> Iterator[NDArray[np.bool_]]:
    """For each n, ``config.masks`` random sets of n pixels as masks (M, side^2).

    Drawn without replacement from the seed, n and the mask's number only: every film and every
    method of a run meets the same sets.
    """
    for n in set_sizes(config.points, side):
        rng = np.random.default_rng((config.seed, int(n)))
        masks = np.zeros((config.masks, side * side), dtype=bool)
        for mask in masks:
            mask[rng.choice(side * side, n, replace=False, shuffle=False)] = True
        yield masks


def output_changes(
    score: Scorer, images: Tensor, targets: Tensor, config: SensitivityNConfig
) -> NDArray[np.float64]:
    """Score of the film less its score with a set replaced, float64 (N, K, M).

    Depends on no map: computed once, it serves every method.
    """
    check_images(images, targets)
    num, device = len(images), images.device
    base = baseline_images(images, config.baseline, config.blur)

    def scores(masks: Tensor) -> Tensor:
        rows = torch.arange(num, device=device).repeat_interleave(len(masks))
        which = torch.arange(len(masks), device=device).repeat(num)
        return replaced_scores(
            score, images, targets, base, rows, lambda part: masks[which[part]], config.batch_size
        ).view(num, len(masks))

    side = images.shape[2]
    original = scores(torch.zeros(1, side * side, dtype=torch.bool, device=device))
    changes = [
        original - scores(torch.from_numpy(masks).to(device))
        for masks in random_masks(config, side)
    ]
    return torch.stack(changes, dim=1).numpy()


def sensitivity_n(
    maps: NDArray[np.floating], changes: NDArray[np.float64], config: SensitivityNConfig
) -> NDArray[np.float64]:
    """Pearson correlation (N, K) per film and n of ``changes`` with the sums of ``maps`` (N, H, W).

    NaN where the sums or the changes are all the same (the published code counts 0 there).
    ValueError for a map that is not finite, or changes of other settings.
    """
    check_finite(maps)
    flat = np.asarray(maps, dtype=np.float64).reshape(len(maps), -1)
    sizes = set_sizes(config.points, maps.shape[1])
    if changes.shape != (len(maps), len(sizes), config.masks):
        raise ValueError(
            f"changes {changes.shape} must be of {len(maps)} maps, {len(sizes)} set sizes and "
            f"{config.masks} masks: they come from other settings"
        )
    columns = [
        _pearson(flat @ masks.T.astype(np.float64), changes[:, k])
        for k, masks in enumerate(random_masks(config, maps.shape[1]))
    ]
    return np.stack(columns, axis=1)


def _pearson(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation (N,) of the rows of ``a`` and ``b`` (N, M); NaN for a constant one."""
    constant = np.zeros(len(a), dtype=bool)
    for values in (a, b):  # equal sums differ in their last bits
        spread = np.ptp(values, axis=1)
        constant |= spread <= 1e-12 * np.abs(values).max(axis=1)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    norm = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(constant, np.nan, (a * b).sum(axis=1) / norm)


def sensitivity_n_samples(
    samples: pd.DataFrame, correlations: ArrayLike, points: int, side: int
) -> pd.DataFrame:
    """Long per-sample rows: the columns of ``samples``, n (pixels), fraction, correlation."""
    sizes = set_sizes(points, side)
    values = np.asarray(correlations)
    if values.shape != (len(samples), len(sizes)):
        raise ValueError(f"correlations {values.shape} of {len(samples)} samples, {len(sizes)} n")
    rows = samples.loc[samples.index.repeat(len(sizes))].reset_index(drop=True)
    n = np.tile(sizes, len(samples))
    return rows.assign(n=n, fraction=n / side**2, correlation=values.ravel())
