"""An epoch of training with films from disk, and its arithmetic alone."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from data.packing import INDEX_FILE, PackedFilms
from models.config import Optimizer, Schedule, TrainConfig
from models.densenet import DenseNet121, normalise
from models.training import train
from pipeline.steps.packed_films import LabelledFilms

# As in conf/train/phantom.yaml.
RECIPE = TrainConfig(
    epochs=1,
    batch_size=16,
    optimizer=Optimizer.adamw,
    learning_rate=3e-4,
    weight_decay=0.01,
    schedule=Schedule.one_cycle,
)


def trained_epoch(
    model: DenseNet121, films: Tensor, num_val: int, device: torch.device
) -> np.ndarray:
    """Losses (1, 2) on train and validation films of an epoch over uint8 (N, side, side), the last
    ``num_val`` of them for validation."""
    images = pd.DataFrame({"image": [f"{row}.png" for row in range(len(films))]})
    images["fold"] = np.where(images.index < len(films) - num_val, "train", "val")
    classes = [f"class {number}" for number in range(model.num_outputs)]
    images[classes] = _labels(len(films), model.num_outputs).numpy()
    with TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "films_00000.npy", films.numpy())
        table = images[["image"]].assign(shard=0, row=images.index)
        table.to_csv(folder / INDEX_FILE, index=False)
        packed = PackedFilms(folder)
        train_fold, val_fold = (
            LabelledFilms(packed, images, fold, classes) for fold in ("train", "val")
        )
        found = train(
            deepcopy(model), train_fold, val_fold, RECIPE, seed=0, folder=folder, device=device
        )
    return found.history[["train_loss", "val_loss"]].to_numpy()


def steps_alone(
    model: DenseNet121, films: Tensor, num_val: int, device: torch.device
) -> Callable[[], None]:
    """The same number of steps and validation passes on films in memory, and nothing else."""
    labels = _labels(len(films), model.num_outputs).to(device)
    on_device, num_train = films.to(device), len(films) - num_val
    size = min(RECIPE.batch_size, num_train)

    def run() -> None:
        network = deepcopy(model).to(device).train()
        network.to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(network.parameters(), RECIPE.learning_rate, fused=True)
        criterion = nn.BCEWithLogitsLoss()
        for start in range(0, num_train - size + 1, size):
            part = slice(start, start + size)
            optimizer.zero_grad()
            criterion(network(normalise(on_device[part])), labels[part]).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            for part in torch.arange(num_train, len(films)).split(RECIPE.batch_size):
                network(normalise(on_device[part]))

    return run


def _labels(count: int, classes: int) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return (torch.rand(count, classes, generator=generator) < 0.1).float()
