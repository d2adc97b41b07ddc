"""evaluate: insertion and deletion curves of one method's maps."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
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
    config: PipelineConfig,
    method: str,
    train: Stage,
    pack: Stage,
    select: Stage,
    maps: Stage,
    model: str = "",
) -> Stage:
    """``model`` names it on screen, and is empty for the one of Table 1."""
    settings = section(config.evaluation.insertion_deletion)
    inputs = {"train": train, "pack": pack, "select": select, "maps": maps}
    return perturbing_stage(
        config, "insertion_deletion", settings, _SHARD, f"{method} {model}".strip(), inputs, run
    )


def run(task: Task) -> None:
    measure_shards(task, _SHARD, _samples, _measure)


def _samples(task: WorkerTask) -> pd.DataFrame:
    from evaluation.sampling import first_turns

    limit = task.config.evaluation.insertion_deletion.max_samples
    return first_turns(read_samples(task.inputs["select"]), limit)


def _measure(task: WorkerTask) -> Measure:
    from evaluation.insertion_deletion import insertion_deletion, insertion_deletion_samples

    config = task.config.evaluation.insertion_deletion

    def measure(
        loaded: "LoadedModel", part: pd.DataFrame, maps: "Tensor", folder: Path
    ) -> pd.DataFrame:
        images, targets = loaded.images(part), loaded.targets(part)
        frames = []
        for baseline in config.baselines:
            curves = insertion_deletion(loaded.probability, images, targets, maps, baseline, config)
            for game in ("insertion", "deletion"):
                np.save(folder / f"{game}_{baseline.value}.npy", getattr(curves, game))
            named = part[NAMES].assign(baseline=baseline.value)
            frames.append(insertion_deletion_samples(named, curves, config, loaded.films.side))
        return pd.concat(frames)

    return measure
