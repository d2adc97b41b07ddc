"""How well a global severity score (0-18) is predicted: by a model, a constant, a second reader."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from evaluation.bootstrap import UNDEFINED, patient_counts, patient_index, percentile_interval
from evaluation.config import BootstrapConfig
from evaluation.correlation import correlation_of

METRICS = ("mae", "rmse", "pearson", "spearman")


def severity_metrics(
    predicted: NDArray[np.float64], truth: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``METRICS`` (B, 4) of scores (N,), each film counting ``weights`` (B, N) times.

    Mean absolute error, root mean square error, Pearson's and Spearman's correlation; the ranks are
    those of the films themselves, ties sharing their mean. NaN for the correlation with a constant.
    """
    error = predicted - truth
    count = weights.sum(axis=1)
    mae = weights @ np.abs(error) / count
    rmse = np.sqrt(weights @ error**2 / count)
    correlations = []
    for x, y in ((predicted, truth), (rankdata(predicted), rankdata(truth))):
        sums = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
        correlations.append(correlation_of(weights @ sums))
    return np.stack([mae, rmse, *correlations], axis=1)


def severity_table(
    dataset: str,
    predictions: Mapping[str, ArrayLike],
    truth: ArrayLike,
    patients: ArrayLike,
    bootstrap: BootstrapConfig,
    seed: int,
) -> pd.DataFrame:
    """Rows of severity.csv: a predictor each, ``METRICS`` with intervals over ``patients`` (N,).

    ``predictions``: predictor -> scores (N,) of the films of ``truth`` (N,). ValueError for shapes
    that do not fit or scores that are not finite.
    """
    known = np.asarray(truth, dtype=np.float64)
    index, num_patients = patient_index(patients)
    if len(index) != len(known) or not len(known):
        raise ValueError(f"{len(known)} true scores for {len(index)} films (one at least)")
    if not np.isfinite(known).all():
        raise ValueError("a true score is NaN or infinite")
    counts = patient_counts(num_patients, bootstrap.resamples, seed)
    weights = np.vstack([np.ones(num_patients), counts])[:, index]
    rows = []
    for name, values in predictions.items():
        predicted = np.asarray(values, dtype=np.float64)
        if predicted.shape != known.shape or not np.isfinite(predicted).all():
            raise ValueError(f"{name}: needs {len(known)} finite scores, got {predicted.shape}")
        draws = severity_metrics(predicted, known, weights)
        row: dict[str, object] = {"dataset": dataset, "predictor": name}
        for metric, of_draws in zip(METRICS, draws.T, strict=True):
            defined = not np.isnan(of_draws[0])
            interval = (
                percentile_interval(of_draws[1:], bootstrap.confidence, num_patients)
                if defined
                else UNDEFINED
            )
            row[metric] = of_draws[0]
            row[f"{metric}_ci_low"], row[f"{metric}_ci_high"] = interval
        rows.append(row | {"n": len(known), "n_patients": num_patients})
    return pd.DataFrame(rows)
