"""Sanity: does a method's map change with the model and the film, and not with noise?"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from attribution.config import StatisticsConfig
from evaluation.config import SanityConfig
from pipeline.shards import Compute, run_shards
from pipeline.step import Inputs, Source, Step, Work
from pipeline.steps.explainer import Explainer
from pipeline.steps.maps import map_reader, train_statistics
from pipeline.steps.samples import NAMES, read_samples

if TYPE_CHECKING:  # torch is imported when a step runs
    from evaluation.sanity import Explain
    from pipeline.steps.loaded_model import LoadedModel


@dataclass(frozen=True)
class Sanity(Step):
    """Likeness of one method's maps to those of randomised models, of noisy films and of other
    films."""

    version: ClassVar = 6
    code: ClassVar = (
        "evaluation/sanity.py",
        "attribution",
        "models/bfloat16.py",
        "models/densenet.py",
        "models/frozen_densenet.py",
    )
    model: Source
    train_index: Source
    train_pack: Source
    pack: Source
    samples: Source
    maps: Source
    explainer: Explainer
    config: SanityConfig
    statistics: StatisticsConfig
    seed: int
    threads: int
    shard: int = 4  # samples; it decides last bits through the batches that it fills

    def run(self, work: Work) -> None:
        from evaluation.sanity import input_independence

        samples = read_samples(work[self.samples])
        run_shards(work, len(self._measured(samples)), self.shard, self.prepare)
        read, numbers = map_reader(work[self.maps]), samples["sample"].to_numpy()
        likeness = input_independence(
            lambda rows: read(numbers[rows].tolist()), samples["target"], samples["patient"]
        )
        samples[NAMES].assign(metric="input_independence", value=likeness).to_csv(
            work.folder / "input_independence.csv", index=False
        )

    def prepare(self, inputs: Inputs) -> Compute:
        from data.packing import PackedFilms
        from evaluation.sanity import cascading_randomisation, noise_sensitivity
        from pipeline.steps.loaded_model import LoadedModel

        loaded = LoadedModel.load(
            inputs[self.model],
            inputs[self.pack],
            inputs.machine,
            self.threads,
            self.explainer.precision,
        )
        samples = self._measured(read_samples(inputs[self.samples]))
        learnt = replace(loaded, films=PackedFilms(inputs[self.train_pack]))

        def compute(folder: Path, rows: slice) -> None:
            part = samples.iloc[rows]
            seeds = part["seed"].tolist()
            images, targets = loaded.images(part), loaded.targets(part)

            def explain(model: Any) -> "Explain":
                randomised = replace(learnt, model=model)
                return self._explain(inputs, randomised, seeds)

            layers = cascading_randomisation(
                loaded.model,
                lambda model, images, targets: explain(model)(model, images, targets),
                images,
                targets,
                self.config,
            )
            noise = noise_sensitivity(
                loaded.model, explain(loaded.model), images, targets, seeds, self.config
            )
            frame = _named(part[NAMES], layers, noise)
            frame.to_csv(folder / "samples.csv", index=False)

        return compute

    def _explain(self, inputs: Inputs, loaded: "LoadedModel", seeds: list[int]) -> "Explain":
        """Of one model. A randomised one has other features, so a bottleneck takes their statistics
        anew, and the trained model's beta: nothing is there to keep or to lose."""
        config = replace(self.statistics, num_images=self.config.statistics_images)
        index, taps = inputs[self.train_index], self.explainer.taps
        statistics = train_statistics(index, loaded, taps, config, self.seed) if taps else {}
        explain = self.explainer.found(inputs).build(statistics)
        score = self.explainer.score_function
        explained = loaded.explained_by(self.explainer.method)
        return lambda model, images, targets: explain(
            explained, images, targets, score=score, seeds=seeds
        ).maps.numpy()

    def _measured(self, samples: pd.DataFrame) -> pd.DataFrame:
        from evaluation.sampling import first_turns

        return first_turns(samples, self.config.max_samples)


def _named(names: pd.DataFrame, layers: pd.DataFrame, noise: pd.DataFrame) -> pd.DataFrame:
    """Long rows of both frames: NAMES, metric, value."""
    noise.insert(0, "row", range(len(noise)))
    cascade = layers.melt(id_vars=["row", "layer"], value_vars=["ssim", "spearman"])
    cascade["metric"] = cascade["variable"] + "_" + cascade["layer"].str.split(".").str[-1]
    moved = noise.melt(id_vars="row", var_name="metric")
    long = pd.concat([cascade[["row", "metric", "value"]], moved], ignore_index=True)
    frame = names.reset_index(drop=True).loc[long["row"]].reset_index(drop=True)
    return frame.assign(metric=long["metric"], value=long["value"])
