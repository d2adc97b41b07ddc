"""Gradients: how much the score changes with each pixel."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from attribution.base import Attribution, ScoreFunction, TappedModel, check_batch, frozen
from attribution.config import GradientConfig, Reduction
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
        with frozen(model), torch.enable_grad():
            leaf = in_float32(images.detach().clone()).requires_grad_()
            scores = score(model(leaf.to(images.dtype)), targets)
            with without_autocast(leaf):
                (gradient,) = torch.autograd.grad(scores.sum(), leaf)
        maps = REDUCTIONS[self.config.reduction](gradient)
        return Attribution(maps.float().cpu(), {"score": scores.detach().float().cpu()})
