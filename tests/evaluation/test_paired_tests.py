"""Guards the tests behind the verdicts: errors bounded, effects found, p-values without a floor."""

import numpy as np
import pytest
from scipy import stats

from evaluation.bootstrap import patient_bootstrap
from evaluation.config import BootstrapConfig
from evaluation.paired_tests import (
    Decision,
    Estimate,
    Verdict,
    decide,
    holm,
    paired_difference,
    patient_estimate,
    patients_for,
    power,
    rule,
)

ALPHA = 0.05


def paired(rng, num_patients, effect):
    """Two values of each sample that share its difficulty, 1-4 samples a patient."""
    patients = np.repeat(np.arange(num_patients), rng.integers(1, 5, size=num_patients))
    base = rng.normal(0.3, 1.0, size=num_patients)[patients] + rng.normal(0, 0.5, len(patients))
    gain = rng.normal(effect, 0.4, size=num_patients)[patients]
    return base + gain + rng.normal(0, 0.2, size=len(base)), base, patients


@pytest.mark.parametrize("num_patients", [15, 30, 60])
def test_the_interval_covers_the_truth_in_93_to_97_percent_and_p_rejects_it_in_the_rest(
    num_patients,
):
    rng = np.random.default_rng(5)
    covered = rejected = 0
    for _ in range(1500):
        a, b, patients = paired(rng, num_patients, effect=0.2)
        found = paired_difference(a - 0.2, b, patients)
        low, high = found.interval(0.95)
        covered += low <= 0 <= high
        rejected += found.p < ALPHA
    assert 0.93 <= covered / 1500 <= 0.97
    assert covered + rejected == 1500


def test_of_one_sample_a_patient_it_is_students_t_test():
    a, b = np.random.default_rng(0).normal([[0.3], [0.0]], 1.0, (2, 25))
    found, expected = paired_difference(a, b, np.arange(25)), stats.ttest_rel(a, b)
    assert found.p == pytest.approx(expected.pvalue)
    assert found.interval(0.95) == pytest.approx(expected.confidence_interval(0.95))


def test_the_p_of_a_large_effect_has_no_floor():
    values = np.random.default_rng(0).normal(2.0, 1.0, 30)
    assert paired_difference(values, np.zeros(30), np.arange(30)).p < 1e-9


def test_pairing_is_narrower_than_two_intervals_of_their_own():
    a, b, patients = paired(np.random.default_rng(0), 60, effect=0.2)
    low, high = paired_difference(a, b, patients).interval(0.95)
    own = [patient_bootstrap(v, patients, BootstrapConfig(resamples=400), seed=0) for v in (a, b)]
    assert high - low < 0.5 * max(each.high - each.low for each in own)


def test_no_difference_at_all_has_a_p_of_one_and_is_certainly_within_a_margin():
    found = paired_difference(np.arange(40.0), np.arange(40.0), np.arange(40))
    assert (found.value, found.p) == (0, 1)
    assert decide([found], [0.1]).equivalent == 0


def test_pairs_with_a_nan_are_left_out_and_an_infinite_value_is_refused():
    a, b, patients = paired(np.random.default_rng(1), 40, effect=0.2)
    holes = np.where(np.arange(len(a)) % 3, a, np.nan)
    keep = ~np.isnan(holes)
    found = paired_difference(holes, b, patients)
    assert found == paired_difference(a[keep], b[keep], patients[keep])
    assert (found.n, found.n_patients) == (keep.sum(), len(np.unique(patients[keep])))
    assert paired_difference([np.nan], [1.0], [0])[2:] == (0, 0)
    with pytest.raises(ValueError, match="infinite"):
        paired_difference([0.5, np.inf], [0.4, np.inf], [0, 1])


def test_one_patient_has_a_mean_and_neither_interval_nor_p():
    found = paired_difference([0.5, 0.7], [0.4, 0.4], ["a", "a"])
    assert found.value == pytest.approx(0.2)
    assert np.isnan([*found.interval(0.95), found.p_above(), found.p_below()]).all()


def test_a_patient_drawn_twice_counts_as_two():
    sums, sizes = np.array([0.3, 1.0, -0.4]), np.array([1, 2, 1])
    drawn = patient_estimate(sums, sizes, np.array([2, 0, 1]))
    written_out = paired_difference([0.3, 0.3, -0.4], [0, 0, 0], [0, 1, 2])
    assert drawn == pytest.approx(written_out)


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        # Holm 1979: the smallest times m, the next times m - 1, never falling, at most 1.
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([], []),
    ],
)
def test_holms_adjustment(p, adjusted):
    np.testing.assert_allclose(holm(p), adjusted)


def of(value, error=0.01):
    return Estimate(value, error, 50, 50)


def test_several_parts_hold_together_fail_by_one_and_do_not_matter_by_the_least():
    both = decide([of(0.1), of(0.02)], [0.05, 0.05])
    assert both.holds == of(0.02).p_above()
    assert both.fails == 1
    one = decide([of(0.1), of(-0.1)], [0.05, 0.05])
    assert one.fails == pytest.approx(2 * of(-0.1).p_below())
    assert one.holds > 0.999
    assert decide([of(0.1), of(0.0)], [0.05, 0.05]).equivalent < 1e-4
    assert decide([of(0.1), of(0.1)], [0.05, 0.05]).equivalent == 1


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (0.1, Verdict.holds),
        (-0.1, Verdict.fails),
        (0.0, Verdict.no_difference),
        (0.025, Verdict.no_difference),  # certain, and too small to matter
        (0.045, Verdict.holds),
    ],
)
def test_each_verdict_is_given_where_it_is_true(value, verdict):
    assert rule([decide([of(value)], [0.05])], ALPHA)[0].verdict is verdict


def test_what_nobody_can_tell_is_undecided():
    assert rule([decide([of(0.03, error=0.03)], [0.05])], ALPHA)[0].verdict is Verdict.undecided


def test_a_ruling_rests_on_its_family_and_not_on_itself_alone():
    weak, strong = Decision(0.02, 0.98, 1.0), Decision(0.0001, 0.9999, 1.0)
    assert rule([weak], ALPHA)[0].verdict is Verdict.holds
    family = rule([weak] * 3 + [strong], ALPHA)
    assert [each.verdict for each in family] == [Verdict.undecided] * 3 + [Verdict.holds]
    assert family[0].p_difference == pytest.approx(0.12)


def test_power_is_the_share_of_t_tests_that_find_the_effect():
    rng = np.random.default_rng(0)
    data = rng.normal(0.5, 1.0, (4000, 30))
    found = (stats.ttest_1samp(data, 0, axis=1).pvalue < 0.01).mean()
    assert power(0.5, 1.0, 30, 0.01) == pytest.approx(found, abs=0.025)
    assert power(0.5, 1.0, 1, 0.01) == 0


def test_the_patients_that_are_needed_are_the_fewest_that_suffice():
    needed = patients_for(0.04, 0.09, 0.005)
    assert power(0.04, 0.09, needed, 0.005) >= 0.8 > power(0.04, 0.09, needed - 1, 0.005)
    assert patients_for(0.0, 1.0, 0.05) == 1_000_000


def skewed(rng, num_patients):
    """Differences as maps have them: most near 0, a few large, of mean 0 and deviation 1."""
    values = rng.exponential(1.0, num_patients) * (rng.random(num_patients) < 0.5)
    return (values - 0.5) / np.sqrt(0.75)


@pytest.mark.parametrize("effect", [0.0, 1.0])
def test_of_a_thousand_families_few_err_without_effect_and_most_decide_with_it(effect):
    # 11 claims of 25 to 110 patients; margin and effect of 0.6 and 0.75 deviations at 50 patients.
    rng = np.random.default_rng(7)
    patients = [25, 40, 50, 50, 50, 60, 80, 100, 110, 110, 110]
    wrong, decided = 0, 0
    for _ in range(1000):
        decisions = []
        for count in patients:
            scale = np.sqrt(50 / count)
            values = skewed(rng, count) + effect * 0.75 * scale
            found = paired_difference(values, np.zeros(count), np.arange(count))
            decisions.append(decide([found], [0.6 * scale]))
        verdicts = [ruling.verdict for ruling in rule(decisions, ALPHA)]
        wrong += any(v in (Verdict.holds, Verdict.fails) for v in verdicts)
        decided += sum(v is not Verdict.undecided for v in verdicts)
    if effect == 0:
        assert wrong / 1000 <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / 1000)
    assert decided / 1000 / len(patients) >= 0.8
