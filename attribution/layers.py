"""Which operations a model runs, so that a method refuses a model that it would explain wrongly."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from attribution.base import TappedModel

ROUTING = frozenset(
    {
        *("Cat", "View", "UnsafeView", "ReshapeAlias", "Permute", "Transpose", "Squeeze"),
        *("Unsqueeze", "Clone", "MaxPool2DWithIndices", "torch::autograd::AccumulateGrad"),
    }
)
"""Operations that move values and change none."""

_LINEAR = ROUTING | {
    *("Convolution", "Addmm", "Mm", "NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm", "T"),
    *("AvgPool2D", "AdaptiveAvgPool2D", "Mean", "Add", "Expand", "ToCopy", "ConstantPadNd"),
}


def operations(outputs: Tensor) -> Iterator[str]:
    """Of every operation behind ``outputs`` autograd's name, such as Relu."""
    seen, waiting = set(), [outputs.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield re.sub(r"Backward\d+$", "", node.name())
        waiting.extend(following for following, _ in node.next_functions)


def check_full_precision(model: TappedModel) -> None:
    """Raises ValueError for weights in half precision."""
    for weights in model.parameters():
        if weights.dtype in (torch.float16, torch.bfloat16):
            raise ValueError(
                f"the model's weights are {weights.dtype}, in which what is handed from layer to "
                "layer does not add up: give model.float()"
            )


def check_relu_network(model: TappedModel, images: Tensor, *, reused: bool) -> None:
    """Raises ValueError unless the model is linear but for nn.ReLU and nn.MaxPool2d, as modules.

    Hooks replace the gradient of such a module; of a function, or of another activation, they would
    leave it as it is, and nobody would see it. ``reused``: whether a module may run twice. Runs the
    model on the first of ``images`` (N, 3, H, W).
    """
    calls: Counter[nn.Module] = Counter()

    def count(layer: nn.Module, args: Any, output: Any) -> None:
        calls[layer] += 1

    with ExitStack() as hooks, torch.enable_grad():
        for layer in model.modules():
            if isinstance(layer, nn.ReLU | nn.MaxPool2d):
                hooks.enter_context(layer.register_forward_hook(count))
        found = Counter(operations(model(images[:1].detach().clone().requires_grad_())))
    faults = sorted(found.keys() - _LINEAR - {"Relu"})
    for name, kind in (("Relu", nn.ReLU), ("MaxPool2DWithIndices", nn.MaxPool2d)):
        if found[name] != sum(n for layer, n in calls.items() if isinstance(layer, kind)):
            faults.append(f"{name} outside nn.{kind.__name__}")
    if not reused and any(number > 1 for number in calls.values()):
        faults.append("one nn.ReLU or nn.MaxPool2d in several places")
    if faults:
        raise ValueError(
            f"the model runs {', '.join(faults)}: the method needs a network that is linear but "
            "for ReLU and max pooling, each a module of its own (models.densenet.DenseNet121 is "
            "such a model)"
        )
