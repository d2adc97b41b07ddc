"""A trained model with the films it reads, on its device: what explains and measures it shares."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from attribution.base import SCORES
from attribution.config import Score
from attribution.methods import NEEDS_LAYERS
from data.packing import PackedFilms
from models.bfloat16 import check_precision, explained_network
from models.checkpoints import load_checkpoint
from models.config import FrozenPrecision
from models.densenet import DenseNet121, SeverityRegressor, normalise
from models.device import resolve_device
from models.frozen_densenet import FrozenDenseNet
from pipeline.step import Machine

WEIGHTS = "model.safetensors"
"""The file that a training step leaves."""


def start_torch(machine: Machine, threads: int) -> torch.device:
    """Sets the thread count of this process, which keys hold; the device to compute on."""
    torch.set_num_threads(threads)
    return resolve_device(machine.device)


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode and packed films.

    ``precision``: of ``probability``, and of ``frozen`` behind a tap.
    """

    model: DenseNet121
    films: PackedFilms
    device: torch.device
    precision: FrozenPrecision = FrozenPrecision.float32

    @classmethod
    def load(
        cls,
        training: Path,
        pack: Path,
        machine: Machine,
        threads: int,
        precision: FrozenPrecision = FrozenPrecision.float32,
    ) -> "LoadedModel":
        """``training``, ``pack``: the folders of these steps. ValueError where the device is no
        faster in the ``precision``."""
        device = start_torch(machine, threads)
        check_precision(precision, device)
        model, _ = load_checkpoint(training / WEIGHTS)
        return cls(model.to(device).eval(), PackedFilms(pack), device, precision)

    @cached_property
    def frozen(self) -> FrozenDenseNet:
        """The model with the same outputs up to rounding, faster."""
        return explained_network(self.model, self.precision)

    @cached_property
    def _scoring(self) -> FrozenDenseNet:
        bf16 = self.precision is FrozenPrecision.bf16
        return FrozenDenseNet(self.model, torch.bfloat16) if bf16 else self.frozen

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
        return SCORES[Score.output if regressor else Score.sigmoid](self._scoring(images), targets)
