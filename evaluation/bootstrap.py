"""Bootstrap over patients: films and boxes of one patient are not independent, patients are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from evaluation.config import BootstrapConfig
from evaluation.localization import best_threshold


class Interval(NamedTuple):
    low: float
    high: float


UNDEFINED = Interval(np.nan, np.nan)


def patient_index(patients: ArrayLike) -> tuple[NDArray[np.intp], int]:
    """Each row's patient as an index (N,) into the sorted patients, and how many there are."""
    unique, index = np.unique(np.asarray(patients), return_inverse=True)
    return index, len(unique)


def patient_counts(
    num_patients: int, resamples: int, seed: int, groups: NDArray[np.intp] | None = None
) -> NDArray[np.float64]:
    """How often each patient is drawn (B, P), in B draws of P patients with replacement.

    The same seed and patients give the same draws, so methods can be compared pair by pair. With
    ``groups`` (P,), a draw in which some group has no patient is drawn anew: the distribution is
    that of draws in which every group is seen.
    """
    rng = np.random.default_rng(seed)
    counts = _draw(rng, num_patients, resamples)
    if groups is not None:
        members = np.equal.outer(groups, np.unique(groups)).astype(np.float64)
        while (bad := np.flatnonzero((counts @ members == 0).any(axis=1))).size:
            counts[bad] = _draw(rng, num_patients, bad.size)
    return counts


def _draw(rng: np.random.Generator, num_patients: int, resamples: int) -> NDArray[np.float64]:
    drawn = rng.integers(num_patients, size=(resamples, num_patients))
    drawn += num_patients * np.arange(resamples)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=resamples * num_patients)
    return counts.reshape(resamples, num_patients).astype(np.float64)


def percentile_interval(
    draws: NDArray[np.floating], confidence: float, num_patients: int
) -> Interval:
    """Percentile interval of ``draws`` (B,), undefined draws (NaN) left out.

    The plain percentile interval is too narrow for few patients, by Student's t against the normal
    and by sqrt(1 - 1/P); the percentiles are moved outwards accordingly (Hesterberg 2015, "expanded
    percentile"), which matters little beyond 100 patients. Undefined for fewer than two patients.
    """
    if num_patients < 2 or np.isnan(draws).all():
        return UNDEFINED
    student = special.stdtrit(num_patients - 1, (1 + confidence) / 2)
    tail = special.ndtr(-student * np.sqrt(num_patients / (num_patients - 1)))
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return Interval(float(low), float(high))


def patient_bootstrap(
    values: ArrayLike, patients: ArrayLike, config: BootstrapConfig, seed: int
) -> Interval:
    """Interval of the mean of ``values`` (N,), all of one weight, resampling ``patients`` (N,).

    ValueError for values that are not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if bad := (~np.isfinite(numbers)).sum():
        raise ValueError(f"{bad} of {len(numbers)} values are NaN or infinite")
    index, num_patients = patient_index(patients)
    counts = patient_counts(num_patients, config.resamples, seed)
    sums = np.bincount(index, weights=numbers, minlength=num_patients)
    sizes = np.bincount(index, minlength=num_patients)
    return percentile_interval(counts @ sums / (counts @ sizes), config.confidence, num_patients)


def cross_fit_draws(
    curves: NDArray[np.floating],
    patients: ArrayLike,
    folds: NDArray[np.str_],
    resamples: int,
    seed: int,
) -> NDArray[np.float64]:
    """Mean cross-fitted IoU (B,) of each resample, both thresholds chosen anew in it.

    ``curves`` (N, T) and ``folds`` (N,) as in ``localization.cross_fit``. A patient keeps his fold,
    however often he is drawn; a resample that leaves a fold empty is drawn anew.
    """
    index, num_patients = patient_index(patients)
    sums = np.zeros((num_patients, curves.shape[1]))
    np.add.at(sums, index, curves)
    sizes = np.bincount(index, minlength=num_patients)
    in_b = np.zeros(num_patients, dtype=np.intp)
    in_b[index] = folds == "b"
    counts = patient_counts(num_patients, resamples, seed, groups=in_b)
    totals = [counts[:, in_b == f] @ sums[in_b == f] for f in (0, 1)]
    numbers = [counts[:, in_b == f] @ sizes[in_b == f] for f in (0, 1)]
    best = [best_threshold(t / n[:, None]) for t, n in zip(totals, numbers, strict=True)]
    row = np.arange(resamples)
    return (totals[0][row, best[1]] + totals[1][row, best[0]]) / (numbers[0] + numbers[1])


def cross_fit_bootstrap(
    curves: NDArray[np.floating],
    patients: ArrayLike,
    folds: NDArray[np.str_],
    config: BootstrapConfig,
    seed: int,
) -> Interval:
    """Interval of the mean cross-fitted IoU, the thresholds chosen anew in every resample."""
    draws = cross_fit_draws(curves, patients, folds, config.resamples, seed)
    return percentile_interval(draws, config.confidence, patient_index(patients)[1])
