"""One of several processes that train one network together, seen from the inside.

Each learns from its part of every step's films; gradients are averaged before the optimizer's step,
and losses, validation outputs and running statistics at the end of an epoch. A plain all-reduce of
all gradients, not DDP: DDP sums in another order after its first step, so the first step of a
resumed training would differ in the last bits.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

T = TypeVar("T")


@dataclass(frozen=True)
class Rank:
    """Process ``number`` (from 0) ``of`` so many on this machine.

    meeting: a file on a local disk, absent at first, by which they find each other.
    """

    number: int = 0
    of: int = 1
    meeting: Path | None = None

    def device(self, device: torch.device) -> torch.device:
        """Where it computes: of several processes on ``cuda`` each on the GPU of its number."""
        if device.type == "cuda" and self.of > 1:
            return torch.device("cuda", self.number)
        return device

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """In the block, collectives reach all processes: by NCCL on ``cuda``, else by gloo.

        It ends when all are through. Left by an error it is not closed, which could wait for a
        dead process: the process that started them ends them.
        """
        if self.of == 1:
            yield
            return
        # gloo asks no password: without this it listens to the network.
        loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback[0])
        if device.type == "cuda":
            torch.cuda.set_device(device)  # where NCCL puts what it gathers
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=f"file://{self.meeting}",
            rank=self.number,
            world_size=self.of,
        )
        yield
        dist.barrier()
        dist.destroy_process_group()

    def gathered(self, value: T) -> list[T]:
        """``value`` of every process, in their order."""
        if self.of == 1:
            return [value]
        values: list[Any] = [None] * self.of
        dist.all_gather_object(values, value)
        return values

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Sets each tensor to its mean over the processes, all in one message."""
        if self.of > 1 and tensors:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            dist.all_reduce(flat)
            parts = flat.div_(self.of).split([tensor.numel() for tensor in tensors])
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def share(self, num_films: int) -> range:
        """Its films of those that are divided, each to one process."""
        return range(num_films * self.number // self.of, num_films * (self.number + 1) // self.of)


ALONE = Rank()
