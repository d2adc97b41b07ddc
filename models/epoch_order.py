"""Which film comes when in an epoch, and which is mirrored: functions of (seed, epoch, film) alone.

Whoever resumes at epoch k draws what an uninterrupted run draws there, whatever ran before and
however many workers load.
"""

from collections.abc import Iterator
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from models.process_group import ALONE, Rank

FilmDataset = Dataset[tuple[Tensor, Tensor]]
"""Items (film uint8 (H, W), labels float32 (C,)); it has a length."""


class Stream(IntEnum):
    """Independent uses of one training seed."""

    ORDER = 0
    FLIP = 1
    STEP = 2


def derived_seed(seed: int, stream: Stream, *keys: int) -> int:
    """A 64-bit seed that is independent for every combination of its arguments."""
    return int(np.random.SeedSequence((seed, stream, *keys)).generate_state(1, np.uint64)[0])


class EpochOrder(Sampler[tuple[int, int]]):
    """Yields (epoch, film) over a permutation of ``num_films`` seeded by (seed, epoch).

    Each ``step`` films in a row are one optimizer step's, whoever computes them. They are cut into
    parts, which the processes take in turn; ``rank`` yields its own. The rest that fills no step
    sits out.
    """

    def __init__(
        self, num_films: int, seed: int, step: int, accumulate: int = 1, rank: Rank = ALONE
    ) -> None:
        self.num_films = num_films // step * step
        self.total = num_films
        self.part = step // (accumulate * rank.of)
        self.seed = seed
        self.rank = rank
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_films // self.rank.of

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        generator = torch.Generator().manual_seed(derived_seed(self.seed, Stream.ORDER, epoch))
        films = torch.randperm(self.total, generator=generator)[: self.num_films]
        parts = films.view(-1, self.rank.of, self.part)
        for film in parts[:, self.rank.number].flatten().tolist():
            yield epoch, film


class EpochFilms(Dataset[tuple[Tensor, Tensor]]):
    """``films`` looked up by (epoch, film); if asked, a new half of them mirrored each epoch."""

    def __init__(self, films: FilmDataset, seed: int, horizontal_flip: bool) -> None:
        self.films = films
        self.seed = seed
        self.horizontal_flip = horizontal_flip

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = key
        film, labels = self.films[index]
        if self.horizontal_flip and derived_seed(self.seed, Stream.FLIP, epoch, index) % 2:
            film = film.flip(-1)
        return film, labels
