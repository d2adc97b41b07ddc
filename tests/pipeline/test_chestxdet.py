"""ChestX-Det through a whole run: every table that polygons allow, of a model of other films."""

import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.chestxdet import FILES
from evaluation.localization import box_mask
from pipeline.config import compose_config
from pipeline.finished_run import FinishedRun
from pipeline.keys import DigestCache
from pipeline.plan import plan_run
from pipeline.run import run_pipeline
from pipeline.statement import PHANTOM_STATEMENT
from pipeline.steps.truth import read_truth
from tests.data.test_chestxdet import lay_out_phantoms

SETTINGS = (
    *("experiment=smoke", "brixia=none", "dataset.test=chestxdet", "dataset.side=32", "threads=1"),
    *("dataset.phantom.num_train_val=24", "dataset.phantom.num_test=4", "dataset.phantom.side=64"),
    *("train.pretrain_epochs=0", "train.epochs=0", "attribution.methods=[gradient,inverse_iba]"),
    *("attribution.inverse_iba.steps=1", "attribution.inverse_iba.noise_samples=2"),
    *("attribution.inverse_iba.beta=10", "attribution.statistics.num_images=8"),
    "evaluation.metrics=[localization,truth,all_regions,insertion_deletion,equal_area,sanity]",
    *("evaluation.insertion_deletion.max_samples=2", "evaluation.sanity.max_samples=2"),
    *("evaluation.sanity.layers=[classifier]", "evaluation.sanity.statistics_images=8"),
    *("evaluation.bootstrap.resamples=20", "evaluation.claims.simulations=20"),
    "evaluation.max_images=10",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chestxdet")
    films = lay_out_phantoms(folder / "films")
    paths = (f"paths.chestxdet={films}", f"paths.outputs={folder / 'outputs'}")
    run_pipeline(compose_config([*SETTINGS, *paths]), folder / "outputs" / "day" / "run")
    return folder / "outputs" / "day" / "run"


def test_every_table_that_polygons_allow_is_of_these_films(run):
    tables = run / "tables"
    names = ("table1", "table1_findings", "table3", "localization", "all_regions", "fig2")
    for name in (*names, "equal_area", "sanity", "shortcuts"):
        assert len(pd.read_csv(tables / f"{name}.csv")) > 0, name
    assert not (tables / "truth.csv").exists()  # of phantoms alone
    rows = pd.read_csv(tables / "rows.csv")
    assert set(rows.loc[rows["table"] == "table1", "place"].dropna()) == {"polygons"}
    table1 = pd.read_csv(tables / "table1.csv")
    assert {"gradient", "inverse_iba", "class_prior"} <= set(table1["method"])
    classes = pd.read_csv(tables / "classification.csv")
    assert set(classes["dataset"]) == {"chestxdet"}
    assert set(classes["class"]) == {
        "Atelectasis", "Cardiomegaly", "Effusion", "Mass", "Nodule", "Pneumothorax", "mean",
    }  # fmt: skip
    assert classes["paper_auc"].isna().all()


def test_the_report_says_whose_films_and_whose_outlines_these_are(run):
    page = (run / "report.html").read_text(encoding="utf-8")
    count = len(list((run.parents[2] / "films").glob("*/*.png")))
    assert f"Measured on {count} films of ChestX-Det" in page
    assert "The classifier learnt on phantoms" in page
    assert PHANTOM_STATEMENT not in page
    assert "the films have no boxes: nothing is localized" not in page


def test_the_masks_are_what_the_file_outlines_on_each_film(run):
    finished = FinishedRun.read(run)
    truth = read_truth(finished.artifact("polygon_truth findings"))["polygons"]
    samples = pd.read_csv(finished.artifact("label_samples findings") / "samples.csv")
    folder = run.parents[2] / "films"
    records = [each for name in FILES.values() for each in json.loads((folder / name).read_text())]
    of_film = {each["file_name"]: each for each in records}
    for mask, image, finding in zip(truth, samples["image"], samples["finding"], strict=True):
        film = of_film[image]
        expected = np.zeros_like(mask)
        for name, points in zip(film["syms"], film["polygons"], strict=True):
            if name == finding:
                (x, y), (right, bottom) = np.min(points, axis=0), np.max(points, axis=0)
                expected |= box_mask(x, y, right - x, bottom - y, len(mask))
        np.testing.assert_array_equal(mask, expected)
    assert len(samples) == sum(len(set(each["syms"])) for each in records)


def test_another_polygon_touches_the_test_films_and_no_training(run, tmp_path):
    films = shutil.copytree(run.parents[2] / "films", tmp_path / "films")
    keys = []
    for _ in range(2):
        config = compose_config([*SETTINGS, f"paths.chestxdet={films}"])
        with closing(DigestCache(tmp_path / "digests.sqlite")) as digests:
            keys.append({step.title: step.key for step in plan_run(config, digests).order})
        (films / FILES["test"]).write_text("[]")
    touched = {title for title, key in keys[0].items() if keys[1][title] != key}
    assert {"index chestxdet", "unseen_films chestxdet", "polygon_truth findings"} <= touched
    assert not {"index findings", "pack findings", "statistics findings"} & touched
    assert not [title for title in touched if title.startswith("train")]
