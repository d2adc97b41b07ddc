"""Intervals over patients: coverage in simulation, the vectorised refit against a plain loop."""

import numpy as np
import pytest

from evaluation.bootstrap import (
    cross_fit_bootstrap,
    cross_fit_draws,
    patient_bootstrap,
    patient_counts,
    percentile_interval,
)
from evaluation.config import BootstrapConfig
from evaluation.localization import cross_fit, patient_folds, threshold_grid

CONFIG = BootstrapConfig(resamples=400)


def clustered(rng, num_patients):
    """One to four values a patient around the patient's own mean; the true mean is 0.3."""
    sizes = rng.integers(1, 5, size=num_patients)
    patients = np.repeat(np.arange(num_patients), sizes)
    level = rng.normal(0.3, 1.0, size=num_patients)
    return level[patients] + rng.normal(0, 0.5, size=len(patients)), patients


@pytest.mark.parametrize("num_patients", [30, 60])
def test_the_95_percent_interval_covers_the_true_mean_in_93_to_97_percent(num_patients):
    # 1,500 simulations of a fixed seed: the standard error of the share is 0.6 %.
    rng = np.random.default_rng(11)
    covered = 0
    for simulation in range(1500):
        values, patients = clustered(rng, num_patients)
        low, high = patient_bootstrap(values, patients, CONFIG, seed=simulation)
        covered += low <= 0.3 <= high
    assert 0.93 <= covered / 1500 <= 0.97


def test_treating_the_values_of_a_patient_as_independent_would_be_too_narrow():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(40), 5)
    values = rng.normal(size=40)[patients]
    by_patient = patient_bootstrap(values, patients, CONFIG, seed=0)
    by_value = patient_bootstrap(values, np.arange(200), CONFIG, seed=0)
    assert by_patient.high - by_patient.low > 1.5 * (by_value.high - by_value.low)


def test_every_resample_draws_as_many_patients_as_there_are():
    counts = patient_counts(17, 500, seed=0)
    assert counts.shape == (500, 17)
    assert (counts.sum(axis=1) == 17).all()
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.2)
    np.testing.assert_array_equal(counts, patient_counts(17, 500, seed=0))
    assert (counts != patient_counts(17, 500, seed=1)).any()


def test_no_resample_leaves_a_group_of_patients_empty():
    groups = np.array([0, 0, 0, 1])
    assert (patient_counts(4, 500, seed=0)[:, 3] == 0).any()
    counts = patient_counts(4, 500, seed=0, groups=groups)
    assert (counts[:, 3] > 0).all()
    assert (counts[:, :3].sum(axis=1) > 0).all()
    assert (counts.sum(axis=1) == 4).all()


def test_the_refitted_resamples_equal_a_plain_loop_over_repeated_rows():
    rng = np.random.default_rng(0)
    patients = rng.integers(100, 112, size=40)
    curves = rng.random((40, 19))
    folds = patient_folds(patients, seed=5)
    draws = cross_fit_draws(curves, patients, folds, resamples=60, seed=9)

    unique = np.unique(patients)
    in_b = np.array([(folds[patients == p] == "b").any() for p in unique]).astype(int)
    counts = patient_counts(len(unique), 60, seed=9, groups=in_b).astype(int)
    for count, draw in zip(counts, draws, strict=True):
        rows = np.repeat(np.arange(40), count[np.searchsorted(unique, patients)])
        resampled, fold = curves[rows], folds[rows]
        best_on = {f: resampled[fold == f].mean(axis=0).argmax() for f in "ab"}
        iou = [c[best_on["b" if f == "a" else "a"]] for c, f in zip(resampled, fold, strict=True)]
        assert draw == pytest.approx(np.mean(iou), rel=1e-12)


def test_refitting_the_threshold_widens_the_interval():
    rng = np.random.default_rng(2)
    curves, patients = rng.random((60, 99)), np.arange(60)
    folds = patient_folds(patients, 0)
    fixed = cross_fit(curves, patients, threshold_grid(99), 0).iou
    refitted = cross_fit_bootstrap(curves, patients, folds, CONFIG, seed=0)
    kept = patient_bootstrap(fixed, patients, CONFIG, seed=0)
    assert refitted.high - refitted.low > kept.high - kept.low


def test_with_one_threshold_the_refit_is_the_plain_mean_over_patients():
    rng = np.random.default_rng(3)
    values, patients = rng.random(300), rng.integers(80, size=300)
    folds = patient_folds(patients, 0)
    draws = cross_fit_draws(values[:, None], patients, folds, resamples=400, seed=1)
    expected = percentile_interval(draws, 0.95, len(np.unique(patients)))
    # With 40 patients a fold none is ever empty, so both draw the same resamples.
    assert patient_bootstrap(values, patients, CONFIG, seed=1) == pytest.approx(expected)


def test_intervals_do_not_depend_on_the_order_of_the_rows():
    rng = np.random.default_rng(4)
    curves, patients = rng.random((50, 9)), rng.integers(20, size=50)
    folds, shuffle = patient_folds(patients, 0), rng.permutation(50)
    assert cross_fit_bootstrap(
        curves[shuffle], patients[shuffle], folds[shuffle], CONFIG, seed=0
    ) == pytest.approx(cross_fit_bootstrap(curves, patients, folds, CONFIG, seed=0))


def test_few_patients_widen_the_interval_beyond_the_plain_percentiles():
    draws = np.random.default_rng(0).normal(size=20000)
    plain = np.quantile(draws, [0.025, 0.975])
    few, many = percentile_interval(draws, 0.95, 10), percentile_interval(draws, 0.95, 10**6)
    assert few.low < plain[0]
    assert few.high > plain[1]
    assert many == pytest.approx(plain, abs=1e-3)


def test_one_patient_has_no_interval():
    assert np.isnan(patient_bootstrap([0.1, 0.2, 0.4], [7, 7, 7], CONFIG, seed=0)).all()


def test_values_that_are_nan_are_counted_in_the_error():
    with pytest.raises(ValueError, match="1 of 3 values are NaN"):
        patient_bootstrap([0.1, np.nan, 0.2], [1, 2, 3], CONFIG, seed=0)
