"""evaluate: a lesion and its mirrored copy on one film; does a method's map hold both? (Fig. 1)"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from attribution.config import required_taps
from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task, WorkerTask
from pipeline.shards import Compute, run_shards
from pipeline.stages.attribute import NAMES, method_settings, read_samples

_SHARD = 4  # samples, one micro-batch; part of the key


def stage(
    config: PipelineConfig,
    method: str,
    phantoms: Stage,
    train: Stage,
    pack: Stage,
    select: Stage,
    statistics: dict[str, Stage],
) -> Stage:
    settings = section(config.evaluation.twins)
    del settings["methods"]
    return Stage(
        name="evaluate",
        version=2,
        settings={
            "metric": "twins",
            "twins": settings,
            "shard": _SHARD,
            **method_settings(config, method, config.attribution.score),
        },
        inputs={
            "phantoms": phantoms,
            "train": train,
            "pack": pack,
            "select": select,
            **{f"statistics_{tap}": stage for tap, stage in statistics.items()},
        },
        run=lambda task: run(task, method),
        sources=("attribution", "models/frozen_densenet.py", "data/phantom/counterfactual.py"),
        variant=f"twins {method}",
    )


def run(task: Task, method: str) -> None:
    run_shards(task, len(_samples(task)), _SHARD, partial(prepare, method=method))


def _samples(task: WorkerTask) -> pd.DataFrame:
    from evaluation.sampling import first_turns

    config = task.config.evaluation.twins
    samples = read_samples(task.inputs["select"])
    samples = samples[samples["finding"].isin(config.findings)]
    return first_turns(samples.assign(turn=samples["turn"].rank() - 1), config.max_samples)


def prepare(task: WorkerTask, method: str) -> Compute:
    import torch

    from attribution.base import SCORES
    from attribution.methods import build_method
    from data.packing import resize_and_crop, resize_mask
    from data.phantom.counterfactual import read_pair, twin_of
    from evaluation.localization_metrics import weaker_share
    from models.densenet import normalise
    from pipeline.loaded_model import LoadedModel
    from pipeline.stages.statistics import read_statistics

    attribution = task.config.attribution
    loaded = LoadedModel.of(task)
    side = task.config.dataset.side
    samples = _samples(task)
    explain = build_method(
        method, attribution, read_statistics(task, required_taps(method, attribution))
    )

    def compute(folder: Path, rows: slice) -> None:
        part = samples.iloc[rows]
        films, lesions, copies = [], [], []
        for image, finding in zip(part["image"], part["finding"], strict=True):
            pair = read_pair(task.inputs["phantoms"], image, finding)
            twin, copy = twin_of(pair)
            films.append(resize_and_crop(twin, side))
            lesions.append(resize_mask(pair.causal, side))
            copies.append(resize_mask(copy, side))
        result = explain(
            loaded.explained_by(method),
            normalise(torch.from_numpy(np.stack(films)).to(loaded.device)),
            loaded.targets(part),
            score=SCORES[attribution.score],
            seeds=part["seed"].tolist(),
        )
        shares = weaker_share(result.maps.numpy(), np.stack(lesions), np.stack(copies))
        named = part[NAMES]
        named.assign(truth="twins", metric="weaker_share", value=shares).to_csv(
            folder / "samples.csv", index=False
        )

    return compute
