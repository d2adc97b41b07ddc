"""Mean, deviation and activity of every neuron of a feature map: the bottleneck's noise, Q(Z)."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from attribution.base import TappedModel, frozen
from attribution.config import StatisticsConfig
from attribution.tapped import TappedModule

_TENSORS = ("mean", "std", "active")


@dataclass(frozen=True)
class FeatureStatistics:
    """Per neuron (C, h, w), float32 on the CPU, over ``num_images`` images.

    mean; std (unbiased, n - 1); active: share of the images in which the neuron is not zero.
    prefix_mean (C, k): mean of the tokens before the map, where a layer has any (class token).
    """

    tap: str
    mean: Tensor
    std: Tensor
    active: Tensor
    num_images: int
    prefix_mean: Tensor | None = None

    def save(self, path: Path) -> None:
        """Writes one safetensors file; the same statistics give the same bytes."""
        # One metadata entry: safetensors writes several in the arbitrary order of a hash map.
        about = json.dumps({"num_images": self.num_images, "tap": self.tap}, sort_keys=True)
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        if self.prefix_mean is not None:
            tensors["prefix_mean"] = self.prefix_mean.contiguous()
        unfinished = path.with_name(path.name + ".tmp")
        save_file(tensors, unfinished, metadata={"feature_statistics": about})
        os.replace(unfinished, path)

    @classmethod
    def load(cls, path: Path) -> "FeatureStatistics":
        """Raises FileNotFoundError, or ValueError where the file holds something else."""
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; the statistics step writes it")
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["feature_statistics"])
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
                names = file.keys()
                prefix = file.get_tensor("prefix_mean") if "prefix_mean" in names else None
            loaded = cls(
                about["tap"], **tensors, num_images=about["num_images"], prefix_mean=prefix
            )
            shapes = {tensor.shape for tensor in tensors.values()}
            if len(shapes) > 1 or not all(tensor.isfinite().all() for tensor in tensors.values()):
                raise ValueError(f"{', '.join(_TENSORS)} are not finite and of one shape")
        except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"{path}: not a file of feature statistics ({error}); delete it and estimate again"
            ) from error
        return loaded


class _Welford:
    """Mean and sum of squared deviations in float64, merged batch by batch (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = self.nonzero = torch.zeros((), dtype=torch.float64)

    def update(self, features: Tensor) -> None:
        batch = features.double()
        batch_mean = batch.mean(0)
        delta = batch_mean - self.mean.to(batch.device)
        total = self.count + len(batch)
        self.squares = (
            self.squares.to(batch.device)
            + (batch - batch_mean).square_().sum(0)
            + delta.square() * (self.count * len(batch) / total)
        )
        self.mean = batch_mean - delta * (self.count / total)
        self.nonzero = self.nonzero.to(batch.device) + (batch != 0).sum(0)
        self.count = total


def estimate_statistics(
    model: TappedModel, tap: str, batches: Iterable[Tensor], config: StatisticsConfig
) -> FeatureStatistics:
    """``statistics_at_taps`` of one tap."""
    return statistics_at_taps(model, (tap,), batches, config)[tap]


def statistics_at_taps(
    model: TappedModel,
    taps: Sequence[str],
    batches: Iterable[Tensor],
    config: StatisticsConfig,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, FeatureStatistics]:
    """Statistics of the feature maps at ``taps`` over the first ``config.num_images`` images, which
    run through the model once.

    batches: normalised float32 (n, 3, H, W) on the model's device. Uses all where there are fewer
    images. Raises ValueError with fewer than two: a deviation needs two.
    """
    count = 0
    of_maps = {tap: _Welford() for tap in taps}
    of_prefixes = {tap: _Welford() for tap in taps}
    with frozen(model), torch.no_grad():
        for images in batches:
            images = images[: config.num_images - count]
            count += len(images)
            feature_maps = model.forward_to_all(taps, images)
            for tap in taps:
                of_maps[tap].update(feature_maps.pop(tap))
                if isinstance(model, TappedModule) and tap in model.prefix_tokens:
                    of_prefixes[tap].update(model.prefix_tokens[tap])
            if progress:
                progress(count, config.num_images)
            if count >= config.num_images:
                break
    if count < 2:
        raise ValueError(
            f"feature statistics at {', '.join(taps)} need at least 2 images, got {count}: "
            "raise attribution.statistics.num_images or give more training images"
        )
    return {
        tap: FeatureStatistics(
            tap=tap,
            mean=of_map.mean.float().cpu(),
            std=(of_map.squares / (count - 1)).sqrt().float().cpu(),
            active=(of_map.nonzero / count).float().cpu(),
            num_images=count,
            prefix_mean=of_prefixes[tap].mean.float().cpu() if of_prefixes[tap].count else None,
        )
        for tap, of_map in of_maps.items()
    }
