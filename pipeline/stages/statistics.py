"""statistics: mean and deviation of a tap's feature map over train films."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.config import PipelineConfig, section
from pipeline.graph import Progress, Stage, Task, WorkerTask

if TYPE_CHECKING:  # torch is imported when the stage runs
    from attribution.statistics import FeatureStatistics
    from pipeline.loaded_model import LoadedModel


def stage(
    config: PipelineConfig, model: str, tap: str, train: Stage, index: Stage, pack: Stage
) -> Stage:
    return Stage(
        name="statistics",
        version=2,
        settings={
            "tap": tap,
            "statistics": section(config.attribution.statistics),
            "seed": config.seed,
            "threads": config.threads,
        },
        inputs={"train": train, "index": index, "pack": pack},
        run=lambda task: run(task, tap),
        sources=("models/densenet.py", "models/frozen_densenet.py", "attribution/statistics.py"),
        variant=f"{tap} {model}",
    )


def run(task: Task, tap: str) -> None:
    from pipeline.loaded_model import LoadedModel

    loaded = LoadedModel.of(task)
    wanted = task.config.attribution.statistics.num_images
    statistics = train_statistics(task, loaded, tap, wanted, task.progress)
    if statistics.num_images < wanted:
        task.note(f"{statistics.num_images:,} train films, fewer than the {wanted:,} asked for")
    statistics.save(task.folder / "statistics.safetensors")


def read_statistics(task: WorkerTask, taps: Iterable[str]) -> "dict[str, FeatureStatistics]":
    """Those of the task's ``statistics_<tap>`` inputs."""
    from attribution.statistics import FeatureStatistics

    return {
        tap: FeatureStatistics.load(task.inputs[f"statistics_{tap}"] / "statistics.safetensors")
        for tap in taps
    }


def train_statistics(
    task: WorkerTask,
    loaded: "LoadedModel",
    tap: str,
    num_images: int,
    progress: Progress | None = None,
) -> "FeatureStatistics":
    """Statistics over the first films of the train fold in a seeded order."""
    from attribution.statistics import estimate_statistics
    from models.densenet import normalise
    from pipeline.films import film_batches, readable_images

    settings = replace(task.config.attribution.statistics, num_images=num_images)
    images = readable_images(task.inputs["index"], loaded.films)
    train_names = images.loc[images["fold"] == "train", "image"].to_numpy()
    generator = np.random.default_rng(task.config.seed)
    names = generator.permutation(train_names)[:num_images].tolist()
    batches = (
        normalise(batch)
        for batch in film_batches(loaded.films, names, settings.batch_size, loaded.device)
    )
    return estimate_statistics(loaded.frozen, tap, batches, settings, progress=progress)
