"""Settings of the executors. No result depends on them, and no key holds them."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
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
    # how often a shard is tried again after it failed
    retries: int = field(default=1, metadata={"least": 0})
    # after so many lost shards no other is begun
    max_failed: int = field(default=10, metadata={"least": 1})
    # Processes (slurm: of each job). null: one per GPU, else cores / threads (slurm: one).
    workers: int | None = field(default=None, metadata={"least": 1})
    timeout: float | None = None  # seconds for a shard, with loading the model; null: any
    # ray: share of a GPU per worker; slurm: GPUs per job
    gpus: float = field(default=0, metadata={"least": 0})
    address: str | None = None  # ray: an existing cluster, as in auto; null starts one here
    cluster: str = "slurm"  # slurm: local rehearses with processes of this machine
    # slurm: shards are dealt out to so many jobs at most
    jobs: int = field(default=8, metadata={"least": 1})
    # slurm: limit of a job; what it leaves is submitted again
    minutes: int = field(default=240, metadata={"least": 1})
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


def executor_problems(config: ExecutorConfig) -> Iterator[tuple[str, str]]:
    """(setting, what is wrong with it): not read by the chosen executor, or no time at all."""
    read = _READ_BY[config.name] | {"name", "device", "retries", "max_failed"}
    for each in fields(ExecutorConfig):
        if each.name not in read and getattr(config, each.name) != each.default:
            yield each.name, f"is not read by executor={config.name.value}"
    if config.timeout is not None and config.timeout <= 0:
        yield "timeout", "more than 0 seconds, or null for no limit"
