"""Any torchvision-like model explained in one call: what ``from attribution import explain`` is."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from attribution.base import SCORES, Attribution
from attribution.config import (
    AttributionConfig,
    BottleneckConfig,
    MultilayerIBAConfig,
    Score,
    StatisticsConfig,
)
from attribution.methods import build_method, method_config
from attribution.statistics import FeatureStatistics, estimate_statistics
from attribution.tapped import TappedModule


def explain(
    model: nn.Module,
    images: Tensor,
    targets: Tensor | Sequence[int],
    *,
    method: str = "iba",
    layer: str | None = None,
    reference: Iterable[Tensor] | None = None,
    settings: Any = None,
    score: Score = Score.logit,
    seeds: Sequence[int] | None = None,
) -> Attribution:
    """Maps (N, H, W) of normalised images (N, 3, H, W), by a method of ``methods.METHODS``.

    targets (N,): the output to explain; float32 scores for a regressor. layer: where the method
    looks, a name of ``model.named_modules()``; needed by the bottlenecks, GradCAM and Excitation
    Backprop. reference: batches (n, 3, H, W) of other images, normalised alike, of which a
    bottleneck takes its statistics (the first 1000). settings: the method's own, such as
    ``IBAConfig(beta=20)``. seeds: one per image, 0 ... N - 1 if not given.

    The statistics are estimated in every call: to keep them, see ``attribution.tapped``. Raises
    ValueError for what is missing, superfluous or unknown.
    """
    defaults = method_config(method, AttributionConfig())
    chosen = defaults if settings is None else settings
    if type(chosen) is not type(defaults):
        raise ValueError(
            f"settings: {method} takes a {type(defaults).__name__}, not {type(chosen).__name__}"
        )
    if isinstance(chosen, MultilayerIBAConfig):
        raise ValueError(f"method: {method} looks at several layers; explain each by iba")
    if hasattr(chosen, "tap") != (layer is not None):
        raise ValueError(
            f"layer: {method} "
            + ("needs the name of one" if layer is None else f"looks at none, not at {layer!r}")
        )
    if isinstance(chosen, BottleneckConfig) != (reference is not None):
        raise ValueError(
            f"reference: {method} "
            + ("needs batches of other images" if reference is None else "takes no statistics")
        )
    tapped = TappedModule(model)
    statistics: dict[str, FeatureStatistics] = {}
    if layer is not None:
        chosen = replace(chosen, tap=layer)
        if reference is not None:
            batches = _checked(reference)
            statistics[layer] = estimate_statistics(tapped, layer, batches, StatisticsConfig())
    config = replace(AttributionConfig(), **{method: chosen})
    return build_method(method, config, statistics)(
        tapped,
        images,
        torch.as_tensor(targets, device=images.device),
        score=SCORES[score],
        seeds=range(len(images)) if seeds is None else seeds,
    )


def _checked(reference: Iterable[Tensor]) -> Iterator[Tensor]:
    for batch in reference:
        if not isinstance(batch, Tensor) or batch.ndim != 4:
            shape = tuple(batch.shape) if isinstance(batch, Tensor) else type(batch).__name__
            raise ValueError(
                f"reference: batches must be tensors (n, 3, H, W), got {shape}; put a single "
                "tensor of images into a list"
            )
        yield batch
