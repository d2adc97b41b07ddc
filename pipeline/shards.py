"""Work cut in shards: each is published whole or not at all, and never computed twice."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from pipeline.graph import Progress

SHARDS = "shards"


def run_shards(
    folder: Path, total: int, size: int, compute: Callable[[Path, slice], None], progress: Progress
) -> None:
    """Calls ``compute(shard_folder, rows)`` for every shard that ``folder`` does not hold yet.

    ``compute`` writes into a temporary folder that is renamed when it returns and removed when it
    raises: a full disk gets its room back. What rows a shard holds depends on ``total`` and
    ``size`` alone, so that any interruption gives the same shards. ``size``, the rows that
    ``compute`` takes at a time and its threads belong into the stage's key: torch gives other
    last bits for other batches and thread counts.
    """
    starts = range(0, total, size)
    for number, start in enumerate(starts):
        final = folder / SHARDS / f"{number:05d}"
        if not final.exists():
            temporary = final.with_suffix(".tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            try:
                compute(temporary, slice(start, min(start + size, total)))
                _to_disk(temporary)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            os.replace(temporary, final)
        progress(min(start + size, total), total)


def shard_folders(folder: Path) -> list[Path]:
    """The shards of a finished stage, in order."""
    return sorted(path for path in (folder / SHARDS).iterdir() if path.suffix != ".tmp")


def read_shard_tables(folder: Path, name: str) -> pd.DataFrame:
    """The rows of one csv file of every shard, in order."""
    tables = [pd.read_csv(shard / name, dtype={"image": str}) for shard in shard_folders(folder)]
    return pd.concat(tables, ignore_index=True)


def _to_disk(folder: Path) -> None:
    """Without it, a power cut could leave a renamed shard of empty files."""
    for path in folder.iterdir():
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
