"""Which rows of a run its claims compare, and by which names."""

import pandas as pd

from pipeline.steps.claims import observations
from pipeline.steps.rows import ROWS, read_rows, write_rows

NAMES = {
    "findings": ("nih", "bce"),
    "detectors": ("brixia", "detector"),
    "severity": ("brixia", "severity"),
}


def row(task: str, table: str, metric: str, value: float, **names: object) -> dict[str, object]:
    return {"task": task, "table": table, "method": "iba", "metric": metric, "value": value} | (
        {"place": None, "sample": 0, "image": "a", "patient": 1, "finding": "Mass"} | names
    )


def observed(*rows: dict[str, object]) -> pd.DataFrame:
    return observations(pd.DataFrame(rows, columns=ROWS), NAMES, "mask_predicted")


def test_what_truly_changes_a_phantom_is_told_by_its_place():
    found = observed(
        row("findings", "localization", "mass_in_box", 0.1, place="box"),
        row("findings", "truth", "mass_in_box", 0.2, place="causal"),
        row("findings", "truth", "mass_in_box", 0.3, place="causal_one_spread"),
        row("findings", "truth", "mass_in_box", 0.4, place="planted"),
        row("findings", "own_kept", "mass_in_box", 0.5),
        row("detectors", "all_regions", "least_recall", 0.6),
        row("severity", "zone_drops", "drops_spearman", 0.7),
    )
    assert found[["where", "metric", "value"]].values.tolist() == [
        ["nih", "mass_in_box", 0.1],
        ["nih", "mass_in_box_causal", 0.2],
        ["nih", "mass_in_box_one_spread", 0.3],
        ["brixia", "least_recall", 0.6],
        ["brixia", "drops_spearman", 0.7],
    ]


def test_each_detector_is_a_place_where_it_was_judged_by_the_papers_zones():
    found = observed(
        row("detectors", "table2", "iou", 0.1, place="mask_predicted", finding="Detector3"),
        row("detectors", "table2", "iou", 0.2, place="mask_true", finding="Detector3"),
        row("detectors", "table2", "iou", 0.3, place="mask_predicted", finding="Detector01"),
        row("detectors", "zone_localization", "iou_a", 1, place="mask_predicted", finding="D2"),
        row("findings", "table1", "iou", 0.5, place="box"),
    )
    assert found[["where", "value"]].values.tolist() == [
        ["nih", 0.5],
        ["brixia Detector01", 0.3],
        ["brixia Detector3", 0.1],
    ]


def test_curves_are_one_number_for_each_sample():
    found = observed(
        row("detectors", "fig2", "insertion_auc", 0.6, place="blur"),
        row("severity", "fig3b", "correlation", 0.2, place="1"),
        row("severity", "fig3b", "correlation", 0.4, place="16"),
        row("severity", "fig3b", "correlation", float("nan"), place="64"),
    )
    assert found[["where", "model", "metric"]].values.tolist() == [
        ["brixia", "detector", "insertion_auc_blur"],
        ["brixia", "severity", "sensitivity_n"],
    ]
    assert found["value"].round(12).tolist() == [0.6, 0.3]


def test_severity_is_known_of_the_regressors_samples_alone():
    found = observed(
        row("findings", "table1", "iou", 0.5, place="box"),
        row("severity", "pcc", "severity", 6),
        row("severity", "zones", "zone_spearman", 0.9),
    ).set_index("metric")
    assert found["severity"].isna().to_dict() == {
        "iou": True,
        "severity": False,
        "zone_spearman": False,
    }
    assert found.loc["zone_spearman", "severity"] == 6


def test_a_run_without_maps_has_nothing_to_compare(tmp_path):
    write_rows([], tmp_path)
    assert observations(read_rows(tmp_path), {"findings": ("nih", "bce")}, "").empty
