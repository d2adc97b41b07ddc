"""evaluate: how far the output falls when each map takes away the same number of pixels."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task, WorkerTask
from pipeline.stages.attribute import NAMES
from pipeline.stages.perturbation import Measure, all_samples, measure_shards, perturbing_stage

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.loaded_model import LoadedModel

_SHARD = 16


def stage(
    config: PipelineConfig, method: str, train: Stage, pack: Stage, select: Stage, maps: Stage
) -> Stage:
    settings = section(config.evaluation.equal_area)
    inputs = {"train": train, "pack": pack, "select": select, "maps": maps}
    return perturbing_stage(config, "equal_area", settings, _SHARD, method, inputs, run)


def run(task: Task) -> None:
    measure_shards(task, _SHARD, all_samples, _measure)


def _measure(task: WorkerTask) -> Measure:
    from evaluation.equal_area import equal_area_changes, equal_area_samples

    config = task.config.evaluation.equal_area

    def measure(
        loaded: "LoadedModel", part: pd.DataFrame, maps: "Tensor", folder: Path
    ) -> pd.DataFrame:
        images, targets = loaded.images(part), loaded.targets(part)
        changes = equal_area_changes(loaded.probability, images, targets, maps, config)
        return equal_area_samples(part[NAMES], changes, config)

    return measure
