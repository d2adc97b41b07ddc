"""Multi-layer IBA: the crisp map of an early layer where later layers agree (Eq. 7)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from attribution.base import Attribution, ScoreFunction, TappedModel, check_batch, frozen
from attribution.config import Intersection, MultilayerIBAConfig
from attribution.iba import BottleneckMethod


def intersect(maps: Sequence[Tensor], thresholds: Sequence[float], mode: Intersection) -> Tensor:
    """The intersection (N, H, W) of maps (N, H, W) of as many layers.

    A pixel is above where its value is at least ``threshold`` times its map's root mean square, and
    not 0. binary: 1 where it is above in all maps; soft: the first map where it is in all others.
    """
    above = [
        (layer >= threshold * layer.square().mean((1, 2), keepdim=True).sqrt()) & (layer > 0)
        for layer, threshold in zip(maps, thresholds, strict=True)
    ]
    if mode is Intersection.binary:
        return torch.stack(above).all(0).to(maps[0])
    if len(maps) == 1:
        return maps[0]
    return maps[0] * torch.stack(above[1:]).all(0)


class MultilayerIBA:
    """IBA at the tap of each of ``layers`` with the same seeds, intersected.

    Every single map is the one that the layer gives alone. Diagnostics per image: score, without a
    bottleneck; area, the share of the pixels where the joint map is not 0; and IBA's own of each
    tap, as ``bits_block1``. Raises ValueError unless there is a threshold for each layer.
    """

    def __init__(self, config: MultilayerIBAConfig, layers: Sequence[BottleneckMethod]) -> None:
        if not 0 < len(layers) == len(config.thresholds):
            raise ValueError(
                "attribution.multilayer_iba needs as many thresholds as layers, got "
                f"{len(config.thresholds)} and {len(layers)}"
            )
        self.config = config
        self.layers = layers

    def __call__(
        self,
        model: TappedModel,
        images: Tensor,
        targets: Tensor,
        *,
        score: ScoreFunction,
        seeds: Sequence[int],
    ) -> Attribution:
        check_batch(images, targets, seeds)
        taps = [layer.config.tap for layer in self.layers]
        side = (images.shape[2], images.shape[3])
        parts: dict[str, Attribution] = {}
        with frozen(model):
            with torch.no_grad():
                features = model.forward_to_all(taps, images)
                outputs = model.forward_from(taps[-1], features[taps[-1]])
            for tap, layer in zip(taps, self.layers, strict=True):
                fit = layer.fit_features(
                    model, features.pop(tap), outputs, targets, score=score, seeds=seeds
                )
                parts[tap] = Attribution(fit.maps(side), fit.diagnostics)
        return join_layers(parts, self.config)


def join_layers(parts: Mapping[str, Attribution], config: MultilayerIBAConfig) -> Attribution:
    """What Multi-layer IBA gives, of what each layer gave at its tap, the finest first."""
    diagnostics: dict[str, Tensor] = {}
    for tap, part in parts.items():
        diagnostics |= {f"{name}_{tap}": value for name, value in part.diagnostics.items()}
        diagnostics["score"] = diagnostics.pop(f"score_{tap}")
    joint = intersect([part.maps for part in parts.values()], config.thresholds, config.mode)
    diagnostics["area"] = (joint > 0).float().mean((1, 2))
    return Attribution(joint, diagnostics)
