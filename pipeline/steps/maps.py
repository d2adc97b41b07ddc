"""Maps: feature statistics at the taps, and a method's maps of the samples, cut in shards."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from attribution.config import StatisticsConfig
from pipeline.shards import Compute, run_shards, shard_folders
from pipeline.step import Inputs, Progress, Source, Step, Work
from pipeline.steps.explainer import Explainer
from pipeline.steps.samples import read_samples

if TYPE_CHECKING:  # torch is imported when a step runs
    from attribution.base import Attribution
    from attribution.statistics import FeatureStatistics
    from pipeline.steps.loaded_model import LoadedModel

STATISTICS = "{tap}.safetensors"


@dataclass(frozen=True)
class Statistics(Step):
    """Mean and deviation of the feature maps at a model's taps over train films, in one pass."""

    version: ClassVar = 4
    code: ClassVar = (
        "models/densenet.py",
        "models/frozen_densenet.py",
        "attribution/statistics.py",
    )
    model: Source
    index: Source
    pack: Source
    taps: tuple[str, ...]
    config: StatisticsConfig
    seed: int
    threads: int

    def run(self, work: Work) -> None:
        from pipeline.steps.loaded_model import LoadedModel

        loaded = LoadedModel.load(work[self.model], work[self.pack], work.machine, self.threads)
        found = train_statistics(
            work[self.index], loaded, self.taps, self.config, self.seed, work.progress
        )
        used, asked = found[self.taps[0]].num_images, self.config.num_images
        if used < asked:
            work.note(f"{used:,} train films, fewer than the {asked:,} asked for")
        for tap, statistics in found.items():
            statistics.save(work.folder / STATISTICS.format(tap=tap))


def read_statistics(
    inputs: Inputs, statistics: Mapping[str, Source]
) -> "dict[str, FeatureStatistics]":
    """Those of a step's ``statistics``, by tap."""
    from attribution.statistics import FeatureStatistics

    return {
        tap: FeatureStatistics.load(inputs[source] / STATISTICS.format(tap=tap))
        for tap, source in statistics.items()
    }


def train_statistics(
    index: Path,
    loaded: "LoadedModel",
    taps: Sequence[str],
    config: StatisticsConfig,
    seed: int,
    progress: Progress | None = None,
) -> "dict[str, FeatureStatistics]":
    """Statistics by tap over the first films of the train fold of ``index`` in a seeded order."""
    from attribution.statistics import statistics_at_taps
    from models.densenet import normalise
    from pipeline.steps.packed_films import film_batches, readable_images

    images = readable_images(index, loaded.films)
    train_names = images.loc[images["fold"] == "train", "image"].to_numpy()
    generator = np.random.default_rng(seed)
    names = generator.permutation(train_names)[: config.num_images].tolist()
    batches = (
        normalise(batch)
        for batch in film_batches(loaded.films, names, config.batch_size, loaded.device)
    )
    return statistics_at_taps(loaded.frozen, taps, batches, config, progress=progress)


@dataclass(frozen=True)
class Maps(Step):
    """One method's maps of the samples. ``statistics``: by tap."""

    version: ClassVar = 7
    code: ClassVar = (
        "attribution",
        "models/bfloat16.py",
        "models/densenet.py",
        "models/frozen_densenet.py",
    )
    model: Source
    pack: Source
    samples: Source
    explainer: Explainer
    statistics: Mapping[str, Source]
    batch_size: int
    shard_size: int
    threads: int

    def run(self, work: Work) -> None:
        run_shards(work, len(read_samples(work[self.samples])), self.shard_size, self.prepare)

    def prepare(self, inputs: Inputs) -> Compute:
        from pipeline.steps.loaded_model import LoadedModel

        loaded = LoadedModel.load(
            inputs[self.model],
            inputs[self.pack],
            inputs.machine,
            self.threads,
            self.explainer.precision,
        )
        samples = read_samples(inputs[self.samples])
        explain = self.explainer.found(inputs).build(read_statistics(inputs, self.statistics))
        score = self.explainer.score_function

        def compute(folder: Path, rows: slice) -> None:
            maps, diagnostics = [], []
            for start in range(rows.start, rows.stop, self.batch_size):
                batch = samples.iloc[start : min(start + self.batch_size, rows.stop)]
                result = explain(
                    loaded.explained_by(self.explainer.method),
                    loaded.images(batch),
                    loaded.targets(batch),
                    score=score,
                    seeds=batch["seed"].tolist(),
                )
                maps.append(result.maps.numpy())
                diagnostics.append(_diagnostics(batch["sample"], result))
            np.save(folder / "maps.npy", np.concatenate(maps))
            pd.concat(diagnostics).to_csv(folder / "diagnostics.csv", index=False)

        return compute


@dataclass(frozen=True)
class JoinedMaps(Step):
    """Multi-layer IBA out of the maps of its layers, by name: nothing is fitted twice."""

    version: ClassVar = 3
    code: ClassVar = ("attribution/multilayer_iba.py",)
    explainer: Explainer
    layers: Mapping[str, Source]

    @property
    def name(self) -> str:
        return "maps"

    def run(self, work: Work) -> None:
        first = next(iter(self.layers.values()))
        run_shards(work, len(shard_folders(work[first])), 1, self.prepare)

    def prepare(self, inputs: Inputs) -> Compute:
        import torch

        from attribution.base import Attribution
        from attribution.multilayer_iba import join_layers

        shards = {layer: shard_folders(inputs[source]) for layer, source in self.layers.items()}

        def compute(folder: Path, rows: slice) -> None:
            parts = {}
            for layer, folders in shards.items():
                shard = folders[rows.start]
                frame = pd.read_csv(shard / "diagnostics.csv")
                numbers = frame.drop(columns="sample").to_numpy(np.float32)
                parts[self.explainer.layers[layer].tap] = Attribution(
                    torch.from_numpy(np.load(shard / "maps.npy")),
                    dict(zip(frame.columns[1:], torch.from_numpy(numbers.T.copy()), strict=True)),
                )
            joint = join_layers(parts, self.explainer.settings)
            np.save(folder / "maps.npy", joint.maps.numpy())
            _diagnostics(frame["sample"], joint).to_csv(folder / "diagnostics.csv", index=False)

        return compute


def map_shards(folder: Path) -> Iterator[np.ndarray]:
    """float32 maps (n, side, side) of a finished step, shard by shard, memory-mapped."""
    for shard in shard_folders(folder):
        yield np.load(shard / "maps.npy", mmap_mode="r")


def map_reader(folder: Path) -> Callable[[Sequence[int]], np.ndarray]:
    """(sample numbers (n,)) -> their float32 maps (n, side, side), of a finished step."""
    files = [shard / "maps.npy" for shard in shard_folders(folder)]
    size = len(np.load(files[0], mmap_mode="r"))  # all shards but the last are as long

    def read(samples: Sequence[int]) -> np.ndarray:
        return np.stack([np.load(files[n // size], mmap_mode="r")[n % size] for n in samples])

    return read


def _diagnostics(samples: pd.Series, result: "Attribution") -> pd.DataFrame:
    values = {name: value.numpy() for name, value in result.diagnostics.items()}
    return pd.DataFrame({"sample": samples.to_numpy(), **values})
