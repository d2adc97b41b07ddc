"""Sensitivity-N (Ancona et al. 2018): does the output change as much as the map says it would?

For random sets of n pixels, the Pearson correlation per film between the change of the output when
they are replaced and the sum of the map over them.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from evaluation.config import REFERENCE_SIDE, SensitivityNConfig, SetSizes
from evaluation.localization import check_finite
from evaluation.perturbation import (
    Scorer,
    baseline_images,
    check_images,
    replaced_scores,
)


def set_sizes(config: SensitivityNConfig, side: int) -> NDArray[np.intp]:
    """The numbers of pixels n (K,), ascending and different.

    ``fractions``: of the side^2 pixels, rounded. ``published_code``: int(logspace(0, 4.7, 50)), 46
    different numbers. ValueError for those at another side than 224, and for fractions that leave
    no pixel or all.
    """
    pixels = side**2
    if config.sizes is SetSizes.published_code:
        if side != REFERENCE_SIDE:
            raise ValueError(
                f"evaluation.sensitivity_n.sizes=published_code is defined at {REFERENCE_SIDE} px, "
                f"not at {side}: take sizes=fractions"
            )
        return np.unique(np.logspace(0, 4.7, 50).astype(np.intp))
    sizes = np.unique(np.rint(np.asarray(config.fractions) * pixels).astype(np.intp))
    if not len(sizes) or sizes[0] < 1 or sizes[-1] >= pixels:
        raise ValueError(
            "evaluation.sensitivity_n.fractions must each leave a pixel or more in and out of a "
            f"set, got {config.fractions} of {pixels} pixels"
        )
    return sizes


def random_masks(config: SensitivityNConfig, side: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """For each n, ``config.masks`` random sets of n pixels as masks (M, side^2).

    Drawn without replacement from a sample's ``seed`` and n only: each sample has sets of its own,
    so that chance is no part that all share, and every method meets the same ones.
    """
    for n in set_sizes(config, side):
        rng = np.random.default_rng((seed, int(n)))
        masks = np.zeros((config.masks, side * side), dtype=bool)
        for mask in masks:
            mask[rng.choice(side * side, n, replace=False, shuffle=False)] = True
        yield masks


def output_changes(
    score: Scorer,
    images: Tensor,
    targets: Tensor,
    seeds: Sequence[int],
    config: SensitivityNConfig,
) -> NDArray[np.float64]:
    """Score of the film less its score with a set replaced, float64 (N, K, M).

    Depends on no map: computed once, it serves every method. ``seeds``: of the N samples.
    """
    check_images(images, targets)
    side, device = images.shape[2], images.device
    base = baseline_images(images, config.baseline, config.blur)
    nothing = np.zeros((1, side * side), dtype=bool)
    changes = []
    for row, seed in enumerate(seeds):
        sets = np.concatenate([nothing, *random_masks(config, side, seed)])
        masks = torch.from_numpy(sets).to(device)
        rows = torch.full((len(masks),), row, device=device)
        scores = replaced_scores(
            score, images, targets, base, rows, masks.__getitem__, config.batch_size
        ).numpy()
        changes.append(scores[0] - scores[1:])
    return np.stack(changes).reshape(len(images), -1, config.masks)


def sensitivity_n(
    maps: NDArray[np.floating],
    changes: NDArray[np.float64],
    seeds: Sequence[int],
    config: SensitivityNConfig,
) -> NDArray[np.float64]:
    """Pearson correlation (N, K) per film and n of ``changes`` with the sums of ``maps`` (N, H, W).

    ``seeds``: those of ``output_changes``. NaN where the sums or the changes are all the same (the
    published code counts 0 there). ValueError for a map that is not finite, or changes of other
    settings.
    """
    check_finite(maps)
    flat = np.asarray(maps, dtype=np.float64).reshape(len(maps), -1)
    sizes = set_sizes(config, maps.shape[1])
    if changes.shape != (len(maps), len(sizes), config.masks):
        raise ValueError(
            f"changes {changes.shape} must be of {len(maps)} maps, {len(sizes)} set sizes and "
            f"{config.masks} masks: they come from other settings"
        )
    sums = np.empty_like(changes)
    for row, seed in enumerate(seeds):
        for k, masks in enumerate(random_masks(config, maps.shape[1], seed)):
            sums[row, k] = masks @ flat[row]
    values = _pearson(sums.reshape(-1, config.masks), changes.reshape(-1, config.masks))
    return values.reshape(len(maps), len(sizes))


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
    samples: pd.DataFrame, correlations: ArrayLike, config: SensitivityNConfig, side: int
) -> pd.DataFrame:
    """Long per-sample rows: the columns of ``samples``, n (pixels), fraction, correlation."""
    sizes = set_sizes(config, side)
    values = np.asarray(correlations)
    if values.shape != (len(samples), len(sizes)):
        raise ValueError(f"correlations {values.shape} of {len(samples)} samples, {len(sizes)} n")
    rows = samples.loc[samples.index.repeat(len(sizes))].reset_index(drop=True)
    n = np.tile(sizes, len(samples))
    return rows.assign(n=n, fraction=n / side**2, correlation=values.ravel())
