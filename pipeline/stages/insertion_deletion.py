"""evaluate: insertion and deletion curves of one method's maps."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.shards import run_shards
from pipeline.stages.attribute import read_maps, read_samples

_SHARD = 4  # samples; part of the key through the batches that it fills


def stage(
    config: PipelineConfig, method: str, train: Stage, pack: Stage, select: Stage, maps: Stage
) -> Stage:
    return Stage(
        name="evaluate",
        version=1,
        settings={
            "metric": "insertion_deletion",
            "insertion_deletion": section(config.evaluation.insertion_deletion),
            "shard": _SHARD,
            "threads": config.threads,
        },
        inputs={"train": train, "pack": pack, "select": select, "maps": maps},
        run=run,
        sources=("evaluation/insertion_deletion.py", "evaluation/perturbation.py"),
        variant=f"insertion_deletion {method}",
    )


def run(task: Task) -> None:
    import torch

    from evaluation.insertion_deletion import insertion_deletion, insertion_deletion_samples
    from evaluation.sampling import first_turns
    from pipeline.loaded_model import LoadedModel

    config = task.config.evaluation.insertion_deletion
    loaded = LoadedModel.of(task)
    samples = first_turns(read_samples(task.inputs["select"]), config.max_samples)
    shard_size = task.config.attribution.shard_size

    def compute(folder: Path, rows: slice) -> None:
        part = samples.iloc[rows]
        maps = read_maps(task.inputs["maps"], part["sample"].tolist(), shard_size)
        images, targets = loaded.images(part), loaded.targets(part)
        frames = []
        for baseline in config.baselines:
            curves = insertion_deletion(
                loaded.probability, images, targets, torch.from_numpy(maps), baseline, config
            )
            for game in ("insertion", "deletion"):
                np.save(folder / f"{game}_{baseline.value}.npy", getattr(curves, game))
            named = part[["sample", "image", "patient", "finding"]].assign(baseline=baseline.value)
            frames.append(insertion_deletion_samples(named, curves, config, loaded.films.side))
        pd.concat(frames).to_csv(folder / "samples.csv", index=False)

    run_shards(task.folder, len(samples), _SHARD, compute, task.progress)
