"""evaluate: ROAD, the score while pixels are imputed away by their rank."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task, WorkerTask
from pipeline.stages.attribute import NAMES, read_samples
from pipeline.stages.perturbation import Measure, measure_shards, perturbing_stage

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.loaded_model import LoadedModel

_SHARD = 4


def stage(
    config: PipelineConfig, method: str, train: Stage, pack: Stage, select: Stage, maps: Stage
) -> Stage:
    settings = section(config.evaluation.road)
    del settings["methods"]
    inputs = {"train": train, "pack": pack, "select": select, "maps": maps}
    return perturbing_stage(config, "road", settings, _SHARD, method, inputs, run)


def run(task: Task) -> None:
    measure_shards(task, _SHARD, _samples, _measure)


def _samples(task: WorkerTask) -> pd.DataFrame:
    from evaluation.sampling import first_turns

    limit = task.config.evaluation.road.max_samples
    return first_turns(read_samples(task.inputs["select"]), limit)


def _measure(task: WorkerTask) -> Measure:
    from evaluation.road import road, road_samples

    config = task.config.evaluation.road

    def measure(
        loaded: "LoadedModel", part: pd.DataFrame, maps: "Tensor", folder: Path
    ) -> pd.DataFrame:
        images, targets = loaded.images(part), loaded.targets(part)
        seeds = part["seed"].tolist()
        morf, lerf = road(loaded.probability, images, targets, maps, seeds, config)
        return road_samples(part[NAMES], morf, lerf)

    return measure
