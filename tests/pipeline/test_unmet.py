"""Guards that the dagger stands beside numbers of unmet operating points, and beside no other."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.config import compose_config
from pipeline.task import DETECTORS, FINDINGS, SEVERITY
from pipeline.unmet import Unmet

DATASETS = {FINDINGS: "nih_phantoms", DETECTORS: "brixia_phantoms", SEVERITY: "brixia_phantoms"}


@pytest.fixture(scope="module")
def config():
    return compose_config(["experiment=smoke"])


def unmet(folder: Path, config, *failed: tuple[str, str]) -> Unmet:
    models = {(f"{FINDINGS} {config.train.primary.value}", "iba_block2"), *failed}
    rows = [{"model": model, "method": method, "met": False} for model, method in sorted(models)]
    rows.append({"model": rows[0]["model"], "method": "iba", "met": True})
    pd.DataFrame(rows).to_csv(folder / "operating_points.csv", index=False)
    return Unmet.read(folder, config, DATASETS)


def test_rows_of_the_method_and_of_multilayer_iba_which_joins_it_are_marked(tmp_path, config):
    table = pd.DataFrame({"method": ["iba", "iba_block2", "multilayer_iba", "random"]})
    marks = unmet(tmp_path, config)
    assert marks.rows(table, [FINDINGS]) == [False, True, True, False]
    assert marks.rows(table, [DETECTORS, SEVERITY]) == [False] * 4


@pytest.mark.parametrize(
    ("column", "of_findings", "of_detectors"),
    [
        ("dataset", "nih_phantoms", "brixia_phantoms"),
        ("task", FINDINGS, DETECTORS),
    ],
)
def test_a_table_of_both_tasks_is_marked_where_the_task_is_the_methods(
    column, of_findings, of_detectors, tmp_path, config
):
    table = pd.DataFrame({column: [of_findings, of_detectors], "method": "iba_block2"})
    assert unmet(tmp_path, config).rows(table, [FINDINGS]) == [True, False]


def test_a_comparison_is_marked_for_either_method_in_any_task(tmp_path, config):
    sides = [("iba_block2", "random"), ("iba", "regression_iba_mse"), ("iba", "random")]
    table = pd.DataFrame(sides, columns=["better", "worse"])
    marks = unmet(tmp_path, config, (SEVERITY, "regression_iba_mse"))
    assert marks.rows(table, [FINDINGS]) == [True, True, False]


def test_a_comparison_of_two_trainings_is_marked_for_the_model_of_the_loss(tmp_path, config):
    other = next(loss.value for loss in config.train.losses if loss != config.train.primary)
    table = pd.DataFrame({"better": ["iba@bce", f"inverse_iba@{other}"], "worse": "iba@bce"})
    marks = unmet(tmp_path, config, (f"{FINDINGS} {other}", "inverse_iba"))
    assert marks.rows(table, ()) == [False, True]


def test_table_3_is_marked_for_the_model_of_the_loss(tmp_path, config):
    other = next(loss.value for loss in config.train.losses if loss != config.train.primary)
    marks = unmet(tmp_path, config, (f"{FINDINGS} {other}", "inverse_iba"))
    table = pd.DataFrame({"loss": [config.train.primary.value, other], "iou": [0.1, 0.2]})
    assert marks.rows(table, [FINDINGS]) == [False, True]
    assert marks.rows(pd.DataFrame({"method": ["inverse_iba"]}), [FINDINGS]) == [False]


def test_figures_name_the_methods_and_the_report_says_all_in_a_sentence(tmp_path, config):
    marks = unmet(tmp_path, config, (SEVERITY, "regression_iba_dv"))
    assert marks.named(["iba", "regression_iba_dv"], [DETECTORS, SEVERITY]) == ["regression_iba_dv"]
    assert "Regression IBA (DV) (severity)" in marks.sentence()
    assert "IBA at block 2 (findings" in marks.sentence()


def test_a_run_whose_betas_were_given_has_no_mark(tmp_path, config):
    marks = Unmet.read(tmp_path, config, DATASETS)
    assert marks.rows(pd.DataFrame({"method": ["iba_block2"]}), [FINDINGS]) == [False]
    assert not marks.pairs
