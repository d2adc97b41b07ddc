"""frozen_features, finetune: detectors and the severity regressor, behind frozen features."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.config import Loss, TrainConfig
from pipeline.config import PipelineConfig
from pipeline.graph import Stage, Task
from pipeline.stages.train import batches_done, keep_history, training_settings
from pipeline.store import RESUME

DETECTOR, SEVERITY = "detector", "severity"
_BATCH = 32  # films in one forward pass; part of the key
_SOURCES = ("models",)
_FOLDS = ("train", "val")


def features_stage(config: PipelineConfig, train: Stage, index: Stage, pack: Stage) -> Stage:
    """Feature maps of the train and validation films behind the frozen layers, computed once."""
    return Stage(
        name="frozen_features",
        version=1,
        settings={"batch": _BATCH, "threads": config.threads},
        inputs={"train": train, "index": index, "pack": pack},
        run=run_features,
        sources=_SOURCES,
    )


def detector_stage(
    config: PipelineConfig, loss: Loss, train: Stage, index: Stage, features: Stage
) -> Stage:
    return Stage(
        name="finetune",
        version=2,
        settings=training_settings(config, config.brixia.detector, loss),
        inputs={"train": train, "index": index, "features": features},
        run=lambda task: run_detector(task, loss),
        sources=_SOURCES,
        variant=f"{DETECTOR} {loss.value}",
    )


def regressor_stage(config: PipelineConfig, train: Stage, index: Stage, features: Stage) -> Stage:
    settings = training_settings(config, config.brixia.regressor, Loss.bce) | {"loss": "mse"}
    return Stage(
        name="finetune",
        version=2,
        settings=settings,
        inputs={"train": train, "index": index, "features": features},
        run=run_regressor,
        sources=_SOURCES,
        variant=SEVERITY,
    )


def run_features(task: Task) -> None:
    from models.fine_tuning import write_frozen_features
    from pipeline.films import film_batches, readable_images
    from pipeline.loaded_model import LoadedModel

    loaded = LoadedModel.of(task)
    images = readable_images(task.inputs["index"], loaded.films)
    images = images[images["fold"].isin(_FOLDS)]
    names = images["image"].tolist()
    batches = film_batches(loaded.films, names, _BATCH, loaded.device)

    def counted() -> Any:
        for done, batch in enumerate(batches, 1):
            yield batch
            task.progress(min(done * _BATCH, len(names)), len(names))

    path = task.folder / "features.npy"
    write_frozen_features(path, loaded.model, counted(), len(names), loaded.device)
    images[["image", "fold"]].to_csv(task.folder / "films.csv", index=False)


def run_detector(task: Task, loss: Loss) -> None:
    from data.brixia_score import DETECTORS
    from models.checkpoints import detector, load_checkpoint
    from models.losses import BinaryCrossEntropy, weighted_loss
    from models.validation_metrics import MEAN_AUC

    config = task.config
    classifier, _ = load_checkpoint(task.inputs["train"] / "model.safetensors")
    labels = list(DETECTORS)
    model = detector(classifier, len(labels), config.seed)
    recipe = config.brixia.detector

    def criterion(of_train: Any) -> Any:
        if loss is Loss.bce:
            return BinaryCrossEntropy()
        return weighted_loss(recipe.pos_weight, of_train, recipe.pos_weight_max)[0]

    _fine_tune(task, model, labels, recipe, criterion, MEAN_AUC)


def run_regressor(task: Task) -> None:
    from torch import nn

    from models.checkpoints import load_checkpoint, severity_regressor
    from models.validation_metrics import MEAN_ABSOLUTE_ERROR

    classifier, _ = load_checkpoint(task.inputs["train"] / "model.safetensors")
    start = train_mean(task.inputs["index"])
    model = severity_regressor(classifier, start)
    recipe = task.config.brixia.regressor
    _fine_tune(task, model, ["score"], recipe, lambda _: nn.MSELoss(), MEAN_ABSOLUTE_ERROR)


def train_mean(index: Path) -> float:
    """Mean global score of the train fold: what the constant predictor says."""
    images = pd.read_csv(index / "images.csv", dtype={"image": str})
    return float(images.loc[images["fold"] == "train", "score"].mean())


def _fine_tune(
    task: Task, model: Any, labels: list[str], recipe: TrainConfig, criterion: Any, metric: Any
) -> None:
    import torch

    from models.checkpoints import save_checkpoint
    from models.fine_tuning import FrozenFeatures, fine_tune
    from pipeline.torch_runtime import start_torch

    device = start_torch(task.config)
    films = pd.read_csv(task.inputs["features"] / "films.csv", dtype={"image": str})
    images = pd.read_csv(task.inputs["index"] / "images.csv", dtype={"image": str})
    truth = images.set_index("image").loc[films["image"], labels].to_numpy(np.float32)
    folds = {}
    for fold in _FOLDS:
        rows = np.flatnonzero(films["fold"] == fold)
        path = task.inputs["features"] / "features.npy"
        folds[fold] = FrozenFeatures(path, rows, torch.from_numpy(truth[rows]))
    result = fine_tune(
        model,
        folds["train"],
        folds["val"],
        recipe,
        seed=task.config.seed,
        folder=task.folder / RESUME,
        device=device,
        loss=criterion(folds["train"].labels),
        metric=metric,
        on_progress=batches_done(task),
    )
    history = keep_history(task, result)
    best = history.loc[history["epoch"] == result.best_epoch].iloc[0]
    task.note(
        f"{len(folds['train']):,} films, best epoch {result.best_epoch} of {len(history)}:"
        f" validation loss {best['val_loss']:.4f}, {metric.name} {best[metric.name]:.3f}"
    )
    facts = {"best_epoch": result.best_epoch, "epochs": recipe.epochs}
    save_checkpoint(task.folder / "model.safetensors", model, labels, facts)
