"""Guards claims.csv: a true claim holds, a false one fails, and what cannot be told is not told."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from evaluation.claims import CLAIMS, Claim
from evaluation.config import ClaimsConfig
from evaluation.verdicts import CLAIM_COLUMNS, details, judge, needed_patients, pairs

CONFIG = ClaimsConfig()
IOU = next(claim for claim in CLAIMS if claim.number == 5)
JUDGED = [claim for claim in CLAIMS if claim.parts]


def measured(claim: Claim, effect: float, num_patients: int = 60, seed: int = 0) -> pd.DataFrame:
    """Rows in which every part's better side is ahead by ``effect`` margins, as claimed."""
    frames = []
    for part in {(p.table, p.place, p.metrics, p.better): p for p in claim.parts}.values():
        rng = np.random.default_rng(seed)
        level = rng.normal(0.4, 0.1, num_patients)
        others = dict.fromkeys(p.worse for p in claim.parts if p.worse and p.table == part.table)
        ahead = (effect + rng.normal(0, 0.3, num_patients)) * part.margin
        sides = dict.fromkeys(others, level * any(p.worse for p in claim.parts))
        if all(p.worse is None for p in claim.parts if p.better == part.better):
            sides, level = {}, np.zeros(num_patients)
        sides[part.better] = level + (ahead if part.higher else -ahead)
        for method, values in sides.items():
            for metric in part.metrics:
                frames.append(
                    pd.DataFrame(
                        {
                            "task": part.tasks[0],
                            "table": part.table,
                            "place": part.place,
                            "metric": metric,
                            "method": method,
                            "sample": np.arange(num_patients),
                            "patient": [f"films {k}" for k in range(num_patients)],
                            "finding": "Mass",
                            "severity": 3.0,
                            "value": values,
                        }
                    )
                )
    rows = pd.concat(frames, ignore_index=True)
    return rows.drop_duplicates(["table", "place", "metric", "method", "sample"], keep="last")


def row_of(claim: Claim, rows: pd.DataFrame, config: ClaimsConfig = CONFIG) -> pd.Series:
    return judge(rows, config, [claim]).iloc[0]


def plain(claim: Claim) -> Claim:
    """With parts whose sides no other part uses as its other side, for data made by hand."""
    zero = [part for part in claim.parts if part.worse is not None]
    return replace(claim, parts=tuple(zero), controls=())


@pytest.mark.parametrize("claim", [plain(claim) for claim in JUDGED], ids=lambda c: str(c.number))
@pytest.mark.parametrize(
    ("effect", "verdict"), [(3, "holds"), (-3, "fails"), (0, "no relevant difference")]
)
def test_each_claim_holds_where_it_is_true_and_fails_where_it_is_false(claim, effect, verdict):
    row = row_of(claim, measured(claim, effect))
    assert row["verdict"] == verdict
    assert (row["n"], row["n_patients"]) == (60, 60)
    assert row["difference"] == pytest.approx(effect * row["margin"], abs=row["margin"] * 0.2)


def test_the_columns_are_those_of_the_contract_and_every_claim_has_a_row():
    table = judge(measured(IOU, 1), CONFIG)
    assert tuple(table.columns) == CLAIM_COLUMNS
    assert table["number"].tolist() == list(range(1, 13))
    others = table[table["number"] != IOU.number]
    assert (others["verdict"] == "not judged").all()
    assert others["reason"].str.len().all()


def test_what_was_not_measured_says_which_comparison_is_absent():
    table = judge(measured(IOU, 1), CONFIG).set_index("number")
    assert "deletion_auc (blur): inverse_iba < iba" in table.loc[3, "reason"]
    assert "experiment=seeds" in table.loc[12, "reason"]


def test_a_claim_of_too_few_patients_leaves_the_family_and_says_how_many_it_needs():
    rows = measured(IOU, 3, num_patients=12)
    row = row_of(IOU, rows, ClaimsConfig(least_power=0.99))
    needed = needed_patients(IOU, CONFIG.alpha)
    assert (row["verdict"], row["reason"]) == (
        "not judged",
        f"would need {needed} patients, has 12",
    )
    assert row["difference"] is None or np.isnan(row["difference"])
    assert row_of(IOU, rows, ClaimsConfig(least_power=0.2))["verdict"] == "holds"


def test_an_undecided_claim_says_how_many_patients_would_decide_it():
    rows = measured(IOU, 0.0)
    noise = np.random.default_rng(1).normal(0.01, 0.15, 60)
    rows["value"] += np.where(rows["method"] == IOU.parts[0].better, np.tile(noise, 2), 0)
    row = row_of(IOU, rows)
    assert row["verdict"] == "undecided"
    assert row["reason"] == f"would need {row['patients_needed']:,} patients, has 60"
    assert row["patients_needed"] > 60


def test_the_row_shows_the_part_that_decides():
    claim = next(claim for claim in CLAIMS if claim.number == 4)
    rows = measured(claim, 3)
    rows.loc[rows["method"] == "lrp", "value"] += 6 * claim.parts[0].margin
    row = row_of(claim, rows)
    assert (row["verdict"], row["better"], row["worse"]) == ("fails", "multilayer_iba", "lrp")
    assert row["better_value"] - row["worse_value"] == pytest.approx(row["difference"])


def test_the_strongest_control_stands_beside_the_verdict():
    rows = measured(IOU, 3)
    ours = rows[rows["method"] == "inverse_iba"]
    noise = np.random.default_rng(2).normal(0, 0.01, len(ours))
    prior = ours.assign(method="class_prior", value=ours["value"] - 0.2)
    lungs = ours.assign(method="lung_mask", value=ours["value"] + noise)
    row = row_of(IOU, pd.concat([rows, prior, lungs]))
    assert (row["verdict"], row["control"]) == ("holds", "lung_mask")
    assert row["control_verdict"] == "no better"
    assert row_of(IOU, pd.concat([rows, prior]))["control_verdict"] == "better"


def test_sides_of_different_samples_are_refused():
    rows = measured(IOU, 1)
    lacking = (rows["method"] == "iba") & (rows["sample"] == 7)
    with pytest.raises(ValueError, match="same samples"):
        judge(rows[~lacking], CONFIG)


def test_a_value_that_is_not_defined_leaves_its_pair_out():
    rows = measured(IOU, 1)
    rows.loc[(rows["method"] == "iba") & (rows["sample"] == 7), "value"] = np.nan
    assert len(pairs(rows, IOU.parts[0])) == 59


def test_films_above_the_severity_of_a_part_and_a_finding_that_it_leaves_out_do_not_count():
    mild = replace(IOU.parts[0], max_severity=6, without="Cardiomegaly")
    rows = measured(IOU, 1)
    rows.loc[rows["sample"] < 10, "severity"] = 12
    rows.loc[rows["sample"] >= 55, "finding"] = "Cardiomegaly"
    assert pairs(rows, mild)["sample"].tolist() == list(range(10, 55))


def test_samples_of_several_tasks_are_pooled_and_metrics_of_a_sample_averaged():
    part = replace(IOU.parts[0], tasks=("detectors", "zones"), metrics=("iou", "other"))
    rows = measured(replace(IOU, parts=(part,)), 1)
    rows.loc[rows["metric"] == "other", "value"] += 0.2
    both = pd.concat([rows, rows.assign(task="zones")])
    found = pairs(both, part)
    assert len(found) == 120
    iou = rows[(rows["metric"] == "iou") & (rows["method"] == "iba")]["value"]
    np.testing.assert_allclose(found["worse"][:60], iou + 0.1)


def test_details_have_every_part_whole_and_by_finding_and_without_adjustment():
    rows = measured(IOU, 1)
    rows.loc[rows["sample"] < 20, "finding"] = "Nodule"
    table = details(rows, CONFIG)
    own = table[table["number"] == IOU.number]
    assert own["where"].tolist() == ["all", "Mass", "Nodule"]
    assert own["n"].tolist() == [60, 40, 20]
    whole = own.iloc[0]
    assert whole["p"] == pytest.approx(row_of(IOU, rows)["p_difference"])
