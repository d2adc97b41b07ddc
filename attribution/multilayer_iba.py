"""Multi-layer IBA: the crisp map of an early layer where later layers agree (Eq. 7)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attribution.base import Attribution, ScoreFunction, TappedModel, check_batch, frozen
from attribution.config import IBAConfig, Intersection, MultilayerIBAConfig
from attribution.iba import IBA
from attribution.statistics import FeatureStatistics


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
    """IBA at each of ``config.taps`` with the same seeds, intersected.

    Every single map is the one that IBA gives at that tap. Diagnostics per image: score, without a
    bottleneck; area, the share of the pixels where the joint map is not 0; and IBA's own of each
    tap, as ``bits_block1``. Raises ValueError where lists of the settings differ in length.
    """

    def __init__(self, config: MultilayerIBAConfig, *statistics: FeatureStatistics) -> None:
        if not 0 < len(config.taps) == len(config.betas) == len(config.thresholds):
            raise ValueError(
                "attribution.multilayer_iba.taps, .betas and .thresholds must be of one length, "
                f"got {len(config.taps)}, {len(config.betas)} and {len(config.thresholds)}"
            )
        self.config = config
        self.layers = [
            IBA(
                IBAConfig(
                    tap=tap,
                    beta=beta,
                    steps=config.steps,
                    noise_samples=config.noise_samples,
                    learning_rate=config.learning_rate,
                    initial_alpha=config.initial_alpha,
                    sigma=config.sigma,
                    min_std=config.min_std,
                    active_threshold=config.active_threshold,
                    model_loss=config.model_loss,
                ),
                of_tap,
            )
            for tap, beta, of_tap in zip(config.taps, config.betas, statistics, strict=True)
        ]

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
        taps = self.config.taps
        side = (images.shape[2], images.shape[3])
        maps: list[Tensor] = []
        diagnostics: dict[str, Tensor] = {}
        with frozen(model):
            with torch.no_grad():
                features = model.forward_to_all(taps, images)
                outputs = model.forward_from(taps[-1], features[taps[-1]])
            for tap, layer in zip(taps, self.layers, strict=True):
                fit = layer.fit_features(
                    model, features.pop(tap), outputs, targets, score=score, seeds=seeds
                )
                maps.append(fit.maps(side))
                diagnostics |= {f"{name}_{tap}": value for name, value in fit.diagnostics.items()}
                diagnostics["score"] = diagnostics.pop(f"score_{tap}")
        joint = intersect(maps, self.config.thresholds, self.config.mode)
        diagnostics["area"] = (joint > 0).float().mean((1, 2))
        return Attribution(joint, diagnostics)
