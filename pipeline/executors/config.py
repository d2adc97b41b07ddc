"""Settings of the executors. No result depends on them, and no key holds them."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum


class ExecutorName(Enum):
    serial = "serial"  # this process
    local = "local"  # processes of this machine, one per core group or GPU
    slurm = "slurm"  # an array of jobs (submitit)
    ray = "ray"  # actors of a Ray cluster, or of one that is started here


@dataclass(frozen=True)
class ExecutorConfig:
    """Where shards are computed. All constants are ours."""

    name: ExecutorName = ExecutorName.serial
    device: str = "auto"  # auto | cpu | cuda | mps
    retries: int = 1  # how often a shard is tried again after it failed
    max_failed: int = 10  # after so many lost shards no other is begun
    # Processes (slurm: of each job). null: one per GPU, else cores / threads (slurm: one).
    workers: int | None = None
    timeout: float | None = None  # seconds for a shard, with loading the model; null: any
    gpus: float = 0  # ray: share of a GPU per worker; slurm: GPUs per job
    address: str | None = None  # ray: an existing cluster, as in auto; null starts one here
    cluster: str = "slurm"  # slurm: local rehearses with processes of this machine
    jobs: int = 8  # slurm: shards are dealt out to so many jobs at most
    minutes: int = 240  # slurm: limit of a job; what it leaves is submitted again
    memory_gb: int = 16  # slurm: per job
    partition: str | None = None  # slurm
    account: str | None = None  # slurm


_SLURM = {"cluster", "jobs", "minutes", "memory_gb", "partition", "account"}
_READ_BY = {
    ExecutorName.serial: set[str](),
    ExecutorName.local: {"workers", "timeout"},
    ExecutorName.ray: {"workers", "timeout", "gpus", "address"},
    ExecutorName.slurm: {"workers", "timeout", "gpus", *_SLURM},
}


_AT_LEAST = {"retries": 0, "max_failed": 1, "workers": 1, "gpus": 0, "jobs": 1, "minutes": 1}


def executor_problems(config: ExecutorConfig) -> Iterator[tuple[str, str]]:
    """(setting, what is wrong with it): out of range, or not read by the chosen executor."""
    read = _READ_BY[config.name] | {"name", "device", "retries", "max_failed"}
    for field in fields(ExecutorConfig):
        value = getattr(config, field.name)
        if field.name not in read and value != field.default:
            yield field.name, f"is not read by executor={config.name.value}"
        least = _AT_LEAST.get(field.name)
        if least is not None and value is not None and value < least:
            yield field.name, f"at least {least}, not {value:g}"
    if config.timeout is not None and config.timeout <= 0:
        yield "timeout", "more than 0 seconds, or null for no limit"
