"""The processes of one training: started, listened to and ended by the process of the run.

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
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import ConfigError, PipelineConfig
from pipeline.disk import FullDiskError, disk_trouble
from pipeline.executors.base import Failure
from pipeline.executors.local import core_groups, follow_parent_on
from pipeline.progress import log

if TYPE_CHECKING:  # torch is imported where something is trained
    from models.process_group import Rank
    from models.training import TrainResult
    from models.training_loop import OnProgress

    Work = Callable[[Rank, OnProgress | None], TrainResult]

_CONTEXT: Any = multiprocessing.get_context("spawn")
_Place = tuple[int, int, Path]  # the fields of a Rank, which this process may not import yet
_PATIENCE = 1.0  # seconds; so late may it be noticed that a process is gone


class RankError(RuntimeError):
    """A process of a training failed or died; the message names it."""


@dataclass(frozen=True)
class _Told:
    arguments: tuple[int, int, int, int, Mapping[str, float]]


@dataclass(frozen=True)
class _Failed:
    """died: it said nothing, so it is not the death of another that ended it."""

    failure: Failure
    seconds: float  # on the clock of the machine
    died: bool = False


def train_in_processes(
    work: "Work", processes: int, config: PipelineConfig, told: "OnProgress"
) -> "TrainResult":
    """What the first of ``processes`` returns of ``work``, which they do together.

    ``work`` is sent by pickle; ``told`` hears the first one's progress. Each process has its share
    of the cores, ``config.threads`` to compute with, and on CUDA a GPU of its own.

    Raises
    ------
    ConfigError
        Where there is no GPU for each.
    RankError
        Where a process fails or dies. The others are ended.
    FullDiskError
        Where one found no room.
    """
    _check_devices(processes, config)
    ranks: list[_Process] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, cores in enumerate(core_groups(processes)):
                place = (number, processes, Path(folder) / "meeting")
                ranks.append(_Process(place, cores, config, work))
            while not all(rank.done for rank in ranks):
                _listen(ranks, told)
                if any(rank.failed for rank in ranks):
                    _listen(ranks, told)  # whose death another one's error may come from
                    _raise_cause(ranks)
        finally:
            for process in ranks:
                process.end()
    result = ranks[0].result
    assert result is not None
    return result


class _Process:
    """One process and what it has said."""

    def __init__(
        self, place: _Place, cores: list[int], config: PipelineConfig, work: "Work"
    ) -> None:
        self.number, self.of, _ = place
        self.done = False
        self.failed: _Failed | None = None
        self.result: TrainResult | None = None
        self.connection, theirs = _CONTEXT.Pipe(duplex=False)
        arguments = (theirs, place, cores, config, work)
        self._process = _CONTEXT.Process(target=_serve, args=arguments)
        self._process.start()
        theirs.close()  # or its end would stay open when the process dies

    @property
    def heard(self) -> bool:
        """Whether all is heard that it has to say."""
        return self.done or self.failed is not None

    def listen(self, told: "OnProgress") -> None:
        dead = self._process.exitcode is not None  # asked first: what it said last is there then
        while not self.heard and self.connection.poll():
            try:
                message = self.connection.recv()
            except (EOFError, ConnectionResetError):
                self._process.join()
                dead = True
                break
            if isinstance(message, _Told):
                told(*message.arguments)
            elif isinstance(message, _Failed):
                self.failed = message
            else:
                self.done, self.result = True, message
        if dead and not self.heard:
            reason = f"its process ended with code {self._process.exitcode}"
            hint = " (-9: killed, as for want of memory)"
            self.failed = _Failed(Failure(reason + hint), time.monotonic(), died=True)

    def end(self) -> None:
        if self.done:
            self._process.join(_PATIENCE)
        self._process.kill()
        self._process.join()
        self.connection.close()


def _listen(ranks: list[_Process], told: "OnProgress") -> None:
    """Waits for a word of anyone and hears all; a silence is broken by a look at who is alive."""
    wait([rank.connection for rank in ranks if not rank.heard], _PATIENCE)
    for rank in ranks:
        rank.listen(told)


def _raise_cause(ranks: list[_Process]) -> None:
    failed = [(rank, rank.failed) for rank in ranks if rank.failed]
    rank, first = min(failed, key=lambda pair: (not pair[1].died, pair[1].seconds))
    for each, what in failed:
        log.error("rank %d: %s\n%s", each.number, what.failure.reason, what.failure.account)
    if first.failure.full_disk:
        raise FullDiskError(first.failure.reason)
    raise RankError(
        f"rank {rank.number} of train.processes={rank.of}: {first.failure.reason}."
        " Finished epochs are kept: the same command goes on after them"
    )


def _check_devices(processes: int, config: PipelineConfig) -> None:
    import torch

    from models.device import resolve_device

    kind = resolve_device(config.executor.device).type
    if kind == "mps":
        raise ConfigError("train.processes: mps has room for one; or give executor.device=cpu")
    gpus = torch.cuda.device_count()
    if kind == "cuda" and processes > gpus:
        raise ConfigError(
            f"train.processes: {processes} with a GPU each, but {gpus} are here: lower it, or give"
            " executor.device=cpu"
        )


def _serve(
    connection: Connection, place: _Place, cores: list[int], config: PipelineConfig, work: "Work"
) -> None:
    follow_parent_on(cores)
    # As Ctrl-C it is the parent's to answer, and Lightning would reach for the others at once.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    os.environ["OMP_NUM_THREADS"] = str(config.threads)  # else Lightning chooses
    # DDP's word on parameters that are all used (models/process_group.py says why it is told so).
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read when torch is imported
    from models.process_group import Rank

    rank = Rank(*place)
    if rank.number:
        logging.disable()  # they would say everything again
    try:
        progress = (lambda *told: connection.send(_Told(told))) if rank.number == 0 else None
        result = work(rank, progress)
        connection.send(result if rank.number == 0 else None)
    except Exception as error:
        full = disk_trouble(error, Path(config.paths.outputs))
        failure = Failure(
            full or f"{type(error).__name__}: {error}", traceback.format_exc(), full is not None
        )
        with suppress(BrokenPipeError):
            connection.send(_Failed(failure, time.monotonic()))
        os._exit(1)  # an open process group could wait for the others
