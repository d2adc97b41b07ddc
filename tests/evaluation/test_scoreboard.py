"""Guards that a scoreboard's numbers are those of the run's tables, of its own task only."""

import numpy as np
import pandas as pd
import pytest

from evaluation.config import BootstrapConfig
from evaluation.scoreboard import METRICS, SOURCES, scoreboard

FEW = BootstrapConfig(resamples=20)


def means(**columns: object) -> pd.DataFrame:
    """Rows of two methods, as tables have them."""
    given = {"method": ["iba", "random"], "value": [0.4, 0.1], "ci_low": [0.3, 0.0]}
    given |= {"ci_high": [0.5, 0.2], "n": 7, "n_patients": 5}
    return pd.DataFrame(given | columns)


def board(task: str = "findings", **tables: pd.DataFrame) -> pd.DataFrame:
    return scoreboard(task, tables, "films", FEW, 0).set_index("method")


def test_a_metric_has_its_value_interval_and_count_by_method():
    found = board(localization=means(metric="pointing"))
    assert found.columns.tolist() == [
        "pointing", "pointing_ci_low", "pointing_ci_high", "pointing_n",
    ]  # fmt: skip
    assert found.loc["iba"].tolist() == [0.4, 0.3, 0.5, 7]


def test_table_1_gives_the_row_that_stands_for_the_method():
    table1 = means(iou=[0.2, 0.3], primary=[True, False], method="multilayer_iba")
    table1["score_behind"] = np.nan
    assert board(table1=table1)["iou"].to_dict() == {"multilayer_iba": 0.2}


def test_insertion_and_deletion_are_those_of_the_tasks_films_and_the_papers_baseline():
    rows = pd.DataFrame(
        [
            ("films", "blur", 0.7, 0.2),
            ("films", "zero", 0.8, 0.1),
            ("other films", "blur", 0.9, 0.3),
        ],
        columns=["dataset", "baseline", "insertion_auc", "deletion_auc"],
    ).assign(method="iba", n=3, **{f"{each}_ci_{end}": 0.5 for each in ("insertion", "deletion")
                                   for end in ("low", "high")})  # fmt: skip
    found = board(fig2=rows).loc["iba"]
    assert (found["insertion"], found["deletion"]) == (0.7, 0.2)
    assert found["deletion_ci_low"] == 0.5


def test_sensitivity_n_and_sanity_are_means_over_all_runs_of_a_sample():
    names = {"method": "iba", "sample": [0, 0, 1, 1], "patient": [1, 1, 2, 2]}
    several = pd.DataFrame(names).assign(correlation=[0.1, 0.3, 0.5, 0.7])
    layers = ["spearman_conv0", "spearman_classifier"] * 2
    sanity = pd.DataFrame(names).assign(metric=layers, value=[0.2, 0.4, 0.6, 0.8])
    sanity = pd.concat([sanity, sanity.assign(metric="ssim_conv0", value=9)])
    found = board(sensitivity_n_samples=several, sanity_samples=sanity).loc["iba"]
    assert found["sensitivity_n"] == pytest.approx(0.4)
    assert found["sanity"] == pytest.approx(0.5)
    assert found["sanity_n"] == 2


def test_a_table_of_several_tasks_gives_the_rows_of_its_own():
    names = {"method": "iba", "sample": 0, "patient": 1, "metric": "spearman_conv0"}
    both = pd.DataFrame([names | {"task": "findings", "value": 0.2},
                         names | {"task": "detectors", "value": 0.6}])  # fmt: skip
    assert board(sanity_samples=both).loc["iba", "sanity"] == 0.2
    assert board("detectors", sanity_samples=both).loc["iba", "sanity"] == 0.6


def test_detectors_have_an_iou_each_and_what_is_left_behind_pooled_over_their_samples():
    rows = [("Detector2", 0.1, 10, 0.8), ("Detector3", 0.3, 30, 0.4)]
    table2 = pd.DataFrame(rows, columns=["detector", "iou", "n", "score_behind"])
    table2 = table2.assign(method="iba", primary=True, ci_low=0, ci_high=1)
    found = board("detectors", table2=table2).loc["iba"]
    assert (found["iou_Detector2"], found["iou_Detector3"]) == (0.1, 0.3)
    assert found["score_behind"] == pytest.approx(0.5)


def test_the_severity_has_no_row_of_the_model_itself():
    drops = means(
        method=["model", "regression_iba_rm"], metric=["scores_spearman", "drops_spearman"]
    )
    found = board("severity", zone_drops=drops)
    assert found.index.tolist() == ["regression_iba_rm"]
    assert found["drops_spearman"].tolist() == [0.1]


def test_without_a_table_there_are_no_rows():
    assert board().empty
    assert {"table1", "table2", "pcc"} <= SOURCES
    assert set(METRICS) == {"findings", "detectors", "severity"}
