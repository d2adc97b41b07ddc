"""The step that trains a classifier: what its key holds, and what it starts from."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from models.checkpoints import initial_model, load_checkpoint, save_checkpoint
from models.config import BatchNorm, ClassifierTrainConfig, Loss, PosWeight, TrainConfig
from pipeline.step import Source, UserFiles
from pipeline.steps.training import Train, initial_weights, one_training, small_training
from tests.pipeline.steps.films import LABELS, write_films
from tests.pipeline.steps.running import given, run_step

RECIPE = TrainConfig(epochs=1, batch_size=4)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[UserFiles, UserFiles]:
    index, pack = write_films(tmp_path_factory.mktemp("films"))
    return given(index), given(pack)


def step(films: tuple[UserFiles, UserFiles], start: Source | str, recipe: TrainConfig) -> Train:
    index, pack = films
    return Train(recipe, LABELS, start, index, pack, seed=0, threads=1)


def test_a_training_depends_on_nothing_that_another_loss_reads(films) -> None:
    config = ClassifierTrainConfig()
    others = (
        replace(config, pretrain_epochs=3, pretrain_learning_rate=0.1),
        replace(config, primary=Loss.bce, losses=[Loss.bce]),
        replace(config, num_workers=3),
        replace(config, processes=2),  # a field of the step
    )
    weighing = replace(config, pos_weight=PosWeight.scalar, pos_weight_max=3.0)
    for loss in Loss:
        key = step(films, "random", one_training(config, loss)).key
        assert {step(films, "random", one_training(o, loss)).key for o in others} == {key}
        other = step(films, "random", one_training(weighing, loss)).key
        assert (other == key) == (loss is Loss.bce)
    plain, weighted = (step(films, "random", one_training(config, loss)).key for loss in Loss)
    assert plain != weighted


def test_a_training_at_a_smaller_side_has_its_own_epochs_and_rate_and_learns_its_batch_norm() -> (
    None
):
    config = ClassifierTrainConfig(
        pretrain_learning_rate=0.5, epochs=9, batch_norm=BatchNorm.frozen
    )
    recipe = small_training(config, Loss.weighted_bce, 3)
    assert (recipe.epochs, recipe.learning_rate) == (3, 0.5)
    assert (recipe.primary, recipe.batch_norm) == (Loss.weighted_bce, BatchNorm.learnt)


def test_a_training_of_other_labels_gives_its_features_below_a_fresh_head(
    films, tmp_path: Path
) -> None:
    shapes = initial_model("random", 3, seed=1)
    save_checkpoint(tmp_path / "model.safetensors", shapes, ["disc", "ring", "bar"], {})
    recipe = replace(RECIPE, epochs=0)
    run_step(step(films, given(tmp_path), recipe), tmp_path / "run")
    model, meta = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert meta["labels"] == list(LABELS)
    assert model.num_outputs == len(LABELS)
    torch.testing.assert_close(
        dict(model.features.state_dict()), dict(shapes.features.state_dict())
    )


def test_weights_of_a_file_are_known_by_content_and_by_their_labels(tmp_path: Path) -> None:
    assert initial_weights("imagenet") == "imagenet"
    with pytest.raises(ValueError, match=r"model\.init: ranDom is neither a file nor random"):
        initial_weights("ranDom")

    def key(folder: str, weights: str, labels: str | None) -> str:
        path = tmp_path / folder / "a.safetensors"
        path.parent.mkdir()
        path.write_text(weights)
        if labels is not None:
            path.with_suffix(".json").write_text(labels)
        files = initial_weights(str(path))
        assert isinstance(files, UserFiles)
        return files.key

    first = key("1", "weights", "labels")
    assert key("2", "weights", "labels") == first
    others = {key("3", "w", "labels"), key("4", "weights", "l"), key("5", "weights", None)}
    assert len({first, *others}) == 4


def test_no_epoch_leaves_the_weights_it_starts_from(films, tmp_path: Path) -> None:
    model = initial_model("random", len(LABELS), seed=3)
    (tmp_path / "training").mkdir()
    save_checkpoint(tmp_path / "training" / "model.safetensors", model, LABELS, {})
    shutil.copytree(tmp_path / "training", tmp_path / "theirs")
    starts = {
        "of a training": given(tmp_path / "training"),
        "of a file": initial_weights(str(tmp_path / "theirs" / "model.safetensors")),
        "drawn": "random",
    }
    for number, (which, start) in enumerate(starts.items()):
        recipe = replace(RECIPE, epochs=0, primary=Loss.weighted_bce)
        folder = tmp_path / str(number)
        assert run_step(step(films, start, recipe), folder) == [
            "train.epochs=0: the initial weights are used as they are"
        ]
        found, facts = load_checkpoint(folder / "model.safetensors")
        same = torch.equal(found.classifier.weight, model.classifier.weight)
        assert same == (which != "drawn")
        assert (facts["epochs"], facts["side"], facts["loss"]) == (0, 32, "weighted_bce")


def test_a_training_leaves_its_best_epoch_its_history_and_what_it_clipped(
    films, tmp_path: Path
) -> None:
    recipe = replace(RECIPE, primary=Loss.weighted_bce, pos_weight_max=0.5)
    notes = run_step(step(films, "random", recipe), tmp_path / "train")
    history = pd.read_csv(tmp_path / "train" / "history.csv")
    assert "seconds" not in history
    assert history["epoch"].tolist() == [1]
    assert notes[0] == "positive weight clipped at 0.5: Mass, Nodule"
    assert notes[1].startswith("4 films, best epoch 1 of 1: validation loss ")
    facts = json.loads((tmp_path / "train" / "model.json").read_text())
    assert (facts["labels"], facts["best_epoch"]) == (list(LABELS), 1)
