"""Processes of this machine, each bound to its own cores or GPU.

They come from a server that has imported what they need and does nothing else: torch is imported
once a run, not once a worker, and a worker that replaces a dead one is there at once.
"""

import multiprocessing
import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from typing import cast

from data.workers import follow_parent, usable_cores
from pipeline.executors.base import Failure, Job, Workplace
from pipeline.executors.config import ExecutorConfig
from pipeline.executors.workers import Started, WarmWorkers, Worker, WorkerDiedError


class LocalWorker(Worker):
    """A process of the fork server; ``cores``, ``gpu``: see ``core_groups``, ``visible_gpus``."""

    def __init__(self, cores: list[int], gpu: str | None) -> None:
        context = multiprocessing.get_context("forkserver")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, cores, gpu), daemon=True)
        self._process.start()
        theirs.close()  # or its end would stay open when the process dies

    def begin(self, job: Job, number: int) -> None:
        with suppress(BrokenPipeError):  # died idle: its answer says so
            self.connection.send((job, number))

    def answer(self) -> Started | Failure | None:
        try:
            return cast(Started | Failure | None, self.connection.recv())
        except (EOFError, ConnectionResetError) as error:
            self._process.join()
            raise WorkerDiedError(
                f"its process ended with code {self._process.exitcode}"
                " (-9: killed, as for want of memory)"
            ) from error

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


class LocalExecutor(WarmWorkers):
    """``threads``: of each worker; ``imports``: modules that a new one finds imported."""

    def __init__(self, config: ExecutorConfig, threads: int, imports: Sequence[str] = ()) -> None:
        multiprocessing.set_forkserver_preload(list(imports))  # once there, the server stays
        self._gpus = visible_gpus(config.device)
        count = config.workers or len(self._gpus) or max(1, len(core_groups(1)[0]) // threads)
        self._cores = core_groups(count)
        super().__init__(config, count)

    def start(self, place: int) -> LocalWorker:
        gpu = self._gpus[place % len(self._gpus)] if self._gpus else None
        return LocalWorker(self._cores[place], gpu)

    def answering(self, workers: list[Worker], seconds: float | None) -> list[Worker]:
        by_connection = {cast(LocalWorker, worker).connection: worker for worker in workers}
        ready = wait(list(by_connection), seconds)
        return [by_connection[cast(Connection, connection)] for connection in ready]


def core_groups(count: int) -> list[list[int]]:
    """The cores that this process may use, dealt out; more groups than cores share all of them."""
    cores = usable_cores()
    if count > len(cores):
        return [cores] * count
    bounds = [len(cores) * group // count for group in range(count + 1)]
    return [cores[first:last] for first, last in pairwise(bounds)]


def visible_gpus(device: str) -> list[str]:
    """Names of the GPUs that ``executor.device`` lets a worker have, as CUDA_VISIBLE_DEVICES."""
    if device not in ("auto", "cuda"):
        return []
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    everything = named.split(",") if named else [str(n) for n in range(torch.cuda.device_count())]
    return everything[: torch.cuda.device_count()]


def follow_parent_on(cores: list[int]) -> None:
    """In a worker: as ``follow_parent``, on these cores where the system can bind a process."""
    follow_parent()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def _serve(connection: Connection, cores: list[int], gpu: str | None) -> None:
    follow_parent_on(cores)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before torch asks for GPUs
    workplace, started = Workplace(), False
    with suppress(EOFError):  # the run is over
        while True:
            job, number = connection.recv()  # imports what the job names
            if not started:
                connection.send(Started())
                started = True
            connection.send(workplace.do(job, number))
