"""Findings that come together as they do in life, and labels that are wrong as often as they are.

The sets of findings of an abnormal film have a log-linear distribution: the odds of a finding are
multiplied by one number for each other finding that is there. Its main terms are fitted so that
every finding is exactly as frequent as its difficulty says.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from data.phantom.difficulty import Difficulty

ROUNDS = 300  # of fitting; the margins are exact to 1e-9 long before


@cache
def findings_table(
    difficulty: Difficulty, healthy: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """All sets of findings: present (2^F, F) bool, and the chance (2^F,) of each on a film.

    `healthy`: fraction of films without a finding, which stand in row 0. ValueError where such
    prevalences cannot be.
    """
    names = [name for name, _ in difficulty.prevalence]
    wanted = np.array([chance for _, chance in difficulty.prevalence])
    numbers = np.arange(2 ** len(names))[:, None]
    present = (numbers >> np.arange(len(names))) % 2 == 1
    chance = np.ones(len(present))
    for one, other, odds in difficulty.odds:
        both = present[:, names.index(one)] & present[:, names.index(other)]
        chance[both] *= odds
    # Iterative proportional fitting: scaling by one finding at a time leaves all odds ratios.
    for _ in range(ROUNDS):
        chance[1:] *= (1 - healthy) / chance[1:].sum()
        chance[0] = healthy
        for k, part in enumerate(wanted):
            held, free = present[:, k], ~present[:, k]
            free[0] = False  # the healthy films stay as many as they are
            chance[held] *= part / chance[held].sum()
            chance[free] *= (1 - healthy - part) / chance[free].sum()
    margins = chance @ present
    if (chance < 0).any() or not np.allclose(margins, wanted, atol=1e-6):
        raise ValueError(f"no films can have the prevalences {wanted} with {healthy} healthy")
    return present, chance / chance.sum()


def draw_set(rng: np.random.Generator, difficulty: Difficulty, healthy: float) -> tuple[str, ...]:
    """The findings of one film, in the difficulty's order."""
    present, chance = findings_table(difficulty, healthy)
    row = present[rng.choice(len(chance), p=chance)]
    return tuple(name for (name, _), p in zip(difficulty.prevalence, row, strict=True) if p)


def with_wrong_labels(
    findings: tuple[str, ...], rng: np.random.Generator, difficulty: Difficulty
) -> tuple[str, ...]:
    """The labels that a film with these findings gets, in the difficulty's order.

    A finding is overlooked with chance w = `wrong_labels`, and one that is not there is seen with
    w p / (1 - p), p its prevalence: then w of the positive labels are wrong and p stays.
    """
    wrong = difficulty.wrong_labels
    labels = []
    for (name, chance), draw in zip(
        difficulty.prevalence, rng.random(len(difficulty.prevalence)), strict=True
    ):
        there = name in findings
        flipped = draw < (wrong if there else wrong * chance / (1 - chance))
        if there != flipped:
            labels.append(name)
    return tuple(labels)
