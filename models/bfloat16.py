"""bfloat16 for a trained network, and its refusal where the processor is no faster in it."""

import time
from functools import cache

import torch
from torch import Tensor

from models.config import FrozenPrecision
from models.densenet import DenseNet121
from models.frozen_densenet import FrozenDenseNet


class Bfloat16Behind(FrozenDenseNet):
    """In bfloat16 behind a tap. Feature maps of images, of which a bottleneck has its statistics
    and capacity, and outputs of whole images are those of FrozenDenseNet."""

    def __init__(self, model: DenseNet121) -> None:
        super().__init__(model)
        self._behind = FrozenDenseNet(model, torch.bfloat16)

    def forward_from(self, tap: str, feature_map: Tensor) -> Tensor:
        """Logits (N, C) from the feature map at ``tap``; runs only what follows it."""
        return self._behind.forward_from(tap, feature_map)


def explained_network(model: DenseNet121, precision: FrozenPrecision) -> FrozenDenseNet:
    """What a bottleneck is fitted on, with the network behind it in ``precision``."""
    return (Bfloat16Behind if precision is FrozenPrecision.bf16 else FrozenDenseNet)(model)


def check_precision(precision: FrozenPrecision, device: torch.device) -> None:
    """Raises ValueError for bf16 where a matrix product is no faster in it than in float32.

    That is measured, not read from the processor's name or flags: without instructions for it
    bfloat16 is emulated, and some processors have instructions at half of float32's rate.
    """
    if precision is FrozenPrecision.float32:
        return
    full, half = (product_rate(device, dtype) for dtype in (torch.float32, torch.bfloat16))
    if half <= full:
        raise ValueError(
            f"precision=bf16 would save no time here: a matrix product on {device.type} takes"
            f" {full / half:.1f} times as long in bfloat16 as in float32 ({half / 1e9:.0f} and"
            f" {full / 1e9:.0f} GFLOP/s). Take attribution.precision=float32 and"
            " evaluation.precision=float32, or another machine"
        )


@cache
def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second in the product of square matrices: the best of 20, measured once in a
    process."""
    size = 512 if device.type == "cpu" else 4096  # an accelerator needs more to be busy
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def seconds() -> float:
        start = time.perf_counter()
        (a @ b)[0, 0].item()  # waits for the accelerator
        return time.perf_counter() - start

    seconds()
    return 2 * size**3 / min(seconds() for _ in range(20))
