"""Excitation Backprop: which cells of a feature map raise an output (Zhang et al. 2018)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from attribution.base import Attribution, ScoreFunction, TappedModel, check_batch, frozen
from attribution.config import ExcitationBackpropConfig
from attribution.lrp import RULES, score_gradient
from attribution.placement import centres_of, placed
from attribution.precision import without_autocast
from attribution.relevance import by_positive_contribution, propagate

_EPSILON = 1e-20
"""As torchray's: guards a division by zero, shifts nothing."""


class ExcitationBackprop:
    """alpha1-beta0 from the outputs down to ``config.tap``, summed over the channels.

    It starts as the gradient of the score in the outputs, 1 for the logit, so that a map on the
    feature map's grid sums to 1; bilinear between the cells' centres, not
    negative.
    Diagnostics per image: score; relevance, the sum on the feature map's grid.
    """

    def __init__(self, config: ExcitationBackpropConfig) -> None:
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
            with torch.no_grad():
                features = model.forward_to(self.config.tap, images)
            found = propagate(
                model,
                lambda feature_map: model.forward_from(self.config.tap, feature_map),
                features,
                lambda outputs: score_gradient(score, outputs, targets),
                {**RULES, nn.Linear: by_positive_contribution},
                epsilon=_EPSILON,
            )
        excitation = found.inputs.sum(1)
        side = (images.shape[2], images.shape[3])
        maps = placed(excitation, side, centres_of(model, self.config.tap))
        diagnostics = {
            "score": score(found.outputs, targets),
            "relevance": excitation.sum((1, 2)),
        }
        return Attribution(
            maps.float().cpu(),
            {name: value.float().cpu() for name, value in diagnostics.items()},
        )
