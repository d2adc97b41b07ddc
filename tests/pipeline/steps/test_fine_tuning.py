"""Detectors and the severity regressor, learnt behind features that are computed once."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from models.checkpoints import initial_model, load_checkpoint, save_checkpoint
from models.config import Loss, TrainConfig
from pipeline.step import UserFiles
from pipeline.steps.fine_tuning import (
    FineTuneDetectors,
    FineTuneSeverity,
    FrozenFeatures,
    train_mean,
)
from tests.pipeline.steps.films import LABELS, write_films
from tests.pipeline.steps.running import given, run_step

RECIPE = TrainConfig(epochs=1, batch_size=2, primary=Loss.weighted_bce)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, UserFiles]:
    folder = tmp_path_factory.mktemp("inputs")
    index, pack = write_films(folder)
    (folder / "model").mkdir()
    model = initial_model("random", 3, seed=1)
    save_checkpoint(folder / "model" / "model.safetensors", model, ["a", "b", "c"], {})
    step = FrozenFeatures(given(folder / "model"), given(index), given(pack), threads=1)
    run_step(step, folder / "features")
    return {name: given(folder / name) for name in ("index", "model", "features")}


def test_features_are_of_the_films_that_are_learnt_on(inputs: dict[str, UserFiles]) -> None:
    films = pd.read_csv(inputs["features"].path / "films.csv")
    assert films["fold"].tolist() == ["train"] * 4 + ["val"] * 2
    assert np.load(inputs["features"].path / "features.npy").shape == (6, 256, 2, 2)


@pytest.mark.parametrize("severity", [False, True])
def test_what_is_frozen_stays_and_the_head_is_new(
    inputs: dict[str, UserFiles], severity: bool, tmp_path: Path
) -> None:
    fields = {"recipe": RECIPE, "seed": 0, "threads": 1, **inputs}
    step = FineTuneSeverity(**fields) if severity else FineTuneDetectors(labels=LABELS, **fields)
    (note,) = run_step(step, tmp_path / "step")
    assert note.startswith("4 films, best epoch 1 of 1: validation loss ")
    assert ("val_mae" in note) == severity
    before, _ = load_checkpoint(inputs["model"].path / "model.safetensors")
    after, facts = load_checkpoint(tmp_path / "step" / "model.safetensors")
    assert facts["labels"] == (["score"] if severity else list(LABELS))
    assert torch.equal(before.features.conv0.weight, after.features.conv0.weight)
    last = "denseblock4"
    moved = getattr(after.features, last).denselayer16.conv2.weight
    assert torch.equal(getattr(before.features, last).denselayer16.conv2.weight, moved) is False
    assert json.loads((tmp_path / "step" / "model.json").read_text())["best_epoch"] == 1


def test_the_constant_predictor_says_the_mean_of_the_train_fold(
    inputs: dict[str, UserFiles],
) -> None:
    assert train_mean(inputs["index"].path) == 1.5
