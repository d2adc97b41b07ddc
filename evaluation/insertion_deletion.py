"""Insertion and deletion (Petsiuk et al. 2018): the score while pixels come or go by their rank."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.config import REFERENCE_SIDE, Baseline, CurveRule, InsertionDeletionConfig
from evaluation.perturbation import (
    Scorer,
    baseline_images,
    check_images,
    pixel_ranks,
    replaced_scores,
)

PUBLISHED_STEP = 25  # pixels
PUBLISHED_BATCH = 80 * PUBLISHED_STEP  # 80 references to one live tensor: one state
PUBLISHED_STATES, PUBLISHED_LAST = 12, 44  # 12 full batches, then 44 steps to half the pixels


@dataclass(frozen=True)
class Schedule:
    """At how many changed pixels a curve is taken (S,), and what its area weighs them with (S,)."""

    counts: NDArray[np.intp]
    weights: NDArray[np.float64]


def schedule(config: InsertionDeletionConfig, side: int) -> Schedule:
    """The states of a curve on films of ``side``.

    ``full``: ``steps`` (scaled by side / 224) equal steps from 0 to all pixels, and the trapezoid
    over the fraction of pixels. ``published_code``: its 1,004 scores of the upper half of the
    pixels, which are 13 different ones (80 at 2,000, ..., 80 at 24,000, 44 at 25,088 pixels),
    without the start, under its trapezoid of width 1/1004. ValueError for that at another side.
    """
    pixels = side * side
    if config.rule is CurveRule.published_code:
        if side != REFERENCE_SIDE:
            raise ValueError(
                f"evaluation.insertion_deletion.rule=published_code is defined at {REFERENCE_SIDE} "
                f"px, not at {side}: take rule=full, whose lengths scale"
            )
        counts = np.r_[PUBLISHED_BATCH * np.arange(1, PUBLISHED_STATES + 1), pixels // 2]
        repeats = np.r_[
            np.full(PUBLISHED_STATES, PUBLISHED_BATCH // PUBLISHED_STEP), PUBLISHED_LAST
        ]
        weights = repeats.astype(np.float64)
        weights[[0, -1]] -= 0.5  # the trapezoid halves the first and the last score
        return Schedule(counts, weights / repeats.sum())
    steps = min(max(round(config.steps * side / REFERENCE_SIDE), 1), pixels)
    counts = np.rint(np.linspace(0, pixels, steps + 1)).astype(np.intp)
    widths = np.diff(counts) / pixels
    return Schedule(counts, np.r_[widths, 0] / 2 + np.r_[0, widths] / 2)


@dataclass(frozen=True)
class Curves:
    """float64 scores of N films: of the film itself and of the blank one (N,), and at each state
    of the games (N, S)."""

    film: NDArray[np.float64]
    blank: NDArray[np.float64]
    insertion: NDArray[np.float64]
    deletion: NDArray[np.float64]


def end_scores(
    score: Scorer, images: Tensor, targets: Tensor, config: InsertionDeletionConfig
) -> pd.DataFrame:
    """Where both games begin or end, whatever the map: N rows of the score of the film, ``film``,
    and of each baseline by its name."""
    check_images(images, targets)
    rows = torch.arange(len(images), device=images.device)
    nothing = torch.zeros_like(images[:, 0], dtype=torch.bool).flatten(1)
    films = {"film": images} | {
        baseline.value: baseline_images(images, baseline, config.blur)
        for baseline in config.baselines
    }
    return pd.DataFrame(
        {
            name: replaced_scores(
                score, each, targets, each, rows, nothing.__getitem__, config.batch_size
            ).numpy()
            for name, each in films.items()
        }
    )


def insertion_deletion(
    score: Scorer,
    images: Tensor,
    targets: Tensor,
    maps: Tensor,
    ends: pd.DataFrame,
    baseline: Baseline,
    config: InsertionDeletionConfig,
) -> Curves:
    """Both curves of ``maps`` (N, H, W) on normalised ``images`` (N, 3, H, W), at ``schedule``.

    Deletion replaces the highest-ranked pixels of the film by the baseline's, insertion those of
    the baseline by the film's. ``ends``: of ``end_scores``, which no map needs again.
    """
    check_images(images, targets, maps)
    base = baseline_images(images, baseline, config.blur)
    ranks = pixel_ranks(maps.to(images.device))
    num, pixels = ranks.shape

    def states(counts: NDArray[np.intp], *, deleting: bool) -> NDArray[np.float64]:
        rows = torch.arange(num, device=images.device).repeat_interleave(len(counts))
        count = torch.as_tensor(counts, device=images.device).repeat(num)[:, None]

        def replaced(part: slice) -> Tensor:
            return (ranks[rows[part]] < count[part]) == deleting

        scores = replaced_scores(score, images, targets, base, rows, replaced, config.batch_size)
        return scores.view(num, len(counts)).numpy()

    counts = schedule(config, images.shape[2]).counts
    between = (counts > 0) & (counts < pixels)
    film, blank = ends["film"].to_numpy(), ends[baseline.value].to_numpy()

    def curve(*, deleting: bool) -> NDArray[np.float64]:
        scores = np.where((counts == 0) == deleting, film[:, None], blank[:, None])
        scores[:, between] = states(counts[between], deleting=deleting)
        return scores

    return Curves(film, blank, curve(deleting=False), curve(deleting=True))


def insertion_deletion_samples(
    samples: pd.DataFrame, curves: Curves, config: InsertionDeletionConfig, side: int
) -> pd.DataFrame:
    """Per-sample rows: the columns of ``samples`` (N rows), score and blank (of the film and of the
    baseline), and of each game the area, and the relative area (area - blank) / (score - blank).

    That is what the area is of the way from blank to film; NaN where the score does not fall by
    ``config.min_drop`` on it: where the blank film is positive too, no order of pixels tells much.
    Samples that score less than ``config.min_score`` are left out.
    """
    if len(samples) != len(curves.film):
        raise ValueError(f"{len(samples)} samples, but curves of {len(curves.film)}")
    weights = schedule(config, side).weights
    fall = curves.film - curves.blank
    drop = np.where(fall >= config.min_drop, fall, np.nan)
    frame = samples.reset_index(drop=True).assign(score=curves.film, blank=curves.blank)
    for game, scores in (("insertion", curves.insertion), ("deletion", curves.deletion)):
        area = scores @ weights
        frame[f"{game}_auc"], frame[f"{game}_relative"] = area, (area - curves.blank) / drop
    if config.min_score is not None:
        frame = frame[frame["score"] >= config.min_score].reset_index(drop=True)
    return frame
