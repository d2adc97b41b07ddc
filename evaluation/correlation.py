"""Maps of a severity regressor against the severity of the lung zones (paper, 3.2).

Zones are label maps int (N, H, W): 0 outside the lungs, k + 1 in the k-th zone. Scores are (N, Z).
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from evaluation.bootstrap import Interval, patient_counts, patient_index, percentile_interval
from evaluation.config import BootstrapConfig
from evaluation.localization import check_finite


def severity_maps(zones: NDArray[np.integer], scores: NDArray[np.number]) -> NDArray[np.float64]:
    """Each zone painted with its score, 0 outside the lungs: float64 (N, H, W).

    ValueError for a zone without a score.
    """
    if zones.max(initial=0) > scores.shape[1] or zones.min(initial=0) < 0:
        raise ValueError(
            f"zones must be 0 ... {scores.shape[1]}, got {zones.min()} ... {zones.max()}"
        )
    palette = np.pad(scores.astype(np.float64), ((0, 0), (1, 0)))
    return np.take_along_axis(palette, zones.reshape(len(zones), -1), axis=1).reshape(zones.shape)


def mean_severity(scores: NDArray[np.number], patients: ArrayLike) -> NDArray[np.float64]:
    """What the baseline that knows no film paints with ``severity_maps``: the mean score (N, Z) of
    each zone over the films of all other patients. ValueError for fewer than two patients.
    """
    index, num_patients = patient_index(patients)
    if num_patients < 2:
        raise ValueError("mean_severity needs films of other patients, and there are none")
    own = np.zeros((num_patients, scores.shape[1]))
    np.add.at(own, index, scores)
    films = np.bincount(index)[:, None]
    others = (own.sum(axis=0) - own) / (films.sum() - films)
    return np.asarray(others[index])


def moments(
    maps: NDArray[np.floating], severity: NDArray[np.float64], inside: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Sums (N, 6) per film over the pixels ``inside`` (N, H, W): 1, x, y, x x, y y, x y.

    x is the map, y the severity. They add up over films, so pooled correlations need no pixel.
    ValueError for a map that is not finite.
    """
    check_finite(maps)
    keep = inside.reshape(len(maps), -1).astype(np.float64)
    x = maps.reshape(len(maps), -1).astype(np.float64) * keep
    y = severity.reshape(len(maps), -1) * keep
    return np.stack(
        [
            (a * b).sum(axis=1)
            for a, b in ((keep, keep), (x, keep), (y, keep), (x, x), (y, y), (x, y))
        ],
        axis=1,
    )


def correlation_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson correlation (...) of ``moments`` (..., 6); NaN where either is constant."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        var_x, var_y = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
        # A constant's variance is what rounding leaves of it.
        flat = (var_x <= 1e-12 * xx / n) | (var_y <= 1e-12 * yy / n)
        return np.where(flat, np.nan, (xy / n - x * y / n**2) / np.sqrt(var_x * var_y))


def zone_means(
    maps: NDArray[np.floating], zones: NDArray[np.integer], num_zones: int
) -> NDArray[np.float64]:
    """Mean of ``maps`` (N, H, W) over each zone, float64 (N, Z); NaN for a zone without a pixel.

    The mean, not the sum: large zones would otherwise rank high whatever the map.
    """
    label = zones.reshape(len(zones), -1) + (num_zones + 1) * np.arange(len(zones))[:, None]
    length = (num_zones + 1) * len(zones)
    sums = np.bincount(label.ravel(), weights=maps.ravel().astype(np.float64), minlength=length)
    sizes = np.bincount(label.ravel(), minlength=length)
    with np.errstate(invalid="ignore"):
        return (sums / sizes).reshape(len(zones), num_zones + 1)[:, 1:]


def zone_pearson(means: NDArray[np.float64], scores: NDArray[np.number]) -> NDArray[np.float64]:
    """Pearson correlation (N,) over the zones of ``zone_means`` and scores, both (N, Z).

    NaN where a zone is missing, or all means or all scores are the same.
    """
    x, y = means, scores.astype(np.float64)
    sums = [np.ones_like(x), x, y, x * x, y * y, x * y]
    return correlation_of(np.stack([s.sum(axis=1) for s in sums], axis=1))


def zone_spearman(means: NDArray[np.float64], scores: NDArray[np.number]) -> NDArray[np.float64]:
    """Spearman correlation (N,), as ``zone_pearson``."""
    x, y = (pd.DataFrame(values).rank(axis=1).to_numpy() for values in (means, scores))
    return np.where(np.isnan(means).any(axis=1), np.nan, zone_pearson(x, y))


def zone_agreement(
    means: NDArray[np.float64], other: NDArray[np.number], name: str
) -> dict[str, NDArray[np.float64]]:
    """Both correlations (N,), as <name>_spearman and <name>_pearson."""
    return {
        f"{name}_spearman": zone_spearman(means, other),
        f"{name}_pearson": zone_pearson(means, other),
    }


def zone_groups(
    drops: NDArray[np.float64], scores: NDArray[np.number], highest: int = 3
) -> dict[str, NDArray[np.float64]]:
    """Mean drop (N,) over each film's zones of one score from 1 on, as drop_score<score>; NaN where
    the film has none."""
    found = {}
    for score in range(1, highest + 1):
        here = scores == score
        with np.errstate(invalid="ignore"):
            found[f"drop_score{score}"] = np.where(here, drops, 0).sum(axis=1) / here.sum(axis=1)
    return found


def score_group_means(
    means: NDArray[np.float64], scores: NDArray[np.number], highest: int = 3
) -> NDArray[np.float64]:
    """Mean (N, highest + 1) over each film's zones of one score, relative to the film's zones.

    ``means`` (N, Z) of ``zone_means``. Divided by the mean over all zones of the film, so that 1 is
    no effect; NaN where the film has no zone of that score, or its zones' mean is not positive.
    """
    of_film = np.nanmean(means, axis=1)
    groups = np.full((len(means), highest + 1), np.nan)
    for score in range(highest + 1):
        here = (scores == score) & ~np.isnan(means)
        count = here.sum(axis=1)
        usable = (count > 0) & (of_film > 0)
        total = np.where(here, means, 0).sum(axis=1)
        groups[usable, score] = total[usable] / count[usable] / of_film[usable]
    return groups


def pcc_samples(
    samples: pd.DataFrame,
    maps: NDArray[np.floating],
    zones: NDArray[np.integer],
    scores: NDArray[np.number],
) -> tuple[pd.DataFrame, dict[str, NDArray[np.float64]]]:
    """Per-sample rows, and the moments that the pooled rows of the table are made of.

    The frame: the columns of ``samples`` (N rows), pcc_film (whole film, 0 outside the lungs),
    pcc_lungs (inside the lungs only), zone_spearman, and relative_mean_score<score> of
    ``score_group_means``. The moments: (N, 6) of ``film`` and ``lungs``.
    """
    severity = severity_maps(zones, scores)
    sums = {
        "film": moments(maps, severity, np.ones(maps.shape, dtype=bool)),
        "lungs": moments(maps, severity, zones > 0),
    }
    means = zone_means(maps, zones, scores.shape[1])
    groups = score_group_means(means, scores)
    frame = samples.assign(
        pcc_film=correlation_of(sums["film"]),
        pcc_lungs=correlation_of(sums["lungs"]),
        zone_spearman=zone_spearman(means, scores),
        **{f"relative_mean_score{score}": of_score for score, of_score in enumerate(groups.T)},
    )
    return frame, sums


def pooled_correlation(
    sums: NDArray[np.float64], patients: NDArray[np.generic], config: BootstrapConfig, seed: int
) -> tuple[float, Interval]:
    """Correlation over the pixels of all films together, and its interval over patients."""
    index, num_patients = patient_index(patients)
    per_patient = np.zeros((num_patients, 6))
    np.add.at(per_patient, index, sums)
    draws = correlation_of(patient_counts(num_patients, config.resamples, seed) @ per_patient)
    value = float(correlation_of(sums.sum(axis=0)))
    return value, percentile_interval(draws, config.confidence, num_patients)
