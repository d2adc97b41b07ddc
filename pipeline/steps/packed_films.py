"""Packed films as torch data: for training, and in batches."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data.packing import PackedFilms


class LabelledFilms(Dataset[tuple[Tensor, Tensor]]):
    """(uint8 film (side, side), float32 labels (C,)) of one fold."""

    def __init__(
        self, films: PackedFilms, images: pd.DataFrame, fold: str, labels: Sequence[str]
    ) -> None:
        rows = images[images["fold"] == fold]
        self.films = films
        self.names = rows["image"].tolist()
        self.labels = torch.from_numpy(rows[list(labels)].to_numpy(np.float32))

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        film = self.films.load([self.names[position]])[0]
        return torch.from_numpy(film), self.labels[position]


def film_batches(
    films: PackedFilms, names: Sequence[str], batch_size: int, device: torch.device
) -> Iterator[Tensor]:
    """uint8 (n, side, side) batches on ``device``, in the order of ``names``."""
    for start in range(0, len(names), batch_size):
        batch = films.load(names[start : start + batch_size])
        yield torch.from_numpy(batch).to(device)


def readable_images(index: Path, films: PackedFilms) -> pd.DataFrame:
    """The index's images that could be packed, in its order."""
    images = pd.read_csv(index / "images.csv", dtype={"image": str})
    return images[images["image"].isin(films.table["image"])].reset_index(drop=True)
