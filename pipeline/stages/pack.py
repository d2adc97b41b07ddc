"""pack: every film decoded once, at the size that the network sees."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.config import PipelineConfig
from pipeline.executors.base import Job
from pipeline.graph import RawFolder, Stage, Task, WorkerTask
from pipeline.shards import for_workers, run_job

if TYPE_CHECKING:
    from data.packing import SquareReader


def stage(config: PipelineConfig, films: Stage | RawFolder, index: Stage) -> Stage:
    return Stage(
        name="pack",
        version=1,
        settings={"side": config.dataset.side, "shard": config.dataset.pack_shard},
        inputs={"films": films, "index": index},
        run=run,
        sources=("data/packing.py", "data/integrity.py"),
    )


def run(task: Task) -> None:
    pack_films(task, task.config.dataset.side, _reader)


def _reader(task: WorkerTask) -> "SquareReader":
    from data.packing import read_square

    return read_square


def pack_films(task: Task, side: int, reader: Callable[[WorkerTask], "SquareReader"]) -> None:
    """Packs the films of the task's index. ``reader``: a function of a module, or its partial."""
    from data.packing import has_shard, keep_sound_shards, write_index

    folder, size, images = task.folder.absolute(), task.config.dataset.pack_shard, _images(task)
    keep_sound_shards(images, folder, side, size)
    prepare = partial(_packer, for_workers(task), folder, side, reader)
    run_job(task, Job(folder, prepare, partial(has_shard, folder)), len(images), size)
    write_index(images, task.inputs["films"], folder, side, size)
    unreadable = len(pd.read_csv(task.folder / "problems.csv"))
    if unreadable:
        task.note(f"{unreadable:,} of {len(images):,} films cannot be read; see problems.csv")


def _packer(
    task: WorkerTask, folder: Path, side: int, reader: Callable[[WorkerTask], "SquareReader"]
) -> Callable[[int], None]:
    from data.packing import pack_shard

    images, size, read = _images(task), task.config.dataset.pack_shard, reader(task)
    films, threads = task.inputs["films"], task.config.threads
    return lambda shard: pack_shard(images, films, folder, shard, side, size, threads, read)


def _images(task: WorkerTask) -> pd.DataFrame:
    images = pd.read_csv(task.inputs["index"] / "images.csv", dtype={"image": str, "path": str})
    return images[["image", "path"]]
