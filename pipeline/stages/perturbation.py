"""What evaluate stages share that take pixels away by a map's rank and ask the model again."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.config import PipelineConfig
from pipeline.graph import Stage, Task, WorkerTask
from pipeline.shards import Compute, run_shards
from pipeline.stages.attribute import map_reader, read_samples

if TYPE_CHECKING:  # torch is imported when the stage runs
    from torch import Tensor

    from pipeline.loaded_model import LoadedModel

Measure = Callable[["LoadedModel", pd.DataFrame, "Tensor", Path], pd.DataFrame]
"""(model, rows of some samples, their maps (n, side, side), the shard's folder) -> per-sample rows,
which begin with the columns NAMES."""


def perturbing_stage(
    config: PipelineConfig,
    metric: str,
    settings: dict[str, Any],
    shard: int,
    method: str,
    inputs: dict[str, Stage],
    run: Callable[[Task], None],
) -> Stage:
    """``shard``: samples; part of the key through the batches that it fills."""
    return Stage(
        name="evaluate",
        version=3,
        settings={"metric": metric, metric: settings, "shard": shard, "threads": config.threads},
        inputs=inputs,
        run=run,
        sources=(
            f"evaluation/{metric}.py",
            "evaluation/perturbation.py",
            "models/frozen_densenet.py",
        ),
        variant=f"{metric} {method}",
    )


def all_samples(task: WorkerTask) -> pd.DataFrame:
    return read_samples(task.inputs["select"])


def measure_shards(
    task: Task,
    shard: int,
    samples_of: Callable[[WorkerTask], pd.DataFrame],
    measure_of: Callable[[WorkerTask], Measure],
) -> None:
    """Writes every shard's ``samples.csv``; both callables are functions of a module."""
    total = len(samples_of(task))
    run_shards(task, total, shard, partial(_prepare, samples_of=samples_of, measure_of=measure_of))


def _prepare(
    task: WorkerTask,
    samples_of: Callable[[WorkerTask], pd.DataFrame],
    measure_of: Callable[[WorkerTask], Measure],
) -> Compute:
    import torch

    from pipeline.loaded_model import LoadedModel

    loaded, samples, measure = LoadedModel.of(task), samples_of(task), measure_of(task)
    maps_of = map_reader(task.inputs["maps"], task.config.attribution.shard_size)

    def compute(folder: Path, rows: slice) -> None:
        part = samples.iloc[rows]
        maps = maps_of(part["sample"].tolist())
        frame = measure(loaded, part, torch.from_numpy(maps), folder)
        frame.to_csv(folder / "samples.csv", index=False)

    return compute
