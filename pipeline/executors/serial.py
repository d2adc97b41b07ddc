"""One piece after the other in this process."""

from collections.abc import Iterable

from pipeline.executors.base import Done, Job, Ledger, Workplace
from pipeline.executors.config import ExecutorConfig


class SerialExecutor:
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
