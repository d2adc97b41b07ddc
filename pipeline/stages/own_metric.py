"""evaluate: a metric that a user's own file added, on one method's maps."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from evaluation.own_metrics import OWN_METRICS
from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task, WorkerTask
from pipeline.stages.attribute import NAMES
from pipeline.stages.perturbation import Measure, all_samples, measure_shards

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.loaded_model import LoadedModel

_SHARD = 16


def stage(
    config: PipelineConfig,
    metric: str,
    method: str,
    train: Stage,
    pack: Stage,
    select: Stage,
    maps: Stage,
) -> Stage:
    return Stage(
        name="evaluate",
        version=1,
        settings={
            "metric": f"own {metric}",
            "own": section(OWN_METRICS[metric].settings),
            "shard": _SHARD,
            "threads": config.threads,
        },
        inputs={"train": train, "pack": pack, "select": select, "maps": maps},
        run=lambda task: run(task, metric),
        sources=("evaluation/own_metrics.py",),
        variant=f"{metric} {method}",
    )


def run(task: Task, metric: str) -> None:
    measure_shards(task, _SHARD, all_samples, partial(_measure, metric=metric))


def _measure(task: WorkerTask, metric: str) -> Measure:
    own = OWN_METRICS[metric]

    def measure(
        loaded: "LoadedModel", part: pd.DataFrame, maps: "Tensor", folder: Path
    ) -> pd.DataFrame:
        images, targets = loaded.images(part), loaded.targets(part)
        values = own.measure(loaded.probability, images, targets, maps, own.settings)
        return part[NAMES].assign(**values).melt(id_vars=NAMES, var_name="metric")

    return measure
