"""A map that knows nothing: the control row of every table."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attribution.base import Attribution, ScoreFunction, TappedModel, check_batch, generators
from attribution.config import RandomConfig


class RandomMap:
    """Independent uniform numbers in [0, 1) per pixel, drawn from the image's seed."""

    def __init__(self, config: RandomConfig) -> None:
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
        side = images.shape[2:]
        return Attribution(torch.stack([torch.rand(side, generator=g) for g in generators(seeds)]))
