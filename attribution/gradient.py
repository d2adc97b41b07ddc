"""Gradients, plain and smoothed: how much the score changes with each pixel."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from attribution.base import (
    Attribution,
    ScoredModel,
    ScoreFunction,
    TappedModel,
    check_batch,
    frozen,
    generators,
)
from attribution.config import GradientConfig, Reduction, SmoothGradConfig
from attribution.precision import in_float32, without_autocast

REDUCTIONS: Mapping[Reduction, Callable[[Tensor], Tensor]] = {
    Reduction.max_abs: lambda gradient: gradient.abs().amax(1),
}


class Gradient:
    """Gradient of the score in the input, reduced over the channels (Simonyan et al. 2014).

    Maps in units of the score per unit of the normalised image, not negative.
    """

    def __init__(self, config: GradientConfig) -> None:
        self.config = config

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
        scored = ScoredModel(model, score, images)
        with frozen(model), without_autocast(images):
            gradient, scores = _gradient(scored, in_float32(images), targets)
        maps = REDUCTIONS[self.config.reduction](gradient)
        return Attribution(maps.float().cpu(), {"score": scores.float().cpu()})


class SmoothGrad:
    """Mean gradient over noisy copies of the image, then as ``Gradient`` (Smilkov et al. 2017).

    The noise is normal, its deviation ``config.noise`` of the image's range of values. captum's
    NoiseTunnel draws from the device's one generator: here each image's seed decides.
    """

    def __init__(self, config: SmoothGradConfig) -> None:
        self.config = config

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
        scored, total = ScoredModel(model, score, images), torch.zeros_like(in_float32(images))
        with frozen(model), without_autocast(images):
            with torch.no_grad():
                scores = scored(images, targets)
            for row, generator in enumerate(generators(seeds)):
                image, target = in_float32(images[row]), targets[row : row + 1]
                deviation = self.config.noise * (image.amax() - image.amin())
                noise = torch.randn((self.config.samples, *image.shape), generator=generator)
                for part in noise.split(self.config.internal_batch_size):
                    copies = image + deviation * part.to(image)
                    total[row] += _gradient(scored, copies, target.expand(len(part)))[0].sum(0)
        maps = REDUCTIONS[Reduction.max_abs](total / self.config.samples)
        return Attribution(maps.float().cpu(), {"score": scores.float().cpu()})


def _gradient(scored: ScoredModel, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of each image's score (N, 3, H, W), and the scores (N,)."""
    with torch.enable_grad():
        leaf = images.detach().clone().requires_grad_()
        scores = scored(leaf, targets)
        (gradient,) = torch.autograd.grad(scores.sum(), leaf)
    return gradient, scores.detach()
