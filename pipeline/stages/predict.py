"""predict: a model's outputs on the test fold, a classifier's logits."""

from pathlib import Path

import numpy as np

from pipeline.config import PipelineConfig
from pipeline.graph import Stage, Task, WorkerTask
from pipeline.shards import Compute, run_shards, shard_folders

# Part of every shard's definition: torch gives other last bits for other batches.
_SHARD = 1024
_BATCH = 32


def stage(config: PipelineConfig, model: str, train: Stage, index: Stage, pack: Stage) -> Stage:
    """``model`` names it on screen."""
    return Stage(
        name="predict",
        version=2,
        settings={"shard": _SHARD, "batch": _BATCH, "threads": config.threads},
        inputs={"train": train, "index": index, "pack": pack},
        run=run,
        sources=("models/densenet.py", "models/frozen_densenet.py", "models/prediction.py"),
        variant=model,
    )


def run(task: Task) -> None:
    names = _names(task)
    if not names:
        raise ValueError("no film of the test fold is present: nothing to predict on")
    run_shards(task, len(names), _SHARD, prepare)
    (task.folder / "images.txt").write_text("\n".join(names), encoding="utf-8")


def prepare(task: WorkerTask) -> Compute:
    from models.prediction import predict
    from pipeline.films import film_batches
    from pipeline.loaded_model import LoadedModel

    loaded = LoadedModel.of(task)
    names = _names(task)

    def compute(folder: Path, rows: slice) -> None:
        batches = film_batches(loaded.films, names[rows], _BATCH, loaded.device)
        logits = predict(loaded.frozen, batches, loaded.device)
        np.save(folder / "logits.npy", logits)

    return compute


def _names(task: WorkerTask) -> list[str]:
    from data.packing import PackedFilms
    from pipeline.films import readable_images

    images = readable_images(task.inputs["index"], PackedFilms(task.inputs["pack"]))
    return images.loc[images["fold"] == "test", "image"].tolist()


def read_logits(folder: Path) -> tuple[list[str], np.ndarray]:
    """Image names and float32 logits (N, C) of a finished predict stage."""
    names = (folder / "images.txt").read_text(encoding="utf-8").split("\n")
    shards = [np.load(shard / "logits.npy") for shard in shard_folders(folder)]
    return names, np.concatenate(shards)
