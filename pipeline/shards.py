"""Work cut in shards: each is published whole or not at all, and never computed twice."""

import os
import shutil
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from pipeline.executors.base import Job
from pipeline.step import Inputs, Work

SHARDS = "shards"
Compute = Callable[[Path, slice], None]
"""(folder of the shard, rows of all) -> writes the shard's files into the folder."""


def run_shards(work: Work, total: int, size: int, prepare: Callable[[Inputs], Compute]) -> None:
    """Computes every shard of ``total`` rows that the step's folder does not hold yet.

    ``prepare``, a step's method, is called once in each process of the executor. Its ``Compute``
    writes into a temporary folder that is renamed when it returns and removed when it raises, so a
    full disk gets its room back. The rows of a shard depend on ``total`` and ``size`` alone, so any
    interruption and any executor gives the same shards. ``size``, the rows that are
    computed at a time and the threads are fields of the step: torch gives other last bits for
    other batches and thread counts.

    Raises
    ------
    PiecesMissingError, FullDiskError
        As ``Executor.run``.
    """
    folder = work.folder.absolute() / SHARDS
    folder.mkdir(exist_ok=True)
    for left in folder.glob("*.tmp"):
        shutil.rmtree(left, ignore_errors=True)  # a killed run's
    job = Job(
        folder,
        partial(_publisher, prepare, work.inputs, folder, total, size),
        partial(_is_published, folder),
    )
    run_job(work, job, total, size)


def run_job(work: Work, job: Job, total: int, size: int) -> None:
    """Does the missing pieces of ``size`` rows each. Raises as ``run_shards``."""
    missing = [number for number in range(-(-total // size)) if not job.finished(number)]
    done = total - sum(_length(number, total, size) for number in missing)
    if done:
        work.progress(done, total)

    def advance(number: int) -> None:
        nonlocal done
        done += _length(number, total, size)
        work.progress(done, total)

    if missing:
        work.executor.run(job, missing, advance)


def shard_folders(folder: Path) -> list[Path]:
    """The shards of a finished step, in order."""
    found = (path for path in (folder / SHARDS).iterdir() if path.suffix != ".tmp")
    return sorted(found, key=lambda path: int(path.name))


def read_shard_tables(folder: Path, name: str) -> pd.DataFrame:
    """The rows of one csv file of every shard, in order."""
    tables = [pd.read_csv(shard / name, dtype={"image": str}) for shard in shard_folders(folder)]
    return pd.concat(tables, ignore_index=True)


def _publisher(
    prepare: Callable[[Inputs], Compute], inputs: Inputs, folder: Path, total: int, size: int
) -> Callable[[int], None]:
    compute = prepare(inputs)

    def publish(number: int) -> None:
        # A worker that was given up for lost may still be writing: each has a folder of its own.
        temporary = folder / f"{_name(number)}.{uuid.uuid4().hex}.tmp"
        temporary.mkdir()
        try:
            compute(temporary, slice(number * size, min((number + 1) * size, total)))
            _to_disk(temporary)
            if not _is_published(folder, number):
                os.replace(temporary, folder / _name(number))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    return publish


def _is_published(folder: Path, number: int) -> bool:
    return (folder / _name(number)).exists()


def _name(number: int) -> str:
    return f"{number:05d}"


def _length(number: int, total: int, size: int) -> int:
    return min(size, total - number * size)


def _to_disk(folder: Path) -> None:
    """Without it, a power cut could leave a renamed shard of empty files."""
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
