"""An array of Slurm jobs (submitit), each with the processes of ``executor=local`` on its node."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, UncompletedJobError

from pipeline.disk import FullDiskError
from pipeline.executors.base import Done, Failure, Job, Ledger, PiecesMissingError
from pipeline.executors.config import ExecutorConfig
from pipeline.executors.local import LocalExecutor

_POLL = 0.5  # seconds; a look at files, Slurm itself is asked once a minute (submitit)


class SlurmExecutor:
    """``folder``: for submitit's files, seen by all nodes; ``threads`` and ``imports``: of each
    worker, as of ``LocalExecutor``."""

    def __init__(
        self, config: ExecutorConfig, threads: int, folder: Path, imports: Sequence[str]
    ) -> None:
        gpus = ceil(config.gpus)
        workers = config.workers or max(1, gpus)
        # A piece that failed is tried again by another job, perhaps on another node.
        self._job_config = replace(config, workers=workers, retries=0, max_failed=1 << 60)
        self._config, self._threads, self._imports = config, threads, imports
        self._engine = submitit.AutoExecutor(folder=folder / "%j", cluster=config.cluster)
        settings: dict[str, Any] = {
            "name": "chest-xray",
            "timeout_min": config.minutes,
            "cpus_per_task": threads * workers,
            "gpus_per_node": gpus or None,
            "mem_gb": config.memory_gb,
            "slurm_array_parallelism": config.jobs,
            "slurm_partition": config.partition,
            "slurm_account": config.account,
        }
        self._engine.update_parameters(**{k: v for k, v in settings.items() if v is not None})

    def run(self, job: Job, numbers: Iterable[int], done: Done) -> None:
        ledger = Ledger(numbers, self._config.retries, self._config.max_failed, done)
        while ledger.waiting:
            self._round(job, ledger)
        ledger.close()

    def close(self) -> None:
        pass

    def _round(self, job: Job, ledger: Ledger) -> None:
        """One array over all pieces that wait."""
        wanted = [ledger.waiting.popleft() for _ in range(len(ledger.waiting))]
        count = min(self._config.jobs, len(wanted))
        chunks = [wanted[first::count] for first in range(count)]
        with self._engine.batch():
            submitted = [
                self._engine.submit(
                    run_chunk, job, chunk, self._job_config, self._threads, self._imports
                )
                for chunk in chunks
            ]
        running = {each: deque(chunk) for each, chunk in zip(submitted, chunks, strict=True)}
        begun_of = {each: len(left) for each, left in running.items()}
        try:
            while running:
                time.sleep(_POLL)
                for each, left in list(running.items()):
                    ended = each.done()
                    while left and job.finished(left[0]):
                        ledger.settle(left.popleft(), None)
                    if ended:
                        del running[each]
                        _settle(each, job, left, begun_of[each], ledger)
        except BaseException:
            for each in running:
                each.cancel(check=False)
            raise


def run_chunk(
    job: Job, numbers: list[int], config: ExecutorConfig, threads: int, imports: Sequence[str]
) -> dict[int, Failure]:
    """In a Slurm job: does the pieces with local workers, and returns why some are missing."""
    executor = LocalExecutor(config, threads, imports)
    try:
        executor.run(job, numbers, lambda number: None)
    except PiecesMissingError as error:
        return error.failed
    except FullDiskError as error:
        return dict.fromkeys(numbers, Failure(str(error), full_disk=True))
    finally:
        executor.close()
    return {}


def _settle(
    ended: submitit.Job[dict[int, Failure]],
    job: Job,
    left: Iterable[int],
    submitted: int,
    ledger: Ledger,
) -> None:
    """Settles what an ended job was not seen to finish, of ``submitted`` pieces."""
    missing = []
    for number in left:
        if job.finished(number):
            ledger.settle(number, None)
        else:
            missing.append(number)
    try:
        failures = ended.result()
        unseen = f"job {ended.job_id} did it, but {job.folder} does not show it on this machine"
    except (UncompletedJobError, FailedJobError) as error:
        if len(missing) < submitted:  # out of time, perhaps: what it did not come to is no failure
            ledger.waiting.extend(missing)
            return
        failures = {}
        last = str(error).strip().splitlines()[-1]
        unseen = f"job {ended.job_id} ended without an answer, state {ended.state}: {last}"
    for number in missing:
        ledger.settle(number, failures.get(number, Failure(unseen)))
