"""The processes of one training: started, followed and ended by the process of the run.

All of them are new ones, started without the command line, so that Hydra composes once. None
trains in the process of the run, which thus answers a signal at once and ends the others when one
of them dies, whatever they wait for together.
"""

import logging
import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pipeline.disk import FullDiskError, disk_trouble
from pipeline.executors.base import Failure
from pipeline.executors.local import core_groups, follow_parent_on
from pipeline.progress import log
from pipeline.step import Machine

if TYPE_CHECKING:  # torch is imported where something is trained
    from models.process_group import Rank
    from models.training import TrainResult
    from models.training_loop import OnProgress

    Work = Callable[[Rank, OnProgress | None], TrainResult]

_CONTEXT: Any = multiprocessing.get_context("spawn")
_PATIENCE = 1.0  # seconds until a dead process is noticed
_Place = tuple[int, int, Path]  # the fields of a Rank, which this process may not import yet


def train_in_processes(
    work: "Work", processes: int, threads: int, machine: Machine, on_progress: "OnProgress"
) -> "TrainResult":
    """Does ``work`` in ``processes`` processes together; returns the result of the first.

    ``work`` is sent by pickle; ``on_progress`` gets the first one's progress. Each process has its
    share of the cores, ``threads`` to compute with, and on CUDA a GPU of its own.

    Raises ValueError where there is no GPU for each; RuntimeError where a process fails or dies
    (the others are ended); FullDiskError where one found no room.
    """
    _check_devices(processes, machine)
    ranks: list[_Process] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, cores in enumerate(core_groups(processes)):
                place = (number, processes, Path(folder) / "meeting")
                ranks.append(_Process(place, cores, threads, machine, work))
            while not all(rank.done for rank in ranks):
                _poll(ranks, on_progress)
                if any(rank.failure for rank in ranks):
                    _poll(ranks, on_progress)  # a death may have made another fail before it shows
                    raise _cause(ranks)
        finally:
            for rank in ranks:
                rank.end()
    return cast("TrainResult", ranks[0].result)


class _Process:
    """A process of the training and what it has sent."""

    done = False
    result: "TrainResult | None" = None
    failure: Failure | None = None
    failed_at = 0.0  # on the clock of the machine; of a death 0: no other failure made it

    def __init__(self, *arguments: Any) -> None:
        self.connection, theirs = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_serve, args=(theirs, *arguments))
        self._process.start()
        theirs.close()  # or its end would stay open when the process dies

    def receive(self, on_progress: "OnProgress") -> None:
        dead = not self._process.is_alive()  # asked first, so that its last message has arrived
        with suppress(EOFError, ConnectionResetError):
            while not (self.done or self.failure) and self.connection.poll():
                kind, message = self.connection.recv()
                if kind == "progress":
                    on_progress(*message)
                elif kind == "failure":
                    self.failed_at, self.failure = message
                else:
                    self.done, self.result = True, message
        if dead and not (self.done or self.failure):
            reason = f"its process ended with code {self._process.exitcode}"
            self.failure = Failure(reason + " (-9: killed, as for want of memory)")

    def end(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _poll(ranks: list[_Process], on_progress: "OnProgress") -> None:
    """Waits up to a second for messages, then receives all of every rank."""
    wait([rank.connection for rank in ranks if not (rank.done or rank.failure)], _PATIENCE)
    for rank in ranks:
        rank.receive(on_progress)


def _cause(ranks: list[_Process]) -> Exception:
    """The error of the process that failed first."""
    failures = {n: rank.failure for n, rank in enumerate(ranks) if rank.failure}
    for number, failure in failures.items():
        log.error("rank %d: %s\n%s", number, failure.reason, failure.account)
    first = min(failures, key=lambda number: ranks[number].failed_at)
    reason = failures[first].reason
    if failures[first].full_disk:
        return FullDiskError(reason)
    return RuntimeError(
        f"rank {first} of train.processes={len(ranks)}: {reason}."
        " Finished epochs are kept: the same command goes on after them"
    )


def _check_devices(processes: int, machine: Machine) -> None:
    import torch

    from models.device import resolve_device

    kind = resolve_device(machine.device).type
    room = {"cuda": torch.cuda.device_count(), "mps": 1}.get(kind, processes)
    if processes > room:
        raise ValueError(
            f"train.processes: {processes} with a GPU each, but {room} are here: lower it, or give"
            " executor.device=cpu"
        )


def _serve(
    connection: Connection,
    place: _Place,
    cores: list[int],
    threads: int,
    machine: Machine,
    work: "Work",
) -> None:
    follow_parent_on(cores)
    # The parent answers it, as Ctrl-C, and ends this process.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    from models.process_group import Rank

    rank = Rank(*place)
    if rank.number:
        logging.disable()  # rank 0 logs the same
    try:
        progress = (lambda *done: connection.send(("progress", done))) if rank.number == 0 else None
        result = work(rank, progress)
        connection.send(("done", result if rank.number == 0 else None))
    except Exception as error:
        full = disk_trouble(error, machine.outputs)
        reason = full or f"{type(error).__name__}: {error}"
        failure = Failure(reason, traceback.format_exc(), full is not None)
        with suppress(BrokenPipeError):
            connection.send(("failure", (time.monotonic(), failure)))
        os._exit(1)  # closing the process group could wait for the others
