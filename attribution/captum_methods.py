"""Input x gradient and Occlusion, and how any method of captum is called."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

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
from attribution.precision import in_float32, without_autocast


class ByCaptum(ABC):
    """A method of captum in the project's calling shape.

    Diagnostics per image: score, and what the method adds.
    """

    def __init__(self, config: Any) -> None:
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
            with torch.no_grad():
                scores = scored(images, targets)
            leaf = in_float32(images.detach().clone()).requires_grad_()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Setting (forward, )?backward hooks")
                maps, diagnostics = self.maps(scored, leaf, targets, scores)
        found = {"score": scores, **diagnostics}
        return Attribution(
            maps.detach().float().cpu(),
            {name: value.detach().float().cpu() for name, value in found.items()},
        )

    @abstractmethod
    def maps(
        self, scored: ScoredModel, images: Tensor, targets: Tensor, scores: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Maps (N, H, W) and further diagnostics of float32 images that require gradients."""


class InputXGradient(ByCaptum):
    """x times the gradient of the score, summed over the channels.

    Of either sign, in units of the score; x is 0 at the mean grey.
    """

    def maps(
        self, scored: ScoredModel, images: Tensor, targets: Tensor, scores: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        method = captum.attr.InputXGradient(scored)
        return method.attribute(images, additional_forward_args=(targets,)).sum(1), {}


class Occlusion(ByCaptum):
    """By how much the score falls where a square is mean grey (Zeiler and Fergus 2014).

    Each pixel has the mean over the squares that cover it: of either sign, in units of the score.
    """

    def maps(
        self, scored: ScoredModel, images: Tensor, targets: Tensor, scores: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        window = max(1, round(self.config.window * min(images.shape[2:])))
        stride = max(1, round(window / self.config.moves))
        method = captum.attr.Occlusion(scored)
        # Image by image: captum's forwards hold so many squares of every image of a batch.
        found = [
            method.attribute(
                image,
                sliding_window_shapes=(3, window, window),
                strides=(3, stride, stride),
                baselines=0,
                additional_forward_args=(target,),
                perturbations_per_eval=self.config.internal_batch_size,
            )[:, 0]
            for image, target in zip(images.split(1), targets.split(1), strict=True)
        ]
        return torch.cat(found), {}
