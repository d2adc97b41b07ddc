"""A claim that is true holds, one that is false fails, and what nobody can tell is undecided."""

import numpy as np
import pandas as pd
import pytest

from evaluation.claims import COMPARISONS, Comparison
from evaluation.config import BootstrapConfig, ClaimsConfig
from evaluation.localization import cross_fit
from evaluation.verdicts import claims_table, compare_losses, compare_methods, observe

CONFIG = ClaimsConfig(resamples=2000)
IOU = Comparison("localization", "2.3", "iou", "multilayer_iba", "iba")


def measured(comparison, effect, num_patients=60, seed=0):
    """Both sides of a comparison, the better one ahead by ``effect`` in the claimed direction."""
    rng = np.random.default_rng(seed)
    num = 2 * num_patients
    level = rng.normal(0, 1, num) if comparison.worse else np.zeros(num)
    sign = 1 if comparison.higher else -1
    methods = {comparison.better: level + sign * (effect + rng.normal(0, 0.3, num))}
    if comparison.worse:
        methods[comparison.worse] = level
    frames = [
        pd.DataFrame(
            {
                "method": method,
                "sample": range(num),
                "patient": np.arange(num) // 2,
                "severity": 3.0,
                comparison.metric: values,
            }
        )
        for method, values in methods.items()
    ]
    where = comparison.where or "nih_phantoms"
    return observe(pd.concat(frames), [comparison.metric], where, "weighted_bce")


def verdict(comparison, effect, **kwargs):
    findings, _ = compare_methods(
        measured(comparison, effect, **kwargs), {}, 0, CONFIG, 0, [comparison]
    )
    return claims_table(findings, CONFIG).iloc[0]


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda c: c.claim)
def test_each_claim_holds_on_data_in_which_it_is_true_and_fails_where_it_is_false(comparison):
    true, false = verdict(comparison, 0.5), verdict(comparison, -0.5)
    assert (true["verdict"], false["verdict"]) == ("holds", "fails")
    assert true["ci_low"] > 0 > false["ci_high"]
    assert true["difference"] == pytest.approx(0.5, abs=0.15)
    assert (true["claim"], true["n"], true["n_patients"]) == (comparison.claim, 120, 60)


def test_no_effect_and_few_patients_are_undecided():
    assert verdict(IOU, 0.0)["verdict"] == "undecided"
    few = verdict(IOU, 0.5, num_patients=29)
    assert few["verdict"] == "undecided"
    assert few["p_holm"] < 0.05
    assert verdict(IOU, 0.5, num_patients=30)["verdict"] == "holds"


def test_the_columns_are_those_of_the_contract():
    findings, _ = compare_methods(measured(IOU, 0.5), {}, 0, CONFIG, 0, [IOU])
    contract = "claim,where,verdict,difference,ci_low,ci_high,p_holm,n,n_patients"
    assert ",".join(claims_table(findings, CONFIG).columns[:9]) == contract
    assert claims_table([], CONFIG).columns.equals(claims_table(findings, CONFIG).columns)


def test_p_values_are_adjusted_over_their_family_and_not_over_others():
    others = [
        Comparison("localization", "", "recall_at_area", "inverse_iba", "iba"),
        Comparison("severity", "", "pcc_film", "regression_iba_dv", "random"),
    ]
    planted = list(zip([IOU, *others], (0.06, 0.02, 0.03), strict=True))
    frames = [measured(comparison, effect) for comparison, effect in planted]
    alone = [verdict(comparison, effect)["p_holm"] for comparison, effect in planted]
    findings, _ = compare_methods(pd.concat(frames), {}, 0, CONFIG, 0, [IOU, *others])
    table = claims_table(findings, CONFIG)
    assert table["p_holm"].tolist() == pytest.approx(
        [min(1, 2 * alone[0]), max(min(1, 2 * alone[0]), alone[1]), alone[2]]
    )


def test_what_a_run_did_not_measure_is_left_out_with_its_reason():
    findings, left_out = compare_methods(measured(IOU, 0.5), {}, 0, CONFIG, 0)
    assert [f.claim for f in findings] == [IOU.claim]
    assert len(left_out) == len(COMPARISONS) - 1
    reasons = left_out.set_index("claim")["reason"]
    assert reasons["iou: multilayer_iba > class_prior"] == "no iou of class_prior in this run"
    assert (
        "pcc_film of regression_iba_mse and random"
        in reasons["pcc_film: regression_iba_mse > random"]
    )


def test_sides_measured_in_different_places_are_not_compared():
    rows = measured(IOU, 0.5)
    rows.loc[rows["method"] == "iba", "where"] = "brixia"
    findings, left_out = compare_methods(rows, {}, 0, CONFIG, 0, [IOU])
    assert not findings
    assert left_out.to_numpy().tolist() == [[IOU.claim, "any", "not both in this run"]]


def test_a_claim_about_brixia_is_not_judged_on_nih():
    brixia = Comparison("localization", "Table 2", "iou", "inverse_iba", "iba", where="brixia")
    rows = measured(brixia, 0.5)
    places = [rows.assign(where=f"brixia Detector{k}") for k in (2, 3)]
    rows = pd.concat([rows.assign(where="nih"), *places])
    findings, _ = compare_methods(rows, {}, 0, CONFIG, 0, [brixia])
    assert [f.where for f in findings] == ["brixia Detector2", "brixia Detector3"]


def test_a_claim_about_low_targets_leaves_out_the_high_ones():
    low = Comparison("severity", "2.2", "zone_spearman", "a", "b", max_severity=6)
    rows = measured(low, 0.5)
    high = rows["sample"] >= 80
    rows.loc[high, "severity"] = 12
    rows.loc[high & (rows["method"] == "a"), "value"] = -100
    findings, _ = compare_methods(rows, {}, 0, CONFIG, 0, [low])
    assert findings[0].difference.n == 80
    assert findings[0].difference.low > 0


def test_iou_is_compared_by_curves_with_the_thresholds_chosen_anew():
    rng = np.random.default_rng(0)
    patients = np.arange(80) // 2
    curves = {("nih", "bce", m): rng.random((80, 30)) for m in ("multilayer_iba", "iba")}
    frames = [
        pd.DataFrame(
            {
                "method": method,
                "sample": range(80),
                "patient": patients,
                "iou": cross_fit(curve, patients, np.arange(30), 4).iou,
            }
        )
        for (_, _, method), curve in curves.items()
    ]
    rows = observe(pd.concat(frames), ["iou"], "nih", "bce")
    (refit,), _ = compare_methods(rows, curves, 4, CONFIG, 0, [IOU])
    (kept,), _ = compare_methods(rows, {}, 4, CONFIG, 0, [IOU])
    assert refit.difference.value == pytest.approx(kept.difference.value)
    assert refit.difference.high - refit.difference.low > kept.difference.high - kept.difference.low
    short = {key: curve[:-1] for key, curve in curves.items()}
    with pytest.raises(ValueError, match="curves are of other samples"):
        compare_methods(rows, short, 4, CONFIG, 0, [IOU])


def test_two_models_in_one_place_are_two_findings():
    rows = measured(IOU, 0.5)
    both = pd.concat([rows, rows.assign(model="bce")])
    findings, _ = compare_methods(both, {}, 0, CONFIG, 0, [IOU])
    assert [f.where for f in findings] == ["nih_phantoms, weighted_bce", "nih_phantoms, bce"]


def test_sides_of_different_samples_are_refused():
    rows = measured(IOU, 0.5)
    with pytest.raises(ValueError, match="do not have the same samples"):
        compare_methods(rows.iloc[1:], {}, 0, CONFIG, 0, [IOU])


def losses(iou_gain, skill, num_patients=80):
    """Rows of Table 3's samples under two rules, and the classification of both models."""
    rng = np.random.default_rng(0)
    claim = Comparison("loss", "", "iou", "weighted_bce", "bce")
    rows = measured(claim, iou_gain)
    rows = rows.rename(columns={"value": "iou"}).assign(loss=rows["method"])
    rows = pd.concat([rows.assign(rule=rule) for rule in ("shared_threshold", "matched_bits")])
    films = pd.DataFrame({"patient": np.arange(num_patients * 8) // 8})
    logits = {}
    for name in ("Mass", "Nodule"):
        films[name] = rng.integers(2, size=len(films))
        logits[f"logit_{name}"] = films[name] + rng.normal(0, 0.8, len(films))
    plain = films.assign(**logits)
    weighted = plain.copy()
    for column in logits:
        weighted[column] = skill * plain[column] + rng.normal(0, 0.02, len(films))
    return rows, weighted, plain


def judge_losses(*frames, bootstrap=BootstrapConfig(resamples=500)):  # noqa: B008
    rows, weighted, plain = frames
    findings = compare_losses(
        rows, weighted, plain, ["Mass", "Nodule"], "nih_phantoms", CONFIG, bootstrap, seed=0
    )
    return claims_table(findings, CONFIG).set_index("claim")["verdict"].tolist()


def test_weighted_bce_above_bce_at_equivalent_skill_holds_where_it_is_true():
    assert judge_losses(*losses(0.5, skill=1)) == ["holds"] * 5


def test_weighted_bce_fails_where_its_iou_is_lower_and_its_skill_another():
    assert judge_losses(*losses(-0.5, skill=-1)) == ["fails"] * 5


def test_equivalence_is_undecided_where_the_interval_is_wider_than_the_margin():
    rows, weighted, plain = losses(0.5, skill=1)
    rng = np.random.default_rng(1)
    for column in ("logit_Mass", "logit_Nodule"):
        weighted[column] = plain[column] + rng.normal(0, 0.15, len(plain))
    few = plain["patient"] < 6
    assert judge_losses(rows, weighted[few], plain[few])[3:] == ["undecided"] * 2


def test_rules_that_contradict_each_other_leave_the_claim_of_the_losses_undecided():
    rows, weighted, plain = losses(0.5, skill=1)
    turned = rows["rule"] == "matched_bits"
    rows.loc[turned, "iou"] *= -1
    assert judge_losses(rows, weighted, plain)[:3] == ["undecided", "holds", "fails"]


def test_losses_evaluated_on_other_films_are_refused():
    rows, weighted, plain = losses(0.5, skill=1)
    with pytest.raises(ValueError, match="same films in the same order"):
        judge_losses(rows, weighted.iloc[::-1], plain)
    with pytest.raises(ValueError, match="no iou of inverse_iba@bce in this run"):
        judge_losses(rows[rows["loss"] != "bce"], weighted, plain)
