"""GradCAM: feature maps weighted by the mean gradient of the score (Selvaraju et al. 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attribution.base import Attribution, ScoreFunction, TappedModel, check_batch, frozen
from attribution.config import GradCAMConfig
from attribution.placement import centres_of, placed
from attribution.precision import in_float32, without_autocast


class GradCAM:
    """relu(sum_c mean_hw(dS/dA_c) A_c) at ``config.tap``, bilinear between its cells' centres.

    Maps keep their magnitude (no normalisation per image), so that they compare across images.
    """

    def __init__(self, config: GradCAMConfig) -> None:
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
        with frozen(model):
            with torch.no_grad():
                features = model.forward_to(self.config.tap, images)
            with torch.enable_grad():
                leaf = in_float32(features.detach()).requires_grad_()
                outputs = model.forward_from(self.config.tap, leaf.to(features.dtype))
                scores = score(outputs, targets)
                with without_autocast(leaf):
                    (gradient,) = torch.autograd.grad(scores.sum(), leaf)
        weights = gradient.mean((2, 3), keepdim=True)
        cam = (weights * leaf.detach()).sum(1).relu()
        side = (images.shape[2], images.shape[3])
        maps = placed(cam, side, centres_of(model, self.config.tap))
        return Attribution(maps.float().cpu(), {"score": scores.detach().float().cpu()})
