"""evaluate: does a method's map change with the model and the film, and not with noise?"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from attribution.config import required_taps
from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task, WorkerTask
from pipeline.shards import Compute, run_shards
from pipeline.stages.attribute import NAMES, map_reader, method_settings, read_samples
from pipeline.stages.statistics import train_statistics

_SHARD = 4  # samples; part of the key through the batches that it fills


def stage(
    config: PipelineConfig,
    method: str,
    train: Stage,
    index: Stage,
    pack: Stage,
    select: Stage,
    maps: Stage,
) -> Stage:
    settings = section(config.evaluation.sanity)
    del settings["methods"]
    return Stage(
        name="evaluate",
        version=4,
        settings={
            "metric": "sanity",
            "sanity": settings,
            "shard": _SHARD,
            "seed": config.seed,
            "statistics": section(config.attribution.statistics),
            **method_settings(config, method, config.attribution.score),
        },
        inputs={"train": train, "index": index, "pack": pack, "select": select, "maps": maps},
        run=lambda task: run(task, method),
        sources=(
            "evaluation/sanity.py",
            "attribution",
            "models/densenet.py",
            "models/frozen_densenet.py",
        ),
        variant=f"sanity {method}",
    )


def run(task: Task, method: str) -> None:
    from evaluation.sanity import input_independence

    samples = read_samples(task.inputs["select"])
    run_shards(task, len(_first_turns(task, samples)), _SHARD, partial(prepare, method=method))
    shard_size = task.config.attribution.shard_size
    read, numbers = map_reader(task.inputs["maps"], shard_size), samples["sample"].to_numpy()
    alike = input_independence(
        lambda rows: read(numbers[rows].tolist()), samples["target"], samples["patient"]
    )
    named = samples[NAMES]
    named.assign(metric="input_independence", value=alike).to_csv(
        task.folder / "input_independence.csv", index=False
    )


def _first_turns(task: WorkerTask, samples: pd.DataFrame) -> pd.DataFrame:
    from evaluation.sampling import first_turns

    return first_turns(samples, task.config.evaluation.sanity.max_samples)


def prepare(task: WorkerTask, method: str) -> Compute:
    from attribution.base import SCORES
    from attribution.methods import build_method
    from evaluation.sanity import cascading_randomisation, noise_sensitivity
    from pipeline.loaded_model import LoadedModel

    attribution, config = task.config.attribution, task.config.evaluation.sanity
    loaded = LoadedModel.of(task)
    samples = _first_turns(task, read_samples(task.inputs["select"]))

    def compute(folder: Path, rows: slice) -> None:
        part = samples.iloc[rows]
        seeds = part["seed"].tolist()
        images, targets = loaded.images(part), loaded.targets(part)

        def explainer(model: Any) -> Any:
            of_model = replace(loaded, model=model)
            statistics = {
                tap: train_statistics(task, of_model, tap, config.statistics_images)
                for tap in required_taps(method, attribution)
            }
            explain = build_method(method, attribution, statistics)
            score = SCORES[attribution.score]
            explained = of_model.explained_by(method)
            return lambda model, images, targets: explain(
                explained, images, targets, score=score, seeds=seeds
            ).maps.numpy()

        # A randomised model has other features, so a bottleneck takes their statistics anew.
        layers = cascading_randomisation(
            loaded.model,
            lambda model, images, targets: explainer(model)(model, images, targets),
            images,
            targets,
            config,
        )
        noise = noise_sensitivity(
            loaded.model, explainer(loaded.model), images, targets, seeds, config
        )
        noise.insert(0, "row", range(len(noise)))
        cascade = layers.melt(id_vars=["row", "layer"], value_vars=["ssim", "spearman"])
        cascade["metric"] = cascade["variable"] + "_" + cascade["layer"].str.split(".").str[-1]
        moved = noise.melt(id_vars="row", var_name="metric")
        long = pd.concat([cascade[["row", "metric", "value"]], moved], ignore_index=True)
        named = part[NAMES].reset_index(drop=True)
        frame = named.loc[long["row"]].reset_index(drop=True)
        frame.assign(metric=long["metric"], value=long["value"]).to_csv(
            folder / "samples.csv", index=False
        )

    return compute
