"""Which film comes when in an epoch, and which is mirrored: functions of (seed, epoch, film) alone.

Whoever resumes at epoch k draws what an uninterrupted run draws there, whatever ran before and
however many workers load.
"""

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

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


def films_in_order(
    num_films: int, seed: int, epoch: int, step: int, part: int, rank: Rank = ALONE
) -> list[int]:
    """The films that the process ``rank`` learns from in ``epoch`` (from 0), in their order.

    Each ``step`` films of a permutation are one optimizer step's, whoever computes them. They are
    cut into parts of ``part`` films, which the processes take in turn. The rest that fills no step
    sits out.
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, Stream.ORDER, epoch))
    films = torch.randperm(num_films, generator=generator)[: num_films // step * step]
    return films.view(-1, rank.of, part)[:, rank.number].flatten().tolist()


class MirroredFilms(Dataset[tuple[Tensor, Tensor]]):
    """``films`` of which about half are mirrored, another half in each ``epoch``."""

    def __init__(self, films: FilmDataset, seed: int, epoch: int) -> None:
        self.films = films
        self.seed = seed
        self.epoch = epoch

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        film, labels = self.films[index]
        if derived_seed(self.seed, Stream.FLIP, self.epoch, index) % 2:
            film = film.flip(-1)
        return film, labels
