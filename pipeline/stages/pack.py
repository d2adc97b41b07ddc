"""pack: every film decoded once, at the size that the network sees."""

import pandas as pd

from pipeline.config import PipelineConfig, available_cores
from pipeline.graph import RawFolder, Stage, Task


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
    from data.packing import pack

    data = task.config.dataset
    images = pd.read_csv(task.inputs["index"] / "images.csv", dtype={"image": str, "path": str})
    pack(
        images[["image", "path"]],
        task.inputs["films"],
        task.folder,
        data.side,
        data.pack_shard,
        available_cores(),
        task.progress,
    )
    unreadable = len(pd.read_csv(task.folder / "problems.csv"))
    if unreadable:
        task.note(f"{unreadable:,} of {len(images):,} films cannot be read; see problems.csv")
