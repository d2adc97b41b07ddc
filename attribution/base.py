"""What every attribution method takes and gives: the calling shape, scores, the frozen model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from attribution.config import Score
from attribution.precision import CallersAutocast, in_float32

ScoreFunction = Callable[[Tensor, Tensor], Tensor]
"""(outputs (N, C), targets (N,)) -> scores (N,), differentiable in the outputs."""


class TappedModel(Protocol):
    """An nn.Module that can be cut in two at a named feature map.

    models.densenet.DenseNet121 is one; attribution.tapped.TappedModule makes one of any nn.Module.
    forward_from takes the feature maps of N images, or K of each image in a row (N K).
    """

    def __call__(self, images: Tensor) -> Any: ...
    def forward_to(self, tap: str, images: Tensor) -> Tensor: ...
    def forward_to_all(self, taps: Sequence[str], images: Tensor) -> dict[str, Tensor]: ...
    def forward_from(self, tap: str, feature_map: Tensor) -> Tensor: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def modules(self) -> Iterator[nn.Module]: ...


@dataclass(frozen=True)
class Attribution:
    """Maps float32 (N, H, W) on the CPU in the method's own unit, and float32 (N,) diagnostics.

    Raises FloatingPointError where a map is not finite, naming the rows of the batch.
    """

    maps: Tensor
    diagnostics: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (
            self.maps.dtype != torch.float32
            or self.maps.ndim != 3
            or self.maps.device.type != "cpu"
        ):
            raise ValueError(
                "maps must be float32 (N, H, W) on the CPU, got "
                f"{self.maps.dtype} {tuple(self.maps.shape)} on {self.maps.device}"
            )
        bad = (~self.maps.isfinite().all(dim=(1, 2))).nonzero().flatten().tolist()
        if bad:
            raise FloatingPointError(
                f"the attribution of sample(s) {bad} of the batch holds NaN or infinity: "
                "check the model's weights, the images and the statistics"
            )


class AttributionMethod(Protocol):
    """A method with its settings. A sample's map depends on its own image, target and seed only.

    images float32 (N, 3, H, W), normalised, and targets (N,), both on the model's device; one seed
    per image, used where there is randomness. Targets of a classifier are int64, the output to
    explain; of a regressor (one output) float32, a reference score, which only L_MSE and the score
    ``squared_deviation`` read. The model comes back as it was.
    """

    def __call__(
        self,
        model: TappedModel,
        images: Tensor,
        targets: Tensor,
        *,
        score: ScoreFunction,
        seeds: Sequence[int],
    ) -> Attribution: ...


def target_output(outputs: Tensor, targets: Tensor) -> Tensor:
    """The targets' raw outputs (N,), in float32 of a model in half precision.

    Raises ValueError for a target that the model has not, or that is no index.
    """
    if targets.dtype != torch.int64:
        raise ValueError(
            f"targets are {targets.dtype}, a regressor's reference scores: this score needs int64, "
            "the output to explain; a regressor has the scores output and squared_deviation"
        )
    if int(targets.min()) < 0 or int(targets.max()) >= outputs.shape[1]:
        raise ValueError(
            f"targets {sorted(set(targets.tolist()))} do not fit a model with "
            f"{outputs.shape[1]} output(s), counted from 0"
        )
    return in_float32(outputs).gather(1, targets[:, None]).squeeze(1)


def regression_output(outputs: Tensor) -> Tensor:
    """The only output (N,) of a regressor, in float32 of a model in half precision.

    Raises ValueError where there are several.
    """
    if outputs.ndim != 2 or outputs.shape[1] != 1:
        raise ValueError(
            f"the model's outputs are of shape {tuple(outputs.shape)}, but a regressor's are "
            "(N, 1); explain a classifier by the score logit or sigmoid"
        )
    return in_float32(outputs).squeeze(1)


def _squared_deviation(outputs: Tensor, targets: Tensor) -> Tensor:
    if not targets.is_floating_point():
        raise ValueError(
            f"targets are {targets.dtype}, but squared_deviation needs float32 reference scores: "
            "own_prediction(model, images), or the true ones"
        )
    return (regression_output(outputs) - targets).square()


SCORES: Mapping[Score, ScoreFunction] = {
    Score.logit: target_output,
    Score.sigmoid: lambda outputs, targets: target_output(outputs, targets).sigmoid(),
    Score.output: lambda outputs, _: regression_output(outputs),
    Score.squared_deviation: _squared_deviation,
}


def own_prediction(model: TappedModel, images: Tensor) -> Tensor:
    """A regressor's output (N,) for each image: the targets that make ``squared_deviation`` measure
    the distance from what the model itself says. Raises ValueError for several outputs."""
    with frozen(model), torch.no_grad():
        return regression_output(model(images))


@contextmanager
def frozen(model: TappedModel | nn.Module) -> Iterator[None]:
    """Evaluation mode and no parameter gradients inside; both as they were afterwards.

    Frozen parameters save their share of every backward pass; evaluation mode is what keeps the
    images of a batch independent of each other.
    """
    training = [module for module in model.modules() if module.training]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for module in training:
        module.training = False
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module in training:
            module.training = True
        for parameter in trainable:
            parameter.requires_grad_(True)


class ScoredModel(nn.Module):
    """(images (N, 3, H, W), targets (N,)) -> scores (N,): one module, as captum calls and hooks it.

    Whatever their type, images reach the model in that of ``images``, under autocast as it is
    where this is made.
    """

    def __init__(self, model: TappedModel, score: ScoreFunction, images: Tensor) -> None:
        super().__init__()
        self.model, self.score, self.dtype = model, score, images.dtype
        self.callers_autocast = CallersAutocast(images.device)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        with self.callers_autocast():
            return self.score(self.model(images.to(self.dtype)), targets)


def check_batch(images: Tensor, targets: Tensor, seeds: Sequence[int]) -> None:
    """Raises ValueError unless images (N, 3, H, W), targets (N,) and N seeds belong together, and
    for images that are not finite: behind a ReLU, a gradient may not show it."""
    if images.ndim != 4 or not images.is_floating_point() or len(images) == 0:
        raise ValueError(
            f"images must be floating-point (N, 3, H, W) with N > 0, got {images.dtype} "
            f"{tuple(images.shape)}"
        )
    if targets.shape != images.shape[:1] or targets.dtype not in (torch.int64, torch.float32):
        raise ValueError(
            f"targets must be int64 (a classifier's) or float32 (a regressor's) ({len(images)},), "
            f"one per image, got {targets.dtype} {tuple(targets.shape)}"
        )
    bad = (~images.flatten(1).isfinite().all(dim=1)).nonzero().flatten().tolist()
    if bad:
        raise ValueError(f"images of row(s) {bad} hold NaN or infinity")
    if len(seeds) != len(images):
        raise ValueError(f"{len(images)} images need as many seeds, got {len(seeds)}")


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """A CPU generator per image: its noise depends neither on the batch nor on the device."""
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]
