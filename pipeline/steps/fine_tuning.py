"""frozen_features, fine_tune: detectors and the severity regressor, behind frozen features."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from models.config import Loss, TrainConfig
from pipeline.step import Source, Step, Work
from pipeline.steps.training import batches_done, keep_history
from pipeline.store import RESUME

if TYPE_CHECKING:  # torch is imported when the step runs
    from torch import Tensor, nn

    from models.densenet import DenseNet121
    from models.fine_tuning import FrozenFeatures as FeatureData
    from models.validation_metrics import Metric

_FOLDS = ("train", "val")
_FEATURES, _FILMS = "features.npy", "films.csv"


@dataclass(frozen=True)
class FrozenFeatures(Step):
    """Feature maps of the train and validation films behind the frozen layers, computed once."""

    version: ClassVar = 2
    code: ClassVar = ("models",)
    model: Source
    index: Source
    pack: Source
    threads: int
    batch: int = 32  # films in one forward pass

    def run(self, work: Work) -> None:
        from models.fine_tuning import write_frozen_features
        from pipeline.steps.loaded_model import LoadedModel
        from pipeline.steps.packed_films import film_batches, readable_images

        loaded = LoadedModel.load(work[self.model], work[self.pack], work.machine, self.threads)
        images = readable_images(work[self.index], loaded.films)
        images = images[images["fold"].isin(_FOLDS)]
        names = images["image"].tolist()

        def counted() -> "Iterator[Tensor]":
            batches = film_batches(loaded.films, names, self.batch, loaded.device)
            for number, batch in enumerate(batches, 1):
                yield batch
                work.progress(min(number * self.batch, len(names)), len(names))

        path = work.folder / _FEATURES
        write_frozen_features(path, loaded.model, counted(), len(names), loaded.device)
        images[["image", "fold"]].to_csv(work.folder / _FILMS, index=False)


@dataclass(frozen=True)
class _FineTune(Step):
    """A network that starts from the classifier ``model``; ``features`` are of that one."""

    version: ClassVar = 3
    code: ClassVar = ("models",)
    recipe: TrainConfig
    model: Source
    index: Source
    features: Source
    seed: int
    threads: int

    def _classifier(self, work: Work) -> "DenseNet121":
        from models.checkpoints import load_checkpoint
        from pipeline.steps.loaded_model import WEIGHTS

        return load_checkpoint(work[self.model] / WEIGHTS)[0]

    def _folds(self, work: Work, labels: list[str]) -> "dict[str, FeatureData]":
        import torch

        from models.fine_tuning import FrozenFeatures as FeatureData

        features = work[self.features]
        films = pd.read_csv(features / _FILMS, dtype={"image": str})
        images = pd.read_csv(work[self.index] / "images.csv", dtype={"image": str})
        truth = images.set_index("image").loc[films["image"], labels].to_numpy(np.float32)
        folds = {}
        for fold in _FOLDS:
            rows = np.flatnonzero(films["fold"] == fold)
            folds[fold] = FeatureData(features / _FEATURES, rows, torch.from_numpy(truth[rows]))
        return folds

    def _learn(
        self,
        work: Work,
        model: "DenseNet121",
        labels: list[str],
        folds: "dict[str, FeatureData]",
        loss: "nn.Module",
        metric: "Metric",
    ) -> None:
        from torch.nn import Identity

        from models.checkpoints import save_checkpoint
        from models.fine_tuning import UnfrozenPart
        from models.training import train
        from pipeline.steps.loaded_model import WEIGHTS, start_torch

        result = train(
            UnfrozenPart(model),
            folds["train"],
            folds["val"],
            self.recipe,
            seed=self.seed,
            folder=work.folder / RESUME,
            device=start_torch(work.machine, self.threads),
            loss=loss,
            metric=metric,
            prepare=Identity(),
            on_progress=batches_done(work),
        )
        history = keep_history(work, result)
        best = history.loc[history["epoch"] == result.best_epoch].iloc[0]
        work.note(
            f"{len(folds['train']):,} films, best epoch {result.best_epoch} of {len(history)}:"
            f" validation loss {best['val_loss']:.4f}, {metric.name} {best[metric.name]:.3f}"
        )
        facts = {"best_epoch": result.best_epoch, "epochs": self.recipe.epochs}
        save_checkpoint(work.folder / WEIGHTS, model, labels, facts)


@dataclass(frozen=True)
class FineTuneDetectors(_FineTune):
    """Whether any zone of a film has a score: one output for each of ``labels``."""

    labels: tuple[str, ...]

    def run(self, work: Work) -> None:
        from models.checkpoints import with_fresh_head
        from models.losses import BinaryCrossEntropy, weighted_loss
        from models.validation_metrics import MEAN_AUC

        recipe, labels = self.recipe, list(self.labels)
        model = with_fresh_head(self._classifier(work), len(labels), self.seed)
        folds = self._folds(work, labels)
        loss: nn.Module = BinaryCrossEntropy()
        if recipe.primary is Loss.weighted_bce:
            truth = folds["train"].labels
            loss, _ = weighted_loss(recipe.pos_weight, truth, recipe.pos_weight_max)
        self._learn(work, model, labels, folds, loss, MEAN_AUC)


@dataclass(frozen=True)
class FineTuneSeverity(_FineTune):
    """A film's global score, by its squared error."""

    def run(self, work: Work) -> None:
        from torch import nn

        from models.checkpoints import severity_regressor
        from models.validation_metrics import MEAN_ABSOLUTE_ERROR

        labels = ["score"]
        model = severity_regressor(self._classifier(work), train_mean(work[self.index]))
        folds = self._folds(work, labels)
        self._learn(work, model, labels, folds, nn.MSELoss(), MEAN_ABSOLUTE_ERROR)


def train_mean(index: Path) -> float:
    """Mean global score of the train fold: what the constant predictor says."""
    images = pd.read_csv(index / "images.csv", dtype={"image": str})
    return float(images.loc[images["fold"] == "train", "score"].mean())
