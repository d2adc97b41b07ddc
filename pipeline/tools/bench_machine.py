"""The time, memory and operations that a call takes."""

import ctypes
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from attribution.concurrency import torch_threads


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, its work on the device included."""
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def operations(call: Callable[[], object]) -> int:
    """Floating-point operations of the convolutions and matrix products of one call.

    With one thread, since the counter sees its own thread's operations only.
    """
    with torch_threads(1), _OperationCounter() as counter:
        call()
    return counter.total


class _OperationCounter(TorchDispatchMode):
    """torch's FlopCounterMode hangs hooks on modules, which gradients in the input do not bear."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.total += count(*args, **(kwargs or {}), out_val=result)
        return result


def peak_mib(call: Callable[[], object], device: torch.device) -> float:
    """Most memory, in MiB, while ``call`` runs: resident of this process, or allocated on a GPU.

    Where the system cannot reset the mark (outside Linux), the most since the process began.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return torch.cuda.max_memory_allocated(device) / 2**20
    reset = Path("/proc/self/clear_refs")
    if not reset.exists():
        call()
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)  # the allocator is set to keep what earlier calls freed
    reset.write_text("5")
    call()
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise OSError("/proc/self/status has no VmHWM: the kernel does not say the peak memory")
    return int(found[1]) / 1024


def spread(times: list[float]) -> float:
    """Half the range over the median."""
    return (max(times) - min(times)) / 2 / median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
