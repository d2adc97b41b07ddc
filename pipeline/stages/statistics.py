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
    from data.packing import PackedFilms
    from models.checkpoints import load_checkpoint
    from models.densenet import normalise
    from pipeline.films import film_batches, readable_images
    from pipeline.torch_runtime import start_torch

    device = start_torch(task.config)
    settings = task.config.attribution.statistics
    model, _ = load_checkpoint(task.inputs["train"] / "model.safetensors")
    model.to(device).eval()
    films = PackedFilms(task.inputs["pack"])
    images = readable_images(task.inputs["index"], films)
    train_names = images.loc[images["fold"] == "train", "image"].to_numpy()
    generator = np.random.default_rng(task.config.seed)
    names = generator.permutation(train_names)[: settings.num_images].tolist()
    if len(names) < settings.num_images:
        task.note(f"{len(names):,} train films, fewer than the {settings.num_images:,} asked for")
    batches = (
        normalise(batch) for batch in film_batches(films, names, settings.batch_size, device)
    )
    statistics = estimate_statistics(model, tap, batches, settings, progress=task.progress)
    statistics.save(task.folder / "statistics.safetensors")
