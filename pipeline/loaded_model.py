"""A trained model with the films it reads, on its device: what explains and measures it shares."""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd
import torch
from torch import Tensor

from attribution.base import SCORES
from attribution.config import Score
from attribution.methods import NEEDS_LAYERS
from data.packing import PackedFilms
from models.checkpoints import load_checkpoint
from models.densenet import DenseNet121, SeverityRegressor, normalise
from models.frozen_densenet import FrozenDenseNet
from pipeline.graph import WorkerTask
from pipeline.torch_runtime import start_torch


@dataclass(frozen=True)
class LoadedModel:
    """In evaluation mode; ``films`` are those of the task's ``pack`` input."""

    model: DenseNet121
    films: PackedFilms
    device: torch.device

    @classmethod
    def of(cls, task: WorkerTask) -> "LoadedModel":
        """The model of the task's ``train`` input."""
        device = start_torch(task.config)
        model, _ = load_checkpoint(task.inputs["train"] / "model.safetensors")
        return cls(model.to(device).eval(), PackedFilms(task.inputs["pack"]), device)

    @cached_property
    def frozen(self) -> FrozenDenseNet:
        """The model with the same outputs up to rounding, faster."""
        return FrozenDenseNet(self.model)

    def explained_by(self, method: str) -> DenseNet121 | FrozenDenseNet:
        """What a method of that name is given."""
        return self.model if method in NEEDS_LAYERS else self.frozen

    def images(self, samples: pd.DataFrame) -> Tensor:
        """Normalised float32 (n, 3, side, side) of the samples' films."""
        films = torch.from_numpy(self.films.load(samples["image"].tolist()))
        return normalise(films.to(self.device))

    def targets(self, samples: pd.DataFrame) -> Tensor:
        """(n,): int64, the output that stands for each sample's finding; of a regressor float32,
        the film's true score."""
        targets = torch.tensor(samples["target"].to_numpy(), device=self.device)
        return targets.float() if targets.is_floating_point() else targets

    def probability(self, images: Tensor, targets: Tensor) -> Tensor:
        """Predicted probability (n,) of each target; of a regressor the score that it predicts."""
        regressor = isinstance(self.model, SeverityRegressor)
        return SCORES[Score.output if regressor else Score.sigmoid](self.frozen(images), targets)
