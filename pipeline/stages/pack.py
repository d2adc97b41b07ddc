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

IMAGE_READERS = (
    *("data/dicom_start.py", "data/exif_orientation.py", "data/grey_range.py"),
    *("data/integrity.py", "data/whole_images.py"),
)


def stage(config: PipelineConfig, films: Stage | RawFolder, index: Stage) -> Stage:
    return Stage(
        name="pack",
        version=2,
        settings={"side": config.dataset.side, "shard": config.dataset.pack_shard},
        inputs={"films": films, "index": index},
        run=run,
        sources=("data/packing.py", *IMAGE_READERS),
    )


def run(task: Task) -> None:
    from data.packing import read_square

    pack_films(task, task.config.dataset.side, read_square)


def pack_films(task: Task, side: int, reader: "SquareReader") -> None:
    """Packs the films of the task's ``index`` below its ``films``."""
    from data.packing import INDEX_FILE, PROBLEMS_FILE, has_shard, keep_sound_shards, write_index

    folder, images, size = task.folder.absolute(), _images(task), task.config.dataset.pack_shard
    keep_sound_shards(images, folder, side, size)
    packer = partial(_packer, for_workers(task), folder, side, reader)
    run_job(task, Job(folder, packer, partial(has_shard, folder)), len(images), size)
    write_index(images, task.inputs["films"], folder, side, size)
    unreadable = len(images) - len(pd.read_csv(task.folder / INDEX_FILE))
    doubtful = len(pd.read_csv(task.folder / PROBLEMS_FILE)) - unreadable
    if unreadable:
        task.note(f"{unreadable:,} of {len(images):,} films cannot be read; see problems.csv")
    if doubtful:
        task.note(f"{doubtful:,} films were read, but see problems.csv")


def _packer(
    task: WorkerTask, folder: Path, side: int, reader: "SquareReader"
) -> Callable[[int], None]:
    from data.packing import pack_shard

    images, films, config = _images(task), task.inputs["films"], task.config
    size, threads = config.dataset.pack_shard, config.threads
    return lambda shard: pack_shard(images, films, folder, shard, side, size, threads, reader)


def _images(task: WorkerTask) -> pd.DataFrame:
    images = pd.read_csv(task.inputs["index"] / "images.csv", dtype={"image": str, "path": str})
    return images[["image", "path"]]
