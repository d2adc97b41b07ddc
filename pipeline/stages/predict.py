"""predict: the classifier's logits on the test fold."""

from pathlib import Path

import numpy as np

from models.config import Loss
from pipeline.config import PipelineConfig
from pipeline.graph import Stage, Task
from pipeline.shards import run_shards, shard_folders

# Part of every shard's definition: torch gives other last bits for other batches.
_SHARD = 1024
_BATCH = 32


def stage(config: PipelineConfig, loss: Loss, train: Stage, index: Stage, pack: Stage) -> Stage:
    return Stage(
        name="predict",
        version=2,
        settings={"shard": _SHARD, "batch": _BATCH, "threads": config.threads},
        inputs={"train": train, "index": index, "pack": pack},
        run=run,
        sources=("models/densenet.py", "models/frozen_densenet.py", "models/prediction.py"),
        variant=loss.value,
    )


def run(task: Task) -> None:
    from models.prediction import predict
    from pipeline.films import film_batches, readable_images
    from pipeline.loaded_model import LoadedModel

    loaded = LoadedModel.of(task)
    films = loaded.films
    images = readable_images(task.inputs["index"], films)
    names = images.loc[images["fold"] == "test", "image"].tolist()
    if not names:
        raise ValueError("no film of the test fold is present: nothing to predict on")

    def compute(folder: Path, rows: slice) -> None:
        batches = film_batches(films, names[rows], _BATCH, loaded.device)
        logits = predict(loaded.frozen, batches, loaded.device)
        np.save(folder / "logits.npy", logits)

    run_shards(task.folder, len(names), _SHARD, compute, task.progress)
    (task.folder / "images.txt").write_text("\n".join(names), encoding="utf-8")


def read_logits(folder: Path) -> tuple[list[str], np.ndarray]:
    """Image names and float32 logits (N, C) of a finished predict stage."""
    names = (folder / "images.txt").read_text(encoding="utf-8").split("\n")
    shards = [np.load(shard / "logits.npy") for shard in shard_folders(folder)]
    return names, np.concatenate(shards)
