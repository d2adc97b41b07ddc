"""The published procedures, written anew from their papers: what the bench compares with.

One image at a time; every step of a bottleneck runs the whole model, whose parameters take part in
the backward pass; pixels are replaced one by one, and each state is a forward pass of its own.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attribution.bottleneck import bits_per_pixel
from attribution.config import BottleneckConfig
from attribution.placement import centres_of
from attribution.statistics import FeatureStatistics


def fit_bottleneck(
    model: nn.Module,
    layer: nn.Module,
    image: Tensor,
    target: int,
    statistics: FeatureStatistics,
    config: BottleneckConfig,
    seed: int,
    *,
    inverse: bool,
) -> Tensor:
    """Map (H, W) in bits/pixel of one image (3, H, W), by IBA at ``layer`` (inverse: Inverse IBA).

    The loss is -log sigmoid of the target's logit; the noise is that of attribution.iba's seed.
    """
    mean, std = statistics.mean.to(image), statistics.std.to(image).clamp(min=config.min_std)
    active = (statistics.active.to(image) > config.active_threshold).float()
    batch = image.expand(config.noise_samples, -1, -1, -1)
    alpha = torch.full_like(mean, config.initial_alpha)[None].requires_grad_()
    optimiser = torch.optim.Adam([alpha], lr=config.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    radius = round(2 * config.sigma)
    offsets = torch.arange(-radius, radius + 1.0, device=image.device)
    line = torch.exp(-(offsets**2) / (2 * config.sigma**2))
    kernel = line[:, None] * line
    kernel = (kernel / kernel.sum()).expand(len(mean), 1, -1, -1)
    seen: dict[str, Tensor] = {}

    def mask() -> Tensor:
        padded = F.pad(torch.sigmoid(alpha), [radius] * 4, mode="reflect")
        return F.conv2d(padded, kernel, groups=len(mean))

    def capacity(share: Tensor, features: Tensor) -> Tensor:
        normal = (features - mean) / std
        log_variance = torch.log((1 - share) ** 2)
        divergence = (share * normal) ** 2 + (1 - share) ** 2 - log_variance - 1
        return 0.5 * divergence * active

    def replace(layer: nn.Module, args: Any, features: Tensor) -> Tensor:
        share = mask()
        seen["features"], seen["capacity"] = features, capacity(share, features)
        standard = [
            torch.randn(*mean.shape[1:], len(mean), generator=generator).permute(2, 0, 1)
            for _ in features
        ]
        noise = torch.stack(standard).to(features) * std + mean
        kept, added = (1 - share, share) if inverse else (share, 1 - share)
        return (kept * features + added * noise) * active

    model.eval()
    with layer.register_forward_hook(replace):
        for _ in range(config.steps):
            optimiser.zero_grad()
            model_loss = F.softplus(-model(batch)[:, target]).mean()
            information = seen["capacity"].mean()
            loss = config.found_beta * information + (-model_loss if inverse else model_loss)
            loss.backward()
            optimiser.step()
    model.zero_grad()
    with torch.no_grad():
        nats = capacity(mask(), seen["features"][:1])
    # Drawn where ours is: the published resize lies 1.5 px off (docs/deviations.md).
    return bits_per_pixel(nats, (image.shape[1], image.shape[2]), centres_of(model, config.tap))[0]


def replaced_one_by_one(
    model: nn.Module,
    start: Tensor,
    source: Tensor,
    order: Sequence[int],
    counts: Sequence[int],
    target: int,
    pixels_a_step: int | None = None,
) -> Tensor:
    """Probabilities (S,) of ``start`` (3, H, W) with the first counts[s] pixels of ``order`` taken
    from ``source``; counts ascend.

    The published code scores a film for each step of so many pixels, but the films of a batch are
    references to one tensor, which has all of the batch's pixels by then.
    """
    with _evaluation(model):
        film, width, done, scores = start.clone(), start.shape[2], 0, []
        for count in counts:
            for pixel in order[done:count]:
                row, column = divmod(int(pixel), width)
                film[:, row, column] = source[:, row, column]
            steps = math.ceil((count - done) / pixels_a_step) if pixels_a_step else 1
            done = count
            scores.append(model(torch.stack([film] * steps))[0, target].sigmoid())
        return torch.stack(scores)


def change_under_masks(
    model: nn.Module, image: Tensor, masks: Tensor, base: Tensor, target: int
) -> Tensor:
    """Change of the probability (M,) under each mask (H W): pixel by pixel, film by film."""
    with _evaluation(model):
        original = model(image[None])[0, target].sigmoid()
        changed = [
            replaced_one_by_one(
                model, image, base, mask.nonzero().flatten().tolist(), [int(mask.sum())], target
            )
            for mask in masks
        ]
        return original - torch.cat(changed)


def iou_by_thresholds(
    attribution: NDArray[np.floating], truth: NDArray[np.bool_], thresholds: NDArray[np.floating]
) -> NDArray[np.float64]:
    """IoU (T,) with ``truth`` of where the map (H, W) is above each share of its maximum."""
    share = attribution / attribution.max()
    return np.array([((share > t) & truth).sum() / ((share > t) | truth).sum() for t in thresholds])


@contextmanager
def _evaluation(model: nn.Module) -> Iterator[None]:
    model.eval()
    with torch.no_grad():
        yield
