"""Guards that figures of what a run did not measure are left out, with a note."""

import json
from pathlib import Path

import pandas as pd

from attribution.config import Score
from pipeline.executors.base import SerialExecutor
from pipeline.executors.config import ExecutorConfig
from pipeline.step import Machine, UserFiles, Work
from pipeline.steps.gallery import RECORD
from pipeline.steps.scored_figures import ScoredFigures


def test_figures_of_methods_that_did_not_run_are_left_out_with_a_note(tmp_path):
    films = {"model": "bce", "Detector3": [0, 1], "logit_Detector3": [0.1, 0.3]}
    pd.DataFrame(films).to_csv(tmp_path / "detectors_samples.csv", index=False)
    history = {"epoch": [0], "train_loss": [0.7], "val_loss": [0.6], "val_auc": [0.5]}
    pd.DataFrame(history).to_csv(tmp_path / "history.csv", index=False)
    here = UserFiles(tmp_path, "here")
    figures = ScoredFigures(
        tables=here,
        trainings={"detector_bce": here},
        pack=here,
        zones=here,
        detector_prediction=here,
        detector_samples=here,
        detector_maps={"iba": here},
        score=Score.logit,
        severity_prediction=here,
        severity_samples=here,
        severity_maps={},
        hash_ids=False,
    )
    folder, notes = Path(tmp_path / "figures"), list[str]()
    folder.mkdir()
    figures.run(
        Work(
            folders={"here": tmp_path},
            machine=Machine(tmp_path),
            folder=folder,
            progress=lambda done, total: None,
            note=notes.append,
            executor=SerialExecutor(ExecutorConfig()),
        )
    )
    assert notes == [
        "no fig1_scored: no film with several zones of score 3 has both maps",
        "no figure 3a: the run has no map of regression_iba_dv",
    ]
    drawn = {"training_detector_bce", "roc_detectors", "precision_recall_detectors"}
    assert set(json.loads((folder / RECORD).read_text())) == drawn
    assert {path.stem for path in folder.glob("*.png")} == drawn
