"""attribute: one method's maps on the selected samples, cut in shards."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attribution.config import MultilayerIBAConfig, Score
from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task, WorkerTask
from pipeline.shards import Compute, run_shards, shard_folders


def stage(
    config: PipelineConfig,
    method: str,
    model: str,
    train: Stage,
    pack: Stage,
    select: Stage,
    statistics: dict[str, Stage],
    score: Score | None = None,
) -> Stage:
    """``model`` names it on screen, and is empty for the one of Table 1. ``score`` stands for
    ``attribution.score``."""
    score = score or config.attribution.score
    return Stage(
        name="attribute",
        version=5,
        settings={
            **method_settings(config, method, score),
            "batch_size": config.attribution.batch_size,
            "shard_size": config.attribution.shard_size,
        },
        inputs={
            "train": train,
            "pack": pack,
            "select": select,
            **{f"statistics_{tap}": stage for tap, stage in statistics.items()},
        },
        run=lambda task: run(task, method, tuple(statistics), score),
        sources=("attribution", "models/densenet.py", "models/frozen_densenet.py"),
        variant=f"{method} {model}".strip(),
    )


def joined_stage(
    config: PipelineConfig, method: str, model: str, layers: dict[str, Stage]
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
        variant=f"{method} {model}".strip(),
    )


def method_settings(config: PipelineConfig, method: str, score: Score) -> dict[str, Any]:
    """What a method's maps depend on, beside model, films and samples."""
    attribution, settings = config.attribution, getattr(config.attribution, method)
    layers = settings.layers if isinstance(settings, MultilayerIBAConfig) else []
    return {
        "method": method,
        "settings": section(settings),
        **({"layers": {at: section(getattr(attribution, at)) for at in layers}} if layers else {}),
        "score": score.value,
        "threads": config.threads,
    }


def run(task: Task, method: str, taps: tuple[str, ...], score: Score) -> None:
    run_shards(
        task,
        len(read_samples(task.inputs["select"])),
        task.config.attribution.shard_size,
        partial(prepare, method=method, taps=taps, score=score),
    )


def prepare(task: WorkerTask, method: str, taps: tuple[str, ...], score: Score) -> Compute:
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
                score=SCORES[score],
                seeds=batch["seed"].tolist(),
            )
            maps.append(result.maps.numpy())
            values = {name: value.numpy() for name, value in result.diagnostics.items()}
            diagnostics.append(pd.DataFrame({"sample": batch["sample"].to_numpy(), **values}))
        np.save(folder / "maps.npy", np.concatenate(maps))
        pd.concat(diagnostics).to_csv(folder / "diagnostics.csv", index=False)

    return compute


def run_joined(task: Task, method: str, layers: tuple[str, ...]) -> None:
    number = len(shard_folders(task.inputs[f"maps_{layers[0]}"]))
    run_shards(task, number, 1, partial(prepare_joined, method=method, layers=layers))


def prepare_joined(task: WorkerTask, method: str, layers: tuple[str, ...]) -> Compute:
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

    return compute


NAMES = ["sample", "image", "patient", "finding"]
"""The columns of ``read_samples`` that every per-sample row begins with."""


def read_samples(folder: Path) -> pd.DataFrame:
    """The samples of a finished select stage."""
    return pd.read_csv(folder / "samples.csv", dtype={"image": str})


def map_shards(folder: Path) -> Iterator[np.ndarray]:
    """float32 maps (n, side, side) of a finished attribute stage, shard by shard, memory-mapped."""
    for shard in shard_folders(folder):
        yield np.load(shard / "maps.npy", mmap_mode="r")


def map_reader(folder: Path, shard_size: int) -> Callable[[Sequence[int]], np.ndarray]:
    """(samples (n,)) -> their float32 maps (n, side, side), of a finished attribute stage."""
    shards = shard_folders(folder)

    def read(samples: Sequence[int]) -> np.ndarray:
        return np.stack(
            [
                np.load(shards[sample // shard_size] / "maps.npy", mmap_mode="r")[
                    sample % shard_size
                ]
                for sample in samples
            ]
        )

    return read
