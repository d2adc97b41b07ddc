"""Guided Backprop and DeepLIFT: captum replaces the gradient of the network's own layers."""

from collections.abc import Sequence

import captum.attr
import torch
from torch import Tensor

from attribution.base import (
    Attribution,
    ScoredModel,
    ScoreFunction,
    TappedModel,
    check_batch,
    frozen,
)
from attribution.captum_methods import ByCaptum
from attribution.config import Reduction
from attribution.gradient import REDUCTIONS
from attribution.layers import check_full_precision, check_relu_network
from attribution.precision import without_autocast


class _ThroughLayers(ByCaptum):
    """Hooks on the network's own layers. Raises ValueError for a network that is not linear but
    for ReLU and max pooling as modules, and for one in half precision. Autocast is off inside."""

    reused = True  # whether one module may run twice

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
        check_full_precision(model)
        with frozen(model), without_autocast(images):
            check_relu_network(model, images, reused=self.reused)
            return super().__call__(model, images, targets, score=score, seeds=seeds)


class GuidedBackprop(_ThroughLayers):
    """The gradient, of which each ReLU passes on the positive part (Springenberg et al. 2015).

    A known negative control: it draws the film's edges, and hardly changes with the model's weights
    (Adebayo et al. 2018). Reduced over the channels as ``gradient.Gradient``.
    """

    def maps(
        self, scored: ScoredModel, images: Tensor, targets: Tensor, scores: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        method = captum.attr.GuidedBackprop(scored)
        found = method.attribute(images, additional_forward_args=(targets,))
        return REDUCTIONS[Reduction.max_abs](found), {}


class DeepLift(_ThroughLayers):
    """Contributions to the score's change from the mean-grey image (Shrikumar et al. 2017).

    The rescale rule, summed over the channels: of either sign, in units of the score. Diagnostics
    as of Integrated Gradients: completeness_error is 0 up to rounding for the scores logit and
    output; any other function of the output has its own gradient at the image.
    """

    reused = False

    def maps(
        self, scored: ScoredModel, images: Tensor, targets: Tensor, scores: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            starts = scored(torch.zeros_like(images), targets)
        method = captum.attr.DeepLift(scored)
        found = method.attribute(images, baselines=0, additional_forward_args=(targets,))
        error = found.double().sum((1, 2, 3)) - (scores - starts).double()
        return found.sum(1), {"baseline_score": starts, "completeness_error": error}
