"""pack: every film decoded once, at the size that the network sees."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from pipeline.config import PipelineConfig
from pipeline.executors.base import Job
from pipeline.graph import RawFolder, Stage, Task, WorkerTask
from pipeline.shards import for_workers, run_job


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
    from data.packing import has_shard, keep_sound_shards, write_index

    data, folder, images = task.config.dataset, task.folder.absolute(), _images(task)
    keep_sound_shards(images, folder, data.side, data.pack_shard)
    job = Job(folder, partial(_packer, for_workers(task), folder), partial(has_shard, folder))
    run_job(task, job, len(images), data.pack_shard)
    write_index(images, task.inputs["films"], folder, data.side, data.pack_shard)
    unreadable = len(pd.read_csv(task.folder / "problems.csv"))
    if unreadable:
        task.note(f"{unreadable:,} of {len(images):,} films cannot be read; see problems.csv")


def _packer(task: WorkerTask, folder: Path) -> Callable[[int], None]:
    from data.packing import pack_shard

    data, images, films = task.config.dataset, _images(task), task.inputs["films"]
    threads = task.config.threads
    return lambda shard: pack_shard(
        images, films, folder, shard, data.side, data.pack_shard, threads
    )


def _images(task: WorkerTask) -> pd.DataFrame:
    images = pd.read_csv(task.inputs["index"] / "images.csv", dtype={"image": str, "path": str})
    return images[["image", "path"]]
