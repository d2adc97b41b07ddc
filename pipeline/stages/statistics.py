"""statistics: mean and deviation of a tap's feature map over train films."""

import numpy as np

from models.config import Loss
from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task


def stage(
    config: PipelineConfig, loss: Loss, tap: str, train: Stage, index: Stage, pack: Stage
) -> Stage:
    return Stage(
        name="statistics",
        version=1,
        settings={
            "tap": tap,
            "statistics": section(config.attribution.statistics),
            "seed": config.seed,
            "threads": config.threads,
        },
        inputs={"train": train, "index": index, "pack": pack},
        run=lambda task: run(task, tap),
        sources=("models/densenet.py", "attribution/statistics.py"),
        variant=f"{tap} {loss.value}",
    )


def run(task: Task, tap: str) -> None:
    from attribution.statistics import estimate_statistics
    from models.densenet import normalise
    from pipeline.films import film_batches, readable_images
    from pipeline.loaded_model import LoadedModel

    loaded = LoadedModel.of(task)
    settings = task.config.attribution.statistics
    images = readable_images(task.inputs["index"], loaded.films)
    train_names = images.loc[images["fold"] == "train", "image"].to_numpy()
    generator = np.random.default_rng(task.config.seed)
    names = generator.permutation(train_names)[: settings.num_images].tolist()
    if len(names) < settings.num_images:
        task.note(f"{len(names):,} train films, fewer than the {settings.num_images:,} asked for")
    batches = (
        normalise(batch)
        for batch in film_batches(loaded.films, names, settings.batch_size, loaded.device)
    )
    statistics = estimate_statistics(loaded.model, tap, batches, settings, progress=task.progress)
    statistics.save(task.folder / "statistics.safetensors")
