"""Pieces handed to workers that stay warm: one piece each at a time, whoever is free next.

A worker that dies or takes too long is replaced, and its piece tried again by another.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from pipeline.executors.base import Done, Failure, Job, Ledger
from pipeline.executors.config import ExecutorConfig


class Started:
    """A new worker's first message: it has read its piece, whose time counts from now."""


class WorkerDiedError(RuntimeError):
    """A worker is gone; the message says how it ended."""


class Worker(ABC):
    """A process with a ``Workplace``, here or elsewhere."""

    @abstractmethod
    def begin(self, job: Job, number: int) -> None:
        """Sends a piece; returns at once."""

    @abstractmethod
    def answer(self) -> Started | Failure | None:
        """Its next message; None when the piece is done. Raises WorkerDiedError."""

    @abstractmethod
    def kill(self) -> None:
        """Ends it at once."""


@dataclass
class _Place:
    """A place for one worker at a time, and the piece it works on."""

    worker: Worker | None = None
    number: int | None = None
    deadline: float = inf


class WarmWorkers(ABC):
    """An executor over ``count`` places, each with a worker that lives from job to job."""

    def __init__(self, config: ExecutorConfig, count: int) -> None:
        self._config = config
        self._places = [_Place() for _ in range(count)]

    @abstractmethod
    def start(self, place: int) -> Worker:
        """A new worker at place 0 ... count - 1; returns before it runs."""

    @abstractmethod
    def answering(self, workers: list[Worker], seconds: float | None) -> list[Worker]:
        """Waits until any of ``workers`` has answered or died; returns all that have."""

    def run(self, job: Job, numbers: Iterable[int], done: Done) -> None:
        ledger = Ledger(numbers, self._config.retries, self._config.max_failed, done)
        while True:
            for index, place in enumerate(self._places):
                if ledger.waiting and place.number is None:
                    self._hand_out(index, job, ledger.waiting.popleft())
            busy = [place for place in self._places if place.number is not None]
            if not busy:
                break
            self._settle_answers(busy, ledger)
        ledger.close()

    def close(self) -> None:
        for place in self._places:
            if place.worker is not None:
                place.worker.kill()
                place.worker = None

    def _hand_out(self, index: int, job: Job, number: int) -> None:
        place = self._places[index]
        place.number, place.deadline = number, self._deadline()
        if place.worker is None:
            place.worker, place.deadline = self.start(index), inf
        place.worker.begin(job, number)

    def _settle_answers(self, busy: list[_Place], ledger: Ledger) -> None:
        first = min(place.deadline for place in busy)
        patience = None if first == inf else max(0.0, first - time.monotonic())
        workers = [place.worker for place in busy if place.worker is not None]
        answered = self.answering(workers, patience)
        for place in busy:
            assert place.worker is not None
            assert place.number is not None
            if place.worker in answered:
                try:
                    answer = place.worker.answer()
                except WorkerDiedError as error:
                    place.worker, answer = None, Failure(str(error))
                if isinstance(answer, Started):
                    place.deadline = self._deadline()
                    continue
            elif place.deadline <= time.monotonic():
                place.worker.kill()
                reason = f"took longer than {self._config.timeout:g} s (executor.timeout)"
                place.worker, answer = None, Failure(reason)
            else:
                continue
            number, place.number = place.number, None
            ledger.settle(number, answer)

    def _deadline(self) -> float:
        return inf if self._config.timeout is None else time.monotonic() + self._config.timeout
