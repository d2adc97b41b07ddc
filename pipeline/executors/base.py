"""What an executor takes, a job of numbered pieces, how it reports failures; and the plain one."""

import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.disk import FullDiskError, disk_trouble
from pipeline.executors.config import ExecutorConfig
from pipeline.progress import log, say

Done = Callable[[int], None]
"""Called in the process of the run with the number of each piece that was finished."""


@dataclass(frozen=True)
class Job:
    """Pieces of work that any process can do, on any machine that sees ``folder``.

    It is sent by pickle, so both callables are functions of a module or partials of one.
    ``prepare`` is called once in a process and returns the function that does one piece: whole or
    not at all, and harmless when done twice. ``finished`` says whether a piece is done.
    """

    folder: Path  # absolute; no two jobs have the same
    prepare: Callable[[], Callable[[int], None]]
    finished: Callable[[int], bool]


@dataclass(frozen=True)
class Failure:
    """Why a piece was not done."""

    reason: str
    account: str = ""  # the traceback
    full_disk: bool = False


class Workplace:
    """Does pieces in this process; what a job prepared (a model) stays warm for its next piece."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._do: Callable[[int], None] | None = None

    def do(self, job: Job, number: int) -> Failure | None:
        """None when the piece is done."""
        try:
            if job.finished(number):
                return None
            if self._do is None or self._folder != job.folder:
                self._do = None  # gives the memory of the last job's model back first
                self._do, self._folder = job.prepare(), job.folder
            self._do(number)
        except Exception as error:
            self._do = None
            full = disk_trouble(error, job.folder)
            reason = full or f"{type(error).__name__}: {error}"
            return Failure(reason, traceback.format_exc(), full is not None)
        return None


class Executor(Protocol):
    """Does the pieces of one job after the other."""

    def run(self, job: Job, numbers: Iterable[int], done: Done) -> None:
        """Does every piece of ``numbers``.

        Raises PiecesMissingError where pieces failed as often as they may (all others were done
        before, unless ``max_failed`` stopped it), FullDiskError at the first that found no room.
        """
        ...

    def close(self) -> None:
        """Stops what it started. Call it after an error, too."""
        ...


class PiecesMissingError(RuntimeError):
    """Pieces of a job that could not be done; the message names them and why."""

    def __init__(self, failed: Mapping[int, Failure], given_up: int, tries: int) -> None:
        self.failed = dict(failed)
        by_reason: dict[str, list[int]] = {}
        for number in sorted(failed):
            by_reason.setdefault(failed[number].reason, []).append(number)
        named = [f"{', '.join(map(str, n))} ({reason})" for reason, n in by_reason.items()]
        if given_up:
            named.append(f"{given_up} others were given up after so many failures")
        super().__init__(
            f"missing shards, tried {tries} times: {'; '.join(named)}. What is finished is kept:"
            " the same command goes on with these"
        )


class Ledger:
    """Which pieces wait, and which have failed for good."""

    def __init__(self, numbers: Iterable[int], retries: int, max_failed: int, done: Done) -> None:
        self.waiting = deque(numbers)
        self.failed: dict[int, Failure] = {}
        self._given_up = 0
        self._retries, self._max_failed, self._done = retries, max_failed, done
        self._tries: Counter[int] = Counter()

    def settle(self, number: int, failure: Failure | None) -> None:
        """Notes what became of a piece; one that may be tried again waits behind all others.

        Raises FullDiskError where the piece found no room: the others would not either.
        """
        if failure is None:
            self._done(number)
            return
        log.error("shard %d: %s\n%s", number, failure.reason, failure.account)
        if failure.full_disk:
            raise FullDiskError(failure.reason)
        self._tries[number] += 1
        if self._tries[number] <= self._retries:
            say(f"shard {number} is tried again: {failure.reason}")
            self.waiting.append(number)
            return
        self.failed[number] = failure
        if len(self.failed) == self._max_failed:
            self._given_up = len(self.waiting)
            self.waiting.clear()

    def close(self) -> None:
        """Raises PiecesMissingError where a piece is missing."""
        if self.failed:
            raise PiecesMissingError(self.failed, self._given_up, 1 + self._retries)


class SerialExecutor:
    """One piece after the other in this process."""

    def __init__(self, config: ExecutorConfig) -> None:
        self._config = config

    def run(self, job: Job, numbers: Iterable[int], done: Done) -> None:
        ledger = Ledger(numbers, self._config.retries, self._config.max_failed, done)
        workplace = Workplace()
        while ledger.waiting:
            number = ledger.waiting.popleft()
            ledger.settle(number, workplace.do(job, number))
        ledger.close()

    def close(self) -> None:
        pass
