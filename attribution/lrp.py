"""Layer-wise relevance propagation, in a composite that conserves on DenseNet121."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from attribution.base import Attribution, ScoreFunction, TappedModel, check_batch, frozen
from attribution.config import LRPConfig
from attribution.precision import without_autocast
from attribution.relevance import (
    Rule,
    by_contribution,
    by_positive_contribution,
    evenly,
    pass_on,
    propagate,
)

RULES: Mapping[type[nn.Module], Rule] = {
    nn.Conv2d: by_positive_contribution,
    nn.Linear: by_contribution,
    nn.AvgPool2d: by_contribution,
    nn.AdaptiveAvgPool2d: by_contribution,
    nn.ReLU: pass_on,
    # It stands between a concatenation and a ReLU and belongs to no convolution: merged into one,
    # or propagated as a linear layer, its bias would take most of the relevance.
    nn.BatchNorm2d: pass_on,
}


class LRP:
    """Relevance of every pixel, summed over the channels (epsilon-plus-flat; Montavon et al. 2017).

    It starts at the outputs as output x gradient of the score, which for the logit is the logit.
    Maps of either sign, in units of the score; their sum is the start less what biases keep.
    Diagnostics per image: score; relevance, the map's sum; conservation_ratio, that sum over what
    it should be; conservation_error, the difference over the sum of |relevance|, which stays
    meaningful for a logit near 0 (both NaN where there is nothing to share). Raises ValueError for
    an operation without a rule, and for a model in half precision. Autocast is off inside.
    """

    def __init__(self, config: LRPConfig) -> None:
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
        with frozen(model), without_autocast(images):
            found = propagate(
                model,
                model,
                images,
                lambda outputs: outputs * score_gradient(score, outputs, targets),
                RULES,
                first=evenly,
                epsilon=self.config.epsilon,
            )
        relevance = found.inputs.double().sum((1, 2, 3))
        expected = found.start.double().sum(1) - found.absorbed.double()
        magnitude = found.inputs.double().abs().sum((1, 2, 3))
        diagnostics = {
            "score": score(found.outputs, targets),
            "relevance": relevance,
            "conservation_ratio": relevance / expected,
            "conservation_error": (relevance - expected).abs() / magnitude,
        }
        return Attribution(
            found.inputs.sum(1).float().cpu(),
            {name: value.float().cpu() for name, value in diagnostics.items()},
        )


def score_gradient(score: ScoreFunction, outputs: Tensor, targets: Tensor) -> Tensor:
    """Gradient (N, C) of each image's score in its outputs."""
    leaf = outputs.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(score(leaf, targets).sum(), leaf)
    return gradient
