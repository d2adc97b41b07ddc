"""Integrated Gradients along the path from the mean-grey image (Sundararajan et al. 2017)."""

from collections.abc import Callable, Mapping, Sequence

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
from attribution.concurrency import num_concurrent, side_by_side
from attribution.config import IntegratedGradientsConfig, PathReduction
from attribution.precision import in_float32, without_autocast

REDUCTIONS: Mapping[PathReduction, Callable[[Tensor], Tensor]] = {
    PathReduction.abs_sum: lambda attribution: attribution.abs().sum(1),
    PathReduction.signed_mean: lambda attribution: attribution.mean(1),
}


class IntegratedGradients:
    """x times the mean gradient of the score over the path from 0 to x, reduced over the channels.

    0 is the normalised mean grey. Maps in units of the score. Diagnostics per image: score;
    baseline_score, at 0; completeness_error, the sum of all attributions - (score -
    baseline_score), which is 0 for enough steps. Raises ValueError below one step.
    """

    def __init__(self, config: IntegratedGradientsConfig) -> None:
        if config.steps < 1 or config.internal_batch_size < 1:
            raise ValueError(
                "attribution.integrated_gradients.steps and .internal_batch_size must be at least "
                f"1, got {config.steps} and {config.internal_batch_size}"
            )
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
        scores = ScoredModel(model, score, images)

        def along_paths(rows: slice, check: Callable[[], None]) -> Tensor:
            def checked(points: Tensor, repeated: Tensor) -> Tensor:
                check()
                return scores(points, repeated)

            path = captum.attr.IntegratedGradients(checked)
            # Image by image: captum cuts the points of a batch across its images.
            return torch.cat(
                [
                    path.attribute(
                        image,
                        baselines=0,
                        additional_forward_args=(target,),
                        n_steps=self.config.steps,
                        internal_batch_size=self.config.internal_batch_size,
                    )
                    for image, target in zip(
                        in_float32(images[rows]).split(1), targets[rows].split(1), strict=True
                    )
                ]
            ).detach()

        with frozen(model), without_autocast(images):
            with torch.no_grad():
                ends = scores(images, targets)
                starts = scores(torch.zeros_like(images), targets)
            parts = num_concurrent(model, images.device, len(images))
            attribution = torch.cat(side_by_side(along_paths, len(images), parts))
        error = attribution.double().sum((1, 2, 3)) - (ends - starts).double()
        diagnostics = {"score": ends, "baseline_score": starts, "completeness_error": error}
        return Attribution(
            REDUCTIONS[self.config.reduction](attribution).float().cpu(),
            {name: value.float().cpu() for name, value in diagnostics.items()},
        )
