"""Sanity checks (Adebayo et al. 2018): an explanation must change with the model and with the film,
and not with noise that nobody sees.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Protocol, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter
from scipy.stats import rankdata
from torch import Tensor, nn

from evaluation.config import SanityConfig
from evaluation.localization import check_finite

Explain = Callable[[nn.Module, Tensor, Tensor], NDArray[np.float32]]
"""(model, images (N, 3, H, W), targets (N,)) -> maps (N, H, W). What it draws at random, it draws
from the same seeds in every call; a bottleneck estimates its statistics on the model it is given.
"""


class _Resettable(Protocol):
    def reset_parameters(self) -> None: ...


def ssim(a: NDArray[np.floating], b: NDArray[np.floating], window: int) -> NDArray[np.float64]:
    """Structural similarity (N,) of maps (N, H, W), each scaled to [0, 1] by its own extremes.

    Wang et al. 2004 with a uniform window, K1 = 0.01, K2 = 0.03, over windows inside the map.
    NaN where a map is constant, ValueError for one that is not finite.
    """
    if min(a.shape[1:]) < window:
        raise ValueError(f"evaluation.sanity.ssim_window {window} is wider than the map {a.shape}")
    check_finite(a)
    check_finite(b)
    x, y = _unit_range(a), _unit_range(b)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        edge = window // 2
        inner = (slice(None), *(slice(edge, n - (window - 1 - edge)) for n in a.shape[1:]))
        return uniform_filter(values, window, axes=(1, 2))[inner]

    mx, my = mean(x), mean(y)
    unbiased = window**2 / (window**2 - 1)
    vx, vy = unbiased * (mean(x * x) - mx**2), unbiased * (mean(y * y) - my**2)
    cov = unbiased * (mean(x * y) - mx * my)
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return similarity.mean(axis=(1, 2))


def _unit_range(maps: NDArray[np.floating]) -> NDArray[np.float64]:
    values = maps.astype(np.float64)
    low, high = values.min(axis=(1, 2), keepdims=True), values.max(axis=(1, 2), keepdims=True)
    with np.errstate(invalid="ignore"):
        return (values - low) / np.where(high > low, high - low, np.nan)


def standard_ranks(maps: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks of the pixels (N, H W), of mean 0 and length 1, ties at their mean rank.

    The product of two rows is Spearman's correlation. NaN for a constant map, ValueError for one
    that is not finite.
    """
    check_finite(maps)
    ranks = rankdata(maps.reshape(len(maps), -1), axis=1)
    ranks -= ranks.mean(axis=1, keepdims=True)
    length = np.sqrt((ranks**2).sum(axis=1, keepdims=True))
    return ranks / np.where(length > 0, length, np.nan)


def spearman(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Spearman's correlation (N,) over the pixels of maps (N, H, W)."""
    return (standard_ranks(a) * standard_ranks(b)).sum(axis=1)


def randomised(
    model: nn.Module, layers: Sequence[str], seed: int
) -> Iterator[tuple[str, nn.Module]]:
    """A copy of ``model`` with more and more layers as they are before training, last ones first.

    ``layers``, from the output to the input; the model yielded with one is new from it up to the
    output, in the order in which modules are registered. It is one copy that changes: use it before
    the next. New weights are drawn on the CPU, the same on every device. ValueError for a name that
    is not in the model, has no weights, or lies above the one before.
    """
    copy = deepcopy(model)
    named = [(name, m) for name, m in copy.named_modules() if hasattr(m, "reset_parameters")]
    done, device = len(named), next(copy.parameters()).device
    for layer in layers:
        own = [i for i, (n, _) in enumerate(named) if n == layer or n.startswith(f"{layer}.")]
        if not own or own[0] >= done:
            raise ValueError(
                f"evaluation.sanity.layers: {layer!r} must be a layer with weights, and nearer to "
                "the input than the one before it"
            )
        with torch.random.fork_rng(devices=[]):
            for place in range(own[0], done):
                module = named[place][1]
                # A seed per module: what is drawn between two layers changes nothing.
                torch.manual_seed(seed + place)
                cast(_Resettable, module.cpu()).reset_parameters()
                module.to(device)
        done = own[0]
        yield layer, copy


def cascading_randomisation(
    model: nn.Module, explain: Explain, images: Tensor, targets: Tensor, config: SanityConfig
) -> pd.DataFrame:
    """How alike the maps of the model and of its randomised copies are: they should not be.

    Columns row (of the batch), layer, ssim, spearman; ``model`` itself is left alone.
    """
    original = explain(model, images, targets)
    frames = []
    for layer, copy in randomised(model, config.layers, config.seed):
        maps = explain(copy, images, targets)
        columns = {
            "row": np.arange(len(maps)),
            "layer": layer,
            "ssim": ssim(original, maps, config.ssim_window),
            "spearman": spearman(original, maps),
        }
        frames.append(pd.DataFrame(columns))
    if not frames:
        raise ValueError("evaluation.sanity.layers is empty: name one layer at least")
    return pd.concat(frames, ignore_index=True)


def input_independence(
    maps_of: Callable[[NDArray[np.intp]], NDArray[np.floating]],
    targets: ArrayLike,
    patients: ArrayLike,
) -> NDArray[np.float64]:
    """Mean Spearman correlation (N,) of each map with those of other patients' films for the same
    target: 1 for a method that does not look at the film. NaN where there is no such film.

    ``maps_of`` gives the maps (n, H, W) of positions (n,). The mean of products with the others'
    ranks is the product with their mean, so one patient's maps are held at a time, and each is
    asked for twice.
    """
    films = pd.DataFrame({"target": np.asarray(targets), "patient": np.asarray(patients)})
    values = np.full(len(films), np.nan)
    for _, of_target in films.groupby("target"):
        own = [rows.to_numpy() for rows in of_target.groupby("patient").groups.values()]
        total, count = np.zeros(()), 0
        for rows in own:
            ranks, known = _known_ranks(maps_of(rows))
            total, count = total + ranks[known].sum(axis=0), count + known.sum()
        for rows in own:
            ranks, known = _known_ranks(maps_of(rows))
            if others := count - known.sum():
                values[rows] = ranks @ (total - ranks[known].sum(axis=0)) / others
    return values


def _known_ranks(
    maps: NDArray[np.floating],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """``standard_ranks``, and which of the maps are not constant."""
    ranks = standard_ranks(maps)
    return ranks, ~np.isnan(ranks[:, 0])


def noise_sensitivity(
    model: nn.Module,
    explain: Explain,
    images: Tensor,
    targets: Tensor,
    seeds: Sequence[int],
    config: SanityConfig,
) -> pd.DataFrame:
    """Change of each map under normal noise on the film, ||E(x + d) - E(x)|| / ||E(x)||.

    Columns noise_mean and noise_max over ``config.noise_draws`` (the latter after Yeh et al. 2019),
    a row per image; the noise depends on the image's seed. NaN for a map of zeros.
    """
    generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
    original = explain(model, images, targets).astype(np.float64)
    length = np.sqrt((original**2).sum(axis=(1, 2)))
    changes = []
    for _ in range(config.noise_draws):
        noise = torch.stack([torch.randn(images.shape[1:], generator=g) for g in generators])
        noisy = images + config.noise_std * noise.to(images)
        moved = explain(model, noisy, targets) - original
        changes.append(np.sqrt((moved**2).sum(axis=(1, 2))) / np.where(length > 0, length, np.nan))
    return pd.DataFrame(
        {"noise_mean": np.mean(changes, axis=0), "noise_max": np.max(changes, axis=0)}
    )
