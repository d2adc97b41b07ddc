"""Fine-tuning behind a frozen prefix, whose feature maps are computed once.

Frozen are conv0 to transition2, as in the published code, where the running statistics of their
batch norms still move with every batch. Here they stay: the prefix runs once, in evaluation mode,
and each epoch costs only what follows it. ``train`` learns ``UnfrozenPart`` from
``FrozenFeatures``, prepared by ``nn.Identity``, and mirrors none: a mirrored feature map is not the
feature map of a mirrored film.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch import Tensor, nn
from torch.utils.data import Dataset

from models.densenet import DenseNet121, normalise
from models.prediction import predict

LAST_FROZEN = "transition2"  # published code


class UnfrozenPart(nn.Module):
    """What follows the frozen prefix of ``model``, sharing its parameters.

    Feature maps float32 (N, 256, H/16, W/16) -> the model's output (N, C).
    """

    def __init__(self, model: DenseNet121) -> None:
        super().__init__()
        self.features = model.features[_num_frozen(model) :]
        self.relu = model.relu
        self.pool = model.pool
        self.classifier = model.classifier

    def forward(self, feature_maps: Tensor) -> Tensor:
        pooled = self.pool(self.relu(self.features(feature_maps)))
        return self.classifier(torch.flatten(pooled, 1))


class FrozenFeatures(Dataset[tuple[Tensor, Tensor]]):
    """Items (feature map, labels float32 (C,)) of a file of ``write_frozen_features``.

    ``rows`` (n,) are the fold's rows of the file, ``labels`` (n, C) theirs.
    """

    def __init__(self, path: Path, rows: np.ndarray, labels: Tensor) -> None:
        self.maps = np.load(path, mmap_mode="r", allow_pickle=False)
        self.rows = rows
        self.labels = labels

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self.maps[self.rows[index]].copy()), self.labels[index]


def write_frozen_features(
    path: Path, model: DenseNet121, batches: Iterable[Tensor], num_films: int, device: torch.device
) -> None:
    """Write the prefix's feature maps of films uint8 (n, H, W) to ``path`` (.npy, float32).

    One batch is held in memory. At 224 px a film takes 200 kB.
    """
    prefix = model.features[: _num_frozen(model)]
    stored, done = None, 0
    for films in batches:
        maps = predict(prefix, [films], device, normalise)
        if stored is None:
            stored = open_memmap(path, "w+", np.float32, (num_films, *maps.shape[1:]))
        stored[done : done + len(maps)] = maps
        done += len(maps)
    if stored is not None:
        stored.flush()


def _num_frozen(model: DenseNet121) -> int:
    return [name for name, _ in model.features.named_children()].index(LAST_FROZEN) + 1
