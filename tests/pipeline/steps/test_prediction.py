"""A model's outputs on the test fold, and the table of how good they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation.config import BootstrapConfig
from models.checkpoints import initial_model, save_checkpoint
from pipeline.step import UserFiles
from pipeline.steps.prediction import Classification, Prediction, read_outputs
from tests.pipeline.steps.films import LABELS, write_films
from tests.pipeline.steps.running import given, run_step


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, UserFiles]:
    folder = tmp_path_factory.mktemp("inputs")
    write_films(folder)
    (folder / "model").mkdir()
    model = initial_model("random", len(LABELS), seed=1)
    save_checkpoint(folder / "model" / "model.safetensors", model, LABELS, {})
    return {name: given(folder / name) for name in ("model", "index", "pack")}


def test_outputs_are_of_the_test_films_that_can_be_read_whatever_the_shards(
    inputs: dict[str, UserFiles], tmp_path: Path
) -> None:
    for shard in (1, 1024):
        run_step(Prediction(**inputs, threads=1, shard=shard, batch=1), tmp_path / str(shard))
    names, outputs = read_outputs(tmp_path / "1")
    assert names == ["6.npy", "7.npy"]
    assert (outputs.shape, outputs.dtype) == ((2, len(LABELS)), np.float32)
    assert (outputs == read_outputs(tmp_path / "1024")[1]).all()
    assert not np.array_equal(*outputs)


def test_nothing_to_predict_on_is_an_error(inputs: dict[str, UserFiles], tmp_path: Path) -> None:
    images = pd.read_csv(inputs["index"].path / "images.csv")
    images[images["fold"] != "test"].to_csv(tmp_path / "images.csv", index=False)
    step = Prediction(inputs["model"], given(tmp_path), inputs["pack"], threads=1)
    with pytest.raises(ValueError, match="no film of the test fold is present"):
        run_step(step, tmp_path / "prediction")


def test_the_table_names_data_and_model_and_classes_without_an_auc_are_noted(
    inputs: dict[str, UserFiles], tmp_path: Path
) -> None:
    run_step(Prediction(**inputs, threads=1), tmp_path / "prediction")
    step = Classification(
        given(tmp_path / "prediction"),
        inputs["index"],
        LABELS,
        dataset="mine",
        model_name="bce",
        bootstrap=BootstrapConfig(resamples=20),
        seed=0,
    )
    table = tmp_path / "table"
    assert run_step(step, table) == []
    index = pd.read_csv(inputs["index"].path / "images.csv")
    (tmp_path / "other").mkdir()
    index.drop(columns=LABELS[0]).to_csv(tmp_path / "other" / "images.csv", index=False)
    notes = run_step(replace(step, index=given(tmp_path / "other")), tmp_path / "fewer")
    assert notes == [f"without {LABELS[0]}, of which these films' labels say nothing"]
    fewer = pd.read_csv(tmp_path / "fewer" / "classification.csv")
    assert LABELS[0] not in set(fewer["class"])
    both = pd.read_csv(table / "classification.csv").set_index("class")
    assert fewer.set_index("class")["auc"][LABELS[1]] == both["auc"][LABELS[1]]
    rows = pd.read_csv(table / "classification.csv")
    assert set(rows["dataset"]) == {"mine"}
    assert set(rows["model"]) == {"bce"}
    samples = pd.read_csv(table / "classification_samples.csv")
    assert samples["image"].tolist() == ["6.npy", "7.npy"]
    logits = samples[[f"logit_{label}" for label in LABELS]].to_numpy()
    np.testing.assert_allclose(logits, read_outputs(tmp_path / "prediction")[1], rtol=1e-5)
