"""Actors of a Ray cluster, each with its share of cores and GPUs (Ray Core)."""

import logging
import os
from pathlib import Path
from typing import Any, cast

import ray

from pipeline.executors.base import Failure, Job, Workplace
from pipeline.executors.config import ExecutorConfig
from pipeline.executors.local import core_groups, visible_gpus
from pipeline.executors.workers import Started, WarmWorkers, Worker, WorkerDiedError

_ROOT = Path(__file__).resolve().parents[2]
_OBJECT_STORE = 100 << 20  # bytes, where the cluster is ours: jobs are small, results are files


class RayWorker(Worker):
    """One actor. ``actor``: its handle."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._answers: list[Any] = []  # in the order in which they will come
        self._started = False

    @property
    def next_answer(self) -> Any:
        return self._answers[0]

    def begin(self, job: Job, number: int) -> None:
        if not self._started:
            self._answers.append(self._actor.started.remote(job))
            self._started = True
        self._answers.append(self._actor.do.remote(job, number))

    def answer(self) -> Started | Failure | None:
        try:
            return cast(Started | Failure | None, ray.get(self._answers.pop(0)))
        except ray.exceptions.RayError as error:
            raise WorkerDiedError(f"its actor is gone: {str(error).splitlines()[0]}") from error

    def kill(self) -> None:
        ray.kill(self._actor)


class RayExecutor(WarmWorkers):
    """Joins the cluster at ``config.address``, or starts one on this machine.

    Every machine must see this project and ``paths.outputs`` at the same paths.
    """

    def __init__(self, config: ExecutorConfig, threads: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # see docs/scaling.md
        machine: dict[str, Any] = {
            "num_cpus": len(core_groups(1)[0]),
            "num_gpus": len(visible_gpus(config.device)),
            "object_store_memory": _OBJECT_STORE,
            "include_dashboard": False,
        }
        ray.init(
            address=config.address,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {"PYTHONPATH": _python_path()}},
            **({} if config.address else machine),
        )
        resources = ray.cluster_resources()
        cores, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
        most = int(cores // threads)
        if config.gpus:
            most = min(most, int(gpus / config.gpus))
        if not most:
            ray.shutdown()
            raise ValueError(
                f"executor=ray: no worker of {threads} cores (threads) and {config.gpus:g} GPUs"
                f" (executor.gpus) fits into the cluster, which has {cores:g} cores"
                f" and {gpus:g} GPUs"
            )
        self._actor = ray.remote(_Actor).options(num_cpus=threads, num_gpus=config.gpus)
        super().__init__(config, min(most, config.workers or most))

    def start(self, place: int) -> RayWorker:
        return RayWorker(self._actor.remote())

    def answering(self, workers: list[Worker], seconds: float | None) -> list[Worker]:
        by_answer = {cast(RayWorker, worker).next_answer: worker for worker in workers}
        ready, _ = ray.wait(list(by_answer), num_returns=1, timeout=seconds)
        return [by_answer[answer] for answer in ready]

    def close(self) -> None:
        super().close()
        ray.shutdown()


class _Actor(Workplace):
    def started(self, job: Job) -> Started:
        return Started()


def _python_path() -> str:
    return os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
