"""Any torchvision-like model explained in one call: what ``from attribution import explain`` is."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attribution.arguments import (
    check_first_output,
    checked_device,
    checked_images,
    checked_layer,
    checked_reference,
    checked_score,
    checked_seeds,
    checked_targets,
)
from attribution.base import SCORES, Attribution
from attribution.config import (
    AttributionConfig,
    BottleneckConfig,
    MultilayerIBAConfig,
    Score,
    StatisticsConfig,
)
from attribution.layout import Layout
from attribution.methods import build_method, method_config
from attribution.statistics import FeatureStatistics, estimate_statistics
from attribution.tapped import TappedModule


def explain(
    model: nn.Module,
    images: Tensor | NDArray[np.floating] | Sequence[Tensor],
    targets: Tensor | NDArray[np.number] | Sequence[int] | int,
    *,
    method: str = "iba",
    layer: str | None = None,
    layout: str | Layout | None = None,
    reference: Iterable[Any] | None = None,
    settings: Any = None,
    score: Score | str = Score.logit,
    seeds: Sequence[int] | None = None,
) -> Attribution:
    """Maps (N, H, W) of normalised images (N, 3, H, W), by a method of ``methods.METHODS``.

    images: also one image (3, H, W), or a list of such. targets (N,): the output to explain, from
    0; scores for a regressor; one number for all images. layer: where the method looks, a name of
    ``model.named_modules()``; needed by the bottlenecks, the CAMs and Excitation Backprop. layout:
    how the layer's output lies, only where a ValueError asks for it (``attribution.tapped``).
    reference: batches (n, 3, H, W) of other images of the same size, normalised alike, of which a
    bottleneck takes its statistics (the first 1000); a DataLoader of (images, labels) will do.
    settings: the method's own, such as ``IBAConfig(beta=20)``. seeds: one per image, 0 ... N - 1 if
    not given. All is moved to the model's device.

    The statistics are estimated in every call: to keep them, see ``attribution.tapped``. Raises
    ValueError for what is missing, superfluous, unknown or does not fit together.
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
    # Inside inference_mode there are no gradients: copies made here have them.
    with torch.inference_mode(False):
        device = checked_device(model)
        layer = checked_layer(layer, model)
        batch = checked_images(images, device)
        of_batch = checked_targets(targets, len(batch), device)
        kind = checked_score(score)
        tapped = TappedModule(model, layout=layout)
        check_first_output(tapped, batch, of_batch, layer, kind)
        statistics: dict[str, FeatureStatistics] = {}
        if layer is not None:
            chosen = replace(chosen, tap=layer)
            if reference is not None:
                batches = checked_reference(reference, batch)
                statistics[layer] = estimate_statistics(tapped, layer, batches, StatisticsConfig())
        config = replace(AttributionConfig(), **{method: chosen})
        return build_method(method, config, statistics)(
            tapped,
            batch,
            of_batch,
            score=SCORES[kind],
            seeds=checked_seeds(seeds, len(batch)),
        )
