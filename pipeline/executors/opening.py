"""The executor that a configuration names, open for a run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.executors.base import Executor
from pipeline.executors.config import ExecutorConfig, ExecutorName
from pipeline.executors.serial import SerialExecutor


@contextmanager
def open_executor(
    config: ExecutorConfig, threads: int, folder: Path, imports: Sequence[str] = ()
) -> Iterator[Executor]:
    """``threads``: of each worker; ``folder``: for an engine's own files; ``imports``: modules
    that new workers have imported, where the engine can share them.

    Raises
    ------
    ModuleNotFoundError
        Where the engine's package is not installed; the message says how to.
    """
    executor = _built(config, threads, folder, imports)
    try:
        yield executor
    finally:
        executor.close()


def _built(config: ExecutorConfig, threads: int, folder: Path, imports: Sequence[str]) -> Executor:
    if config.name is ExecutorName.serial:
        return SerialExecutor(config)
    if config.name is ExecutorName.local:
        from pipeline.executors.local import LocalExecutor

        return LocalExecutor(config, threads, imports)
    try:
        if config.name is ExecutorName.ray:
            from pipeline.executors.ray import RayExecutor

            return RayExecutor(config, threads)
        from pipeline.executors.slurm import SlurmExecutor

        return SlurmExecutor(config, threads, folder, imports)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"executor={config.name.value} needs the package {error.name}:"
            f" make setup EXTRAS={config.name.value}"
        ) from error
