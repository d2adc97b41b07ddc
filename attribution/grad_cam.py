"""GradCAM: feature maps weighted by the mean gradient of the score (Selvaraju et al. 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from attribution.base import Attribution, ScoreFunction, TappedModel, check_batch, frozen
from attribution.config import GradCAMConfig
from attribution.precision import in_float32, without_autocast


class GradCAM:
    """relu(sum_c mean_hw(dS/dA_c) A_c) at ``config.tap``, bilinear to the image's size.

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
        cam = (weights * leaf.detach()).sum(1, keepdim=True).relu()
        maps = F.interpolate(cam, images.shape[2:], mode="bilinear", align_corners=False)
        return Attribution(maps[:, 0].float().cpu(), {"score": scores.detach().float().cpu()})
