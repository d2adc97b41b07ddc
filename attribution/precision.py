"""Half precision ends at the network: what is computed of its features and outputs is float32."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def in_float32(values: Tensor) -> Tensor:
    """Half-precision values as float32; float32 and float64 as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def without_autocast(values: Tensor) -> AbstractContextManager[None]:
    """Inside, operations on the device of ``values`` keep the type of their inputs."""
    return torch.autocast(values.device.type, enabled=False)


class CallersAutocast:
    """Autocast as it is now, for the network to be run under it from where it is off, and from
    threads of one's own, which do not take it over."""

    def __init__(self, device: torch.device) -> None:
        self._device = device.type
        self._enabled = torch.is_autocast_enabled(self._device)
        self._dtype = torch.get_autocast_dtype(self._device)

    def __call__(self) -> AbstractContextManager[None]:
        return torch.autocast(self._device, dtype=self._dtype, enabled=self._enabled)
