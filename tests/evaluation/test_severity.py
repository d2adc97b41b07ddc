"""Severity metrics against scikit-learn, scipy and films drawn again one by one."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from evaluation.config import BootstrapConfig
from evaluation.severity import METRICS, severity_metrics, severity_table

BOOTSTRAP = BootstrapConfig(resamples=200)
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 19, 40).astype(float)
PREDICTED = np.clip(TRUTH + RNG.normal(0, 3, 40), 0, None)
PATIENTS = np.repeat(np.arange(20), 2)


def test_each_metric_is_the_published_librarys() -> None:
    found = severity_metrics(PREDICTED, TRUTH, np.ones((1, 40)))[0]
    expected = [
        mean_absolute_error(TRUTH, PREDICTED),
        root_mean_squared_error(TRUTH, PREDICTED),
        stats.pearsonr(PREDICTED, TRUTH).statistic,
        stats.spearmanr(PREDICTED, TRUTH).statistic,
    ]
    np.testing.assert_allclose(found, expected)


def test_a_film_of_weight_two_counts_as_two_films() -> None:
    weights = np.ones(40)
    weights[:5] = 2
    weighted = severity_metrics(PREDICTED, TRUTH, weights[None])[0, :3]
    rows = np.repeat(np.arange(40), weights.astype(int))
    again = severity_metrics(PREDICTED[rows], TRUTH[rows], np.ones((1, 45)))[0, :3]
    np.testing.assert_allclose(weighted, again)


def test_a_constant_has_errors_but_no_correlation() -> None:
    constant = np.full(40, TRUTH.mean())
    predictions = {"regressor": PREDICTED, "constant": constant, "perfect": TRUTH}
    table = severity_table("films", predictions, TRUTH, PATIENTS, BOOTSTRAP, 0)
    rows = table.set_index("predictor")
    assert rows.loc["constant", ["pearson", "pearson_ci_low", "spearman"]].isna().all()
    assert rows.loc["constant", "rmse"] == pytest.approx(TRUTH.std())
    assert rows.loc["perfect", ["mae", "pearson", "spearman"]].tolist() == pytest.approx([0, 1, 1])
    assert (rows["n"] == 40).all()
    assert (rows["n_patients"] == 20).all()
    for metric in METRICS:
        own = rows.loc["regressor"]
        assert own[f"{metric}_ci_low"] < own[metric] < own[f"{metric}_ci_high"]


def test_scores_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="regressor: needs 40 finite scores"):
        severity_table("films", {"regressor": PREDICTED[:3]}, TRUTH, PATIENTS, BOOTSTRAP, 0)
    with pytest.raises(ValueError, match="0 true scores"):
        severity_table("films", {}, [], [], BOOTSTRAP, 0)
    bad = pd.Series(PREDICTED).mask(TRUTH > 9)
    with pytest.raises(ValueError, match="regressor"):
        severity_table("films", {"regressor": bad}, TRUTH, PATIENTS, BOOTSTRAP, 0)
