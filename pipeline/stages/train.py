"""pretrain, train: a classifier per loss on the train fold, all from the same initial weights."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from models.config import IF_NOT_NAMED, BatchNorm, ClassifierTrainConfig, Loss, TrainConfig
from pipeline.config import ConfigError, PipelineConfig, section
from pipeline.graph import Stage, Task, WorkerTask
from pipeline.keys import file_sha256
from pipeline.store import RESUME
from pipeline.training_processes import train_in_processes

if TYPE_CHECKING:  # torch is imported when the stage runs
    from torch import nn

    from models.densenet import DenseNet121
    from models.process_group import Rank
    from models.training import TrainResult
    from models.training_loop import OnProgress
    from pipeline.films import LabelledFilms

_NAMED_WEIGHTS = ("random", "imagenet")
_SOURCES = ("models",)
_NOT_OF_ONE_TRAINING = (
    *("num_workers", "losses", "primary", "pretrain_epochs", "pretrain_learning_rate"),
)


def pretrain_stage(config: PipelineConfig, index: Stage, pack: Stage) -> Stage:
    """The training whose weights all losses start from (``train.pretrain_epochs``)."""
    recipe = replace(
        config.train,
        epochs=config.train.pretrain_epochs,
        learning_rate=config.train.pretrain_learning_rate,
        batch_norm=BatchNorm.learnt,
    )
    init, raw = _initial_weights(config)
    return Stage(
        name="pretrain",
        version=2,
        settings={"init": init, **training_settings(config, recipe, Loss.bce)},
        inputs={"index": index, "pack": pack},
        run=lambda task: run(task, recipe, Loss.bce),
        sources=_SOURCES,
        raw=raw,
    )


def stage(
    config: PipelineConfig, loss: Loss, index: Stage, pack: Stage, pretrain: Stage | None
) -> Stage:
    init, raw = ("pretrain", {}) if pretrain else _initial_weights(config)
    return Stage(
        name="train",
        version=3,
        settings={"init": init, **training_settings(config, config.train, loss)},
        inputs={"index": index, "pack": pack, **({"pretrain": pretrain} if pretrain else {})},
        run=lambda task: run(task, config.train, loss),
        sources=_SOURCES,
        variant=loss.value,
        raw=raw,
    )


def _initial_weights(config: PipelineConfig) -> tuple[str, dict[str, str]]:
    """``model.init`` as a key holds it: by name, or a file and its labels by their content."""
    init = config.model.init
    if init in _NAMED_WEIGHTS:
        return init, {}
    if not Path(init).is_file():
        raise ConfigError(f"model.init: {init} is neither a file nor random or imagenet")
    files = {"init": Path(init), "init labels": Path(init).with_suffix(".json")}
    return "file", {what: file_sha256(path) for what, path in files.items() if path.is_file()}


def training_settings(config: PipelineConfig, recipe: TrainConfig, loss: Loss) -> dict[str, Any]:
    settings = section(recipe)
    for name in _NOT_OF_ONE_TRAINING:
        del settings[name]
    for name, value in IF_NOT_NAMED.items():
        if settings.get(name) == value:
            del settings[name]
    if loss is Loss.bce:
        del settings["pos_weight"], settings["pos_weight_max"]
    return {
        "train": settings,
        "loss": loss.value,
        "seed": config.seed,
        "threads": config.threads,
    }


def batches_done(task: Task) -> "OnProgress":
    """Tells the task's progress, in batches of the whole training."""

    def told(epoch: int, epochs: int, done: int, batches: int, losses: Mapping[str, float]) -> None:
        task.progress((epoch - 1) * batches + done, epochs * batches)

    return told


def keep_history(task: Task, result: "TrainResult") -> pd.DataFrame:
    """Writes ``history.csv`` without the seconds: they differ between equal runs, so the manifest
    holds them and the artifact must not."""
    history = result.history.drop(columns="seconds")
    history.to_csv(task.folder / "history.csv", index=False)
    return history


@dataclass(frozen=True)
class _Training:
    """What a training works on. Each of several processes reads it for itself."""

    model: "DenseNet121"
    labels: list[str]
    folds: "dict[str, LabelledFilms]"
    loss: "nn.Module"
    clipped: list[int]  # classes whose positive weight the configuration bounds

    @classmethod
    def of(cls, task: WorkerTask, recipe: TrainConfig, loss: Loss) -> "_Training":
        from data.nih import FINDINGS
        from data.packing import PackedFilms
        from models.checkpoints import initial_model, load_checkpoint
        from models.losses import BinaryCrossEntropy, weighted_loss
        from pipeline.films import LabelledFilms, readable_images

        config = task.config
        films = PackedFilms(task.inputs["pack"])
        images = readable_images(task.inputs["index"], films)
        labels = list(FINDINGS[: config.dataset.num_labels])
        if "pretrain" in task.inputs:
            model, _ = load_checkpoint(task.inputs["pretrain"] / "model.safetensors")
        else:
            model = initial_model(config.model.init, len(labels), config.seed, labels)
        folds = {fold: LabelledFilms(films, images, fold, labels) for fold in ("train", "val")}
        criterion: nn.Module = BinaryCrossEntropy()
        clipped: list[int] = []
        if loss is Loss.weighted_bce and recipe.epochs:
            of_train = folds["train"].labels
            criterion, clipped = weighted_loss(recipe.pos_weight, of_train, recipe.pos_weight_max)
        return cls(model, labels, folds, criterion, clipped)

    def train(
        self,
        task: WorkerTask,
        recipe: TrainConfig,
        folder: Path,
        title: str,
        rank: "Rank",
        on_progress: "OnProgress | None",
    ) -> "TrainResult":
        """``folder``: of the checkpoints; ``title``: for the logger."""
        from models.training import train
        from models.training_logs import training_logger
        from pipeline.torch_runtime import start_torch

        config, logger = task.config, None
        if rank.number == 0:
            logger = training_logger(config.logger, Path(config.paths.outputs), title)
        return train(
            self.model,
            self.folds["train"],
            self.folds["val"],
            recipe,
            seed=config.seed,
            folder=folder,
            device=start_torch(config),
            loss=self.loss,
            on_progress=on_progress,
            logger=logger,
            rank=rank,
        )


def train_as(
    task: WorkerTask,
    recipe: TrainConfig,
    loss: Loss,
    folder: Path,
    title: str,
    rank: "Rank",
    on_progress: "OnProgress | None",
) -> "TrainResult":
    """The training as one of its processes does it."""
    training = _Training.of(task, recipe, loss)
    return training.train(task, recipe, folder, title, rank, on_progress)


def run(task: Task, recipe: ClassifierTrainConfig, loss: Loss) -> None:
    from models.checkpoints import load_weights, save_checkpoint
    from models.process_group import ALONE
    from models.training_checkpoint import BEST

    training = _Training.of(task, recipe, loss)
    model, labels, train_fold = training.model, training.labels, training.folds["train"]
    facts: dict[str, object] = {
        "side": train_fold.films.side,
        "loss": loss.value,
        "epochs": recipe.epochs,
    }
    if recipe.epochs == 0:
        task.note("train.epochs=0: the initial weights are used as they are")
    else:
        if training.clipped:
            names = ", ".join(labels[position] for position in training.clipped)
            task.note(f"positive weight clipped at {recipe.pos_weight_max:g}: {names}")
        # As the artifact is called in the store: stage, loss, the key's first digits.
        title = f"{task.folder.parent.name}-{loss.value}-{task.folder.stem}"
        folder = task.folder / RESUME
        told = batches_done(task)
        if recipe.processes == 1:
            result = training.train(task, recipe, folder, title, ALONE, told)
        else:
            shared = WorkerTask(task.inputs, task.config)
            work = partial(train_as, shared, recipe, loss, folder, title)
            result = train_in_processes(work, recipe.processes, task.config, told)
            model.load_state_dict(load_weights(folder / BEST))
        history = keep_history(task, result)
        best = history.loc[history["epoch"] == result.best_epoch].iloc[0]
        facts["best_epoch"] = result.best_epoch
        task.note(
            f"{len(train_fold):,} films, best epoch {result.best_epoch} of {len(history)}:"
            f" validation loss {best['val_loss']:.4f}, mean AUC {best['val_auc']:.3f}"
        )
    save_checkpoint(task.folder / "model.safetensors", model, labels, facts)
