"""Guards which rows of a run its claims compare, and what they are called there."""

import numpy as np
import pandas as pd

from evaluation.config import ClaimsConfig
from pipeline.steps.claims import Claims, judged_rows
from pipeline.steps.rows import ROWS, write_rows
from tests.pipeline.steps.running import given, run_step

DATASETS = {"findings": "nih", "detectors": "brixia", "severity": "brixia"}


def row(task: str, table: str, metric: str, value: float, **names: object) -> dict[str, object]:
    return {"task": task, "table": table, "method": "iba", "metric": metric, "value": value} | (
        {"place": None, "sample": 0, "image": "a", "patient": 1, "finding": "Mass"} | names
    )


def judged(*rows: dict[str, object]) -> pd.DataFrame:
    return judged_rows(pd.DataFrame(rows, columns=ROWS), DATASETS, "mask_predicted")


def test_patients_of_two_data_sets_are_not_one_and_those_of_two_tasks_of_one_are():
    found = judged(*(row(task, "fig2", "insertion_auc", 0.5) for task in DATASETS))
    assert found["patient"].tolist() == ["nih 1", "brixia 1", "brixia 1"]


def test_a_table_2_is_judged_at_the_papers_zones_alone():
    found = judged(
        row("detectors", "table2", "iou", 0.1, place="mask_predicted"),
        row("detectors", "table2", "iou", 0.2, place="mask_true"),
        row("findings", "table1", "iou", 0.5, place="box"),
    )
    assert found["value"].tolist() == [0.1, 0.5]


def test_a_film_whose_score_does_not_fall_has_no_area():
    areas = [
        row("findings", "fig2", metric, value, place=place, sample=sample)
        for sample, relative in ((0, 0.3), (1, np.nan))
        for place in ("blur", "zero")
        for metric, value in (
            ("deletion_auc", 0.4),
            ("deletion_relative", relative if place == "blur" else 0.2),
        )
    ]
    found = judged(*areas)
    known = found[found["metric"] == "deletion_auc"].set_index(["sample", "place"])["value"]
    assert known.isna().to_dict() == {
        (0, "blur"): False,
        (0, "zero"): False,
        (1, "blur"): True,
        (1, "zero"): False,
    }


def test_a_regression_sample_has_its_target_and_a_name_in_the_place_of_a_finding():
    found = judged(
        row("severity", "pcc", "severity", 5.0, finding=None),
        row("severity", "zones", "zone_spearman", 0.3, finding=None),
        row("findings", "table1", "iou", 0.5),
    )
    assert found["severity"].fillna(-1).tolist() == [5.0, 5.0, -1]
    assert found["finding"].tolist() == ["severity", "severity", "Mass"]


def test_the_step_writes_a_verdict_the_details_and_the_power(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        row("detectors", "table2", "iou", value, place="mask_predicted", method=method, sample=k)
        | {"patient": k}
        for k in range(60)
        for method, value in (("iba", 0.2), ("inverse_iba", 0.3 + rng.normal(0, 0.03)))
    ]
    (tmp_path / "tables").mkdir()
    write_rows([pd.DataFrame(rows)], tmp_path / "tables")
    config = ClaimsConfig(simulations=20)
    step = Claims(given(tmp_path / "tables"), DATASETS, "mask_predicted", config, seed=0)
    run_step(step, tmp_path / "claims")
    tables = {p.stem: pd.read_csv(p) for p in (tmp_path / "claims").glob("*.csv")}
    assert set(tables) == {"claims", "claims_details", "claims_power"}
    claims = tables["claims"].set_index("number")
    assert claims.loc[5, "verdict"] == "holds"
    assert (claims.drop(index=5)["verdict"] == "not judged").all()
    assert tables["claims_details"]["number"].tolist() == [5]
    assert tables["claims_power"]["number"].tolist() == [5, 0]
