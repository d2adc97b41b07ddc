"""evaluate: Sensitivity-N. The model's output under random masks once, each method against it."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task, WorkerTask
from pipeline.shards import Compute, run_shards, shard_folders
from pipeline.stages.attribute import NAMES, map_reader, read_samples

_SHARD = 2  # samples; part of the key through the batches that it fills
_BATCH = 128  # samples whose maps are held at a time, in whole shards


def changes_stage(
    config: PipelineConfig, train: Stage, pack: Stage, select: Stage, model: str = ""
) -> Stage:
    """How far the output moves under each mask: no map is needed, so it serves all methods."""
    return Stage(
        name="evaluate",
        version=2,
        settings={
            "metric": "output_changes",
            "sensitivity_n": section(config.evaluation.sensitivity_n),
            "shard": _SHARD,
            "threads": config.threads,
        },
        inputs={"train": train, "pack": pack, "select": select},
        run=run_changes,
        sources=(
            "evaluation/sensitivity_n.py",
            "evaluation/perturbation.py",
            "models/frozen_densenet.py",
        ),
        variant=f"output_changes {model}".strip(),
    )


def stage(
    config: PipelineConfig, method: str, changes: Stage, select: Stage, maps: Stage, model: str = ""
) -> Stage:
    """``model`` names it on screen, and is empty for the one of Table 1."""
    return Stage(
        name="evaluate",
        version=2,
        settings={
            "metric": "sensitivity_n",
            "sensitivity_n": section(config.evaluation.sensitivity_n),
            "side": config.dataset.side,
        },
        inputs={"changes": changes, "select": select, "maps": maps},
        run=run,
        sources=("evaluation/sensitivity_n.py",),
        variant=f"sensitivity_n {method} {model}".strip(),
    )


def run_changes(task: Task) -> None:
    run_shards(task, len(_samples(task)), _SHARD, prepare_changes)


def prepare_changes(task: WorkerTask) -> Compute:
    from evaluation.sensitivity_n import output_changes
    from pipeline.loaded_model import LoadedModel

    config = task.config.evaluation.sensitivity_n
    loaded = LoadedModel.of(task)
    samples = _samples(task)

    def compute(folder: Path, rows: slice) -> None:
        part = samples.iloc[rows]
        changes = output_changes(
            loaded.probability, loaded.images(part), loaded.targets(part), config
        )
        np.save(folder / "changes.npy", changes)

    return compute


def run(task: Task) -> None:
    from evaluation.sensitivity_n import sensitivity_n, sensitivity_n_samples

    config = task.config.evaluation.sensitivity_n
    samples = _samples(task)
    shards = shard_folders(task.inputs["changes"])
    maps_of = map_reader(task.inputs["maps"], task.config.attribution.shard_size)
    correlations = []
    for start in range(0, len(samples), _BATCH):
        maps = maps_of(samples["sample"].iloc[start : start + _BATCH].tolist())
        asked = shards[start // _SHARD : -(-(start + len(maps)) // _SHARD)]
        changes = np.concatenate([np.load(shard / "changes.npy") for shard in asked])
        correlations.append(sensitivity_n(maps, changes, config))
        task.progress(start + len(maps), len(samples))
    named, side = samples[NAMES], task.config.dataset.side
    frame = sensitivity_n_samples(named, np.concatenate(correlations), config.points, side)
    frame.to_csv(task.folder / "samples.csv", index=False)


def _samples(task: WorkerTask) -> pd.DataFrame:
    from evaluation.sampling import first_turns

    config = task.config.evaluation.sensitivity_n
    return first_turns(read_samples(task.inputs["select"]), config.max_samples)
