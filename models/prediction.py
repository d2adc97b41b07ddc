"""Logits of many films."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.densenet import normalise


def predict(
    model: nn.Module,
    batches: Iterable[Tensor],
    device: torch.device,
    prepare: Callable[[Tensor], Tensor] = normalise,
) -> NDArray[np.float32]:
    """Outputs float32 (N, ...) of batches of films uint8 (n, H, W), in evaluation mode.

    ``prepare`` makes a batch the model's input. Moves ``model`` to ``device``; each module's mode
    is afterwards what it was. On the CPU the last bits depend on the batch size and the number of
    threads. Raises ValueError for no films.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.to(device).eval()
    logits = []
    try:
        with torch.inference_mode():
            for films in batches:
                logits.append(model(prepare(films.to(device))).float().cpu().numpy())
    finally:
        for module, mode in modes:
            module.training = mode
    if not logits:
        raise ValueError("no films to predict: the batches are empty")
    return np.concatenate(logits)
