"""attribute: one method's maps on the selected samples, cut in shards."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.config import Loss
from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.shards import run_shards, shard_folders


def stage(
    config: PipelineConfig,
    method: str,
    loss: Loss,
    train: Stage,
    pack: Stage,
    select: Stage,
    statistics: dict[str, Stage],
) -> Stage:
    return Stage(
        name="attribute",
        version=3,
        settings={
            **method_settings(config, method),
            "batch_size": config.attribution.batch_size,
            "shard_size": config.attribution.shard_size,
        },
        inputs={
            "train": train,
            "pack": pack,
            "select": select,
            **{f"statistics_{tap}": stage for tap, stage in statistics.items()},
        },
        run=lambda task: run(task, method, tuple(statistics)),
        sources=("attribution", "models/densenet.py", "models/frozen_densenet.py"),
        variant=_variant(config, method, loss),
    )


def joined_stage(
    config: PipelineConfig, method: str, loss: Loss, layers: dict[str, Stage]
) -> Stage:
    """Multi-layer IBA out of what its layers' stages made: nothing is fitted twice."""
    return Stage(
        name="attribute",
        version=2,
        settings={
            "method": method,
            "settings": section(getattr(config.attribution, method)),
            "layers": list(layers),
        },
        inputs={f"maps_{layer}": stage for layer, stage in layers.items()},
        run=lambda task: run_joined(task, method, tuple(layers)),
        sources=("attribution/multilayer_iba.py",),
        variant=_variant(config, method, loss),
    )


def _variant(config: PipelineConfig, method: str, loss: Loss) -> str:
    return method if loss is config.train.primary else f"{method} {loss.value}"


def method_settings(config: PipelineConfig, method: str) -> dict[str, Any]:
    """What a method's maps depend on, beside model, films and samples."""
    attribution = config.attribution
    return {
        "method": method,
        "settings": section(getattr(attribution, method)),
        "score": attribution.score.value,
        "threads": config.threads,
    }


def run(task: Task, method: str, taps: tuple[str, ...]) -> None:
    from attribution.base import SCORES
    from attribution.methods import build_method
    from pipeline.loaded_model import LoadedModel
    from pipeline.stages.statistics import read_statistics

    config = task.config.attribution
    loaded = LoadedModel.of(task)
    samples = read_samples(task.inputs["select"])
    explain = build_method(method, config, read_statistics(task, taps))

    def compute(folder: Path, rows: slice) -> None:
        maps, diagnostics = [], []
        for start in range(rows.start, rows.stop, config.batch_size):
            batch = samples.iloc[start : min(start + config.batch_size, rows.stop)]
            result = explain(
                loaded.explained_by(method),
                loaded.images(batch),
                loaded.targets(batch),
                score=SCORES[config.score],
                seeds=batch["seed"].tolist(),
            )
            maps.append(result.maps.numpy())
            values = {name: value.numpy() for name, value in result.diagnostics.items()}
            diagnostics.append(pd.DataFrame({"sample": batch["sample"].to_numpy(), **values}))
        np.save(folder / "maps.npy", np.concatenate(maps))
        pd.concat(diagnostics).to_csv(folder / "diagnostics.csv", index=False)

    run_shards(task.folder, len(samples), config.shard_size, compute, task.progress)


def run_joined(task: Task, method: str, layers: tuple[str, ...]) -> None:
    import torch

    from attribution.base import Attribution
    from attribution.multilayer_iba import join_layers

    settings = getattr(task.config.attribution, method)
    shards = [shard_folders(task.inputs[f"maps_{layer}"]) for layer in layers]

    def compute(folder: Path, rows: slice) -> None:
        parts = {}
        for layer, of_layer in zip(layers, shards, strict=True):
            shard = of_layer[rows.start]
            frame = pd.read_csv(shard / "diagnostics.csv")
            numbers = frame.drop(columns="sample").to_numpy(np.float32)
            parts[getattr(task.config.attribution, layer).tap] = Attribution(
                torch.from_numpy(np.load(shard / "maps.npy")),
                dict(zip(frame.columns[1:], torch.from_numpy(numbers.T.copy()), strict=True)),
            )
        joint = join_layers(parts, settings)
        np.save(folder / "maps.npy", joint.maps.numpy())
        values = {name: value.numpy() for name, value in joint.diagnostics.items()}
        pd.DataFrame({"sample": frame["sample"], **values}).to_csv(
            folder / "diagnostics.csv", index=False
        )

    run_shards(task.folder, len(shards[0]), 1, compute, task.progress)


def read_samples(folder: Path) -> pd.DataFrame:
    """The samples of a finished select stage."""
    return pd.read_csv(folder / "samples.csv", dtype={"image": str})


def map_shards(folder: Path) -> Iterator[np.ndarray]:
    """float32 maps (n, side, side) of a finished attribute stage, shard by shard, memory-mapped."""
    for shard in shard_folders(folder):
        yield np.load(shard / "maps.npy", mmap_mode="r")


def read_maps(folder: Path, samples: list[int], shard_size: int) -> np.ndarray:
    """float32 maps (n, side, side) of single samples."""
    shards = shard_folders(folder)
    return np.stack(
        [
            np.load(shards[sample // shard_size] / "maps.npy", mmap_mode="r")[sample % shard_size]
            for sample in samples
        ]
    )
