"""One of several processes that train one network together, seen from the inside.

Each learns from its part of every step's films (Lightning DDP); gradients are averaged, and losses,
validation outputs and moving statistics are exchanged at the end of an epoch. Who starts the
processes starts plain ones: Lightning's own launchers run the command, and with it Hydra, anew, or
lose the trainer's state.
"""

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy
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

        Left by an error it is not closed, which could wait for a process that is no more: whoever
        started the processes ends them.
        """
        if self.of == 1:
            yield
            return
        # gloo asks no password: without this it listens to the network.
        loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback[0])
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=f"file://{self.meeting}",
            rank=self.number,
            world_size=self.of,
        )
        yield
        dist.destroy_process_group()

    def trainer_arguments(self, device: torch.device) -> dict[str, Any]:
        """What Lightning's Trainer is told of processes and devices."""
        arguments: dict[str, Any] = {
            "accelerator": "gpu" if device.type == "cuda" else device.type,
            "devices": [device.index or 0] if device.type == "cuda" else 1,
            "plugins": [LightningEnvironment()],
        }
        if self.of > 1:
            arguments["devices"] = list(range(self.of)) if device.type == "cuda" else self.of
            arguments["plugins"] = [_StartedElsewhere(self.number)]
            arguments["use_distributed_sampler"] = False  # it pads: films would count twice
            # Told that parameters may be unused, DDP keeps its order of summation. It would take
            # another after the first step, and the first step of a resumed training is another.
            arguments["strategy"] = DDPStrategy(
                broadcast_buffers=False, find_unused_parameters=True
            )
        return arguments

    def gathered(self, value: T) -> list[T]:
        """``value`` of every process, in their order."""
        if self.of == 1:
            return [value]
        values: list[Any] = [None] * self.of
        dist.all_gather_object(values, value)
        return values

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Sets each tensor to its mean over the processes."""
        if self.of > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)
                tensor.div_(self.of)

    def share(self, num_films: int) -> range:
        """Its films of those that are divided, each to one process."""
        return range(num_films * self.number // self.of, num_films * (self.number + 1) // self.of)


ALONE = Rank()


class _StartedElsewhere(LightningEnvironment):
    """Processes that are there already; nothing is read from variables of Slurm or torchrun."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def local_rank(self) -> int:
        return self._number

    def node_rank(self) -> int:
        return 0
