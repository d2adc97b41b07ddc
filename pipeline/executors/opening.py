"""The executor that a configuration names, open for a run."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path

from pipeline.executors.base import Executor, SerialExecutor
from pipeline.executors.config import ExecutorConfig, ExecutorName


def open_executor(
    config: ExecutorConfig, threads: int, folder: Path, imports: Sequence[str] = ()
) -> AbstractContextManager[Executor]:
    """``threads``: of each worker; ``folder``: for an engine's own files; ``imports``: modules
    that new workers have imported, where the engine can share them.

    Raises ModuleNotFoundError where the engine's package is not installed; the message says how to.
    """
    if config.name is ExecutorName.serial:
        return closing(SerialExecutor(config))
    if config.name is ExecutorName.local:
        from pipeline.executors.local import LocalExecutor

        return closing(LocalExecutor(config, threads, imports))
    try:
        if config.name is ExecutorName.ray:
            from pipeline.executors.ray import RayExecutor

            return closing(RayExecutor(config, threads))
        from pipeline.executors.slurm import SlurmExecutor

        return closing(SlurmExecutor(config, threads, folder, imports))
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"executor={config.name.value} needs the package {error.name}:"
            f" make setup EXTRAS={config.name.value}"
        ) from error
