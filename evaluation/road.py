"""ROAD (Rong et al. 2022): pixels are removed by imputing them from their neighbours.

A blurred or grey patch tells a model where something was removed; a noisy linear imputation hardly
does. The score should fall fast when the most relevant pixels go first (MoRF) and slowly when the
least relevant do (LeRF).
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

from evaluation.config import ROADConfig
from evaluation.perturbation import Scorer, check_images, pixel_ranks

DIRECT, DIAGONAL = 1 / 6, 1 / 12  # publication: weights of the eight neighbours, 1 together


@lru_cache(maxsize=2)
def _laplacian(height: int, width: int) -> sparse.csr_array:
    """(H W, H W): the sum of a pixel's weights on the diagonal, less the weight of each neighbour.

    Neighbours beyond the edge are none, so that a border pixel's weights are of those it has.
    """
    index = np.arange(height * width).reshape(height, width)
    pairs = [
        (index[:, :-1], index[:, 1:], DIRECT),
        (index[:-1], index[1:], DIRECT),
        (index[:-1, :-1], index[1:, 1:], DIAGONAL),
        (index[:-1, 1:], index[1:, :-1], DIAGONAL),
    ]
    a = np.concatenate([first.ravel() for first, _, _ in pairs])
    b = np.concatenate([second.ravel() for _, second, _ in pairs])
    weight = np.concatenate([np.full(first.size, w) for first, _, w in pairs])
    weights = sparse.coo_array((weight, (a, b)), shape=(index.size, index.size)).tocsr()
    weights = weights + weights.T
    return sparse.csr_array(sparse.diags_array(weights.sum(axis=1)) - weights)


def impute(image: NDArray[np.floating], removed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``image`` (C, H, W) with the pixels ``removed`` (H, W) as the weighted mean of their
    neighbours, imputed ones included: a sparse linear system, solved exactly.

    ValueError where every pixel is removed.
    """
    if removed.all():
        raise ValueError("ROAD cannot impute a film of which every pixel is removed")
    flat, gone = image.reshape(len(image), -1).astype(np.float64), removed.ravel()
    rows = _laplacian(*removed.shape)[gone]
    # Symmetric and positive definite: the fill-reducing order of the pattern, no pivoting.
    solver = splu(
        rows[:, gone].tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    flat[:, gone] = solver.solve(-(rows[:, ~gone] @ flat[:, ~gone].T)).T
    return flat.reshape(image.shape)


@torch.no_grad()
def road(
    score: Scorer,
    images: Tensor,
    targets: Tensor,
    maps: Tensor,
    seeds: Sequence[int],
    config: ROADConfig,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores (N, F) with each of ``config.fractions`` of the pixels gone: MoRF, then LeRF.

    ``images`` (N, 3, H, W) normalised, ``maps`` (N, H, W), one seed per image for the noise on
    imputed pixels. Equal values of a map go by their index. ValueError for a fraction outside
    (0, 1), FloatingPointError where a score is not finite.
    """
    check_images(images, targets, maps)
    if not config.fractions or not all(0 < fraction < 1 for fraction in config.fractions):
        raise ValueError(f"evaluation.road.fractions must be in (0, 1), got {config.fractions}")
    films, ranks = images.cpu().double().numpy(), pixel_ranks(maps).cpu().numpy()
    num, pixels = ranks.shape
    states: list[Tensor] = []
    scores: list[Tensor] = []

    def flush() -> None:
        batch = torch.stack(states).to(images)
        rows = torch.arange(done - len(states), done) // (2 * len(config.fractions))
        scores.append(score(batch, targets[rows.to(targets.device)]).double().cpu())
        states.clear()

    done = 0
    for film, rank, seed in zip(films, ranks, seeds, strict=True):
        rng = np.random.default_rng((config.seed, seed))
        for fraction in config.fractions:
            count = min(max(round(fraction * pixels), 1), pixels - 1)
            for gone in (rank < count, rank >= pixels - count):
                removed = gone.reshape(film.shape[1:])
                noise = config.noise_std * rng.standard_normal(film.shape)
                states.append(torch.from_numpy(impute(film, removed) + noise * removed))
                done += 1
                if len(states) == config.batch_size:
                    flush()
    if states:
        flush()
    result = torch.cat(scores).view(num, len(config.fractions), 2).numpy()
    bad = np.flatnonzero(~np.isfinite(result).all(axis=(1, 2))).tolist()
    if bad:
        raise FloatingPointError(f"the model's score of sample(s) {bad} is not finite")
    return result[:, :, 0], result[:, :, 1]


def road_samples(
    samples: pd.DataFrame, morf: NDArray[np.float64], lerf: NDArray[np.float64]
) -> pd.DataFrame:
    """Long per-sample rows: the columns of ``samples``, metric, value.

    Means over the fractions: road_morf (low is good), road_lerf (high is good) and road_gap, the
    second less the first.
    """
    columns = {"road_morf": morf.mean(axis=1), "road_lerf": lerf.mean(axis=1)}
    columns["road_gap"] = columns["road_lerf"] - columns["road_morf"]
    return samples.assign(**columns).melt(
        id_vars=list(samples), value_vars=list(columns), var_name="metric"
    )
