"""Class activation maps: the feature map of a tap, its channels weighted and summed."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from attribution.base import Attribution, ScoreFunction, TappedModel, check_batch, frozen
from attribution.config import GradCAMConfig
from attribution.placement import centres_of, placed
from attribution.precision import in_float32, without_autocast


class _CAM(ABC):
    """Cells of the feature map at ``config.tap``, bilinear between their centres.

    Maps keep their magnitude (no normalisation per image), so that they compare across images.
    Diagnostics per image: score.
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
        with without_autocast(leaf):
            cells = self.cells(leaf.detach(), gradient)
        side = (images.shape[2], images.shape[3])
        maps = placed(cells, side, centres_of(model, self.config.tap))
        return Attribution(maps.float().cpu(), {"score": scores.detach().float().cpu()})

    @staticmethod
    @abstractmethod
    def cells(features: Tensor, gradient: Tensor) -> Tensor:
        """(N, h, w) of feature maps A and the gradient dS/dA of the score, both (N, C, h, w)."""


class GradCAM(_CAM):
    """relu(sum_c mean_hw(dS/dA_c) A_c) (Selvaraju et al. 2017)."""

    @staticmethod
    def cells(features: Tensor, gradient: Tensor) -> Tensor:
        return (gradient.mean((2, 3), keepdim=True) * features).sum(1).relu()


class GradCAMPlusPlus(_CAM):
    """relu(sum_c w_c A_c), w_c = sum_hw alpha relu(dS/dA_c) (Chattopadhay et al. 2018, Eq. 5, 19).

    alpha = g^2 / (2 g^2 + g^3 sum_hw A_c), of g = dS/dA, is 1 / (2 + g sum_hw A_c) where g > 0.
    The paper's score is exp(S): the factor exp(S) on the whole map is left out.
    """

    @staticmethod
    def cells(features: Tensor, gradient: Tensor) -> Tensor:
        rising = gradient.relu()
        alpha = 1 / (2 + rising * features.sum((2, 3), keepdim=True))
        weights = (alpha * rising).sum((2, 3), keepdim=True)
        return (weights * features).sum(1).relu()


class LayerCAM(_CAM):
    """relu(sum_c relu(dS/dA_c) A_c), each cell with its own weight (Jiang et al. 2021)."""

    @staticmethod
    def cells(features: Tensor, gradient: Tensor) -> Tensor:
        return (gradient.relu() * features).sum(1).relu()


class EigenCAM(_CAM):
    """The features' projection on their first principal direction (Muhammad and Yeasin 2020).

    It asks neither the score nor the target: all outputs have the same map. Of the two signs that
    the direction may have, the one with the larger sum; no value is below 0 where no feature is.
    """

    @staticmethod
    def cells(features: Tensor, gradient: Tensor) -> Tensor:
        known = features.isfinite().all(3).all(2).all(1)[:, None, None]
        cells = features.flatten(2).transpose(1, 2)  # (N, h w, C)
        left, strength, _ = torch.linalg.svd(cells.where(known, 0), full_matrices=False)
        projection = left[:, :, 0] * strength[:, :1]
        projection = projection * torch.where(projection.sum(1, keepdim=True) < 0, -1, 1)
        # The decomposition ends with an error where a number is not finite.
        return projection.unflatten(1, features.shape[2:]).where(known, torch.nan)
