"""Perturbation: pixels are taken away by a map's rank and the model is asked again."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from evaluation.config import EqualAreaConfig, InsertionDeletionConfig, ROADConfig
from models.config import FrozenPrecision
from pipeline.shards import Compute, run_shards
from pipeline.step import Inputs, Source, Step, Work, added
from pipeline.steps.maps import map_reader
from pipeline.steps.prediction import read_probabilities
from pipeline.steps.samples import NAMES, read_samples

if TYPE_CHECKING:  # torch is imported when a step runs
    from torch import Tensor

    from pipeline.steps.loaded_model import LoadedModel


def first_samples(folder: Path, max_samples: int | None) -> pd.DataFrame:
    """The samples of a finished step that a costly metric takes; None takes all."""
    from evaluation.sampling import first_turns

    return first_turns(read_samples(folder), max_samples)


@dataclass(frozen=True, kw_only=True)
class Perturbation(Step):
    """One method's maps, measured by how the model answers: what the steps below share.

    ``shard``: samples; it decides last bits through the batches that it fills.
    """

    model: Source
    pack: Source
    samples: Source
    maps: Source
    threads: int
    shard: int
    precision: FrozenPrecision = added(FrozenPrecision.float32)

    @property
    def max_samples(self) -> int | None:
        """Of all; None measures all."""
        return None

    def measure(
        self, loaded: "LoadedModel", part: pd.DataFrame, maps: "Tensor", folder: Path
    ) -> pd.DataFrame:
        """Rows that begin with NAMES, of some samples and their maps (n, side, side).

        ``part``: the samples, with the columns of ``also_known``. What else is kept goes into the
        shard's ``folder``.
        """
        raise NotImplementedError

    def also_known(self, inputs: Inputs) -> pd.DataFrame | None:
        """What is measured of each of the samples before, in rows with ``sample``."""
        return None

    def run(self, work: Work) -> None:
        run_shards(work, len(self._measured(work)), self.shard, self.prepare)

    def prepare(self, inputs: Inputs) -> Compute:
        import torch

        from pipeline.steps.loaded_model import LoadedModel

        loaded = LoadedModel.load(
            inputs[self.model], inputs[self.pack], inputs.machine, self.threads, self.precision
        )
        samples, read = self._measured(inputs), map_reader(inputs[self.maps])
        if (known := self.also_known(inputs)) is not None:
            samples = samples.merge(known, on="sample", validate="one_to_one")

        def compute(folder: Path, rows: slice) -> None:
            part = samples.iloc[rows]
            maps = torch.from_numpy(read(part["sample"].tolist()))
            frame = self.measure(loaded, part, maps, folder)
            frame.to_csv(folder / "samples.csv", index=False)

        return compute

    def _measured(self, inputs: Inputs) -> pd.DataFrame:
        return first_samples(inputs[self.samples], self.max_samples)


@dataclass(frozen=True)
class EndScores(Step):
    """Score of each film and of what is left when all its pixels are gone: no map is needed."""

    version: ClassVar = 1
    code: ClassVar = (
        "evaluation/insertion_deletion.py",
        "evaluation/perturbation.py",
        "models/frozen_densenet.py",
    )
    model: Source
    pack: Source
    samples: Source
    config: InsertionDeletionConfig
    threads: int
    shard: int = 16  # samples; it decides last bits through the batches that it fills
    precision: FrozenPrecision = added(FrozenPrecision.float32)

    def run(self, work: Work) -> None:
        from evaluation.insertion_deletion import end_scores
        from pipeline.steps.loaded_model import LoadedModel

        loaded = LoadedModel.load(
            work[self.model], work[self.pack], work.machine, self.threads, self.precision
        )
        samples = first_samples(work[self.samples], self.config.max_samples)
        parts = []
        for start in range(0, len(samples), self.shard):
            part = samples[start : start + self.shard]
            images, targets = loaded.images(part), loaded.targets(part)
            scores = end_scores(loaded.probability, images, targets, self.config)
            parts.append(scores.assign(sample=part["sample"].to_numpy()))
            work.progress(start + len(part), len(samples))
        pd.concat(parts).to_csv(work.folder / "samples.csv", index=False)


@dataclass(frozen=True, kw_only=True)
class InsertionDeletion(Perturbation):
    """Curves of the score while pixels come back into a baseline, or leave the film.

    ``ends``: of ``EndScores``.
    """

    version: ClassVar = 5
    code: ClassVar = (
        "evaluation/insertion_deletion.py",
        "evaluation/perturbation.py",
        "models/frozen_densenet.py",
    )
    ends: Source
    config: InsertionDeletionConfig
    shard: int = 4

    @property
    def max_samples(self) -> int | None:
        return self.config.max_samples

    def also_known(self, inputs: Inputs) -> pd.DataFrame:
        return pd.read_csv(inputs[self.ends] / "samples.csv")

    def measure(
        self, loaded: "LoadedModel", part: pd.DataFrame, maps: "Tensor", folder: Path
    ) -> pd.DataFrame:
        from evaluation.insertion_deletion import insertion_deletion, insertion_deletion_samples

        config, side = self.config, loaded.films.side
        images, targets = loaded.images(part), loaded.targets(part)
        frames = []
        for baseline in config.baselines:
            curves = insertion_deletion(
                loaded.probability, images, targets, maps, part, baseline, config
            )
            for game in ("insertion", "deletion"):
                np.save(folder / f"{game}_{baseline.value}.npy", getattr(curves, game))
            named = part[NAMES].assign(baseline=baseline.value)
            frames.append(insertion_deletion_samples(named, curves, config, side))
        return pd.concat(frames)


@dataclass(frozen=True, kw_only=True)
class EqualArea(Perturbation):
    """How far the score falls when each map takes away the same number of pixels.

    ``prediction``: of the model, for the test films as they are.
    """

    version: ClassVar = 5
    code: ClassVar = (
        "evaluation/equal_area.py",
        "evaluation/perturbation.py",
        "models/frozen_densenet.py",
    )
    prediction: Source
    config: EqualAreaConfig
    shard: int = 16

    def also_known(self, inputs: Inputs) -> pd.DataFrame:
        samples = read_samples(inputs[self.samples])
        film = read_probabilities(inputs[self.prediction], samples)
        return samples[["sample"]].assign(film=film)

    def measure(
        self, loaded: "LoadedModel", part: pd.DataFrame, maps: "Tensor", folder: Path
    ) -> pd.DataFrame:
        from evaluation.equal_area import equal_area_changes, equal_area_samples

        images, targets = loaded.images(part), loaded.targets(part)
        film = part["film"].to_numpy()
        changes = equal_area_changes(loaded.probability, images, targets, film, maps, self.config)
        return equal_area_samples(part[NAMES], changes, self.config)


@dataclass(frozen=True, kw_only=True)
class Road(Perturbation):
    """ROAD: the score while pixels are imputed away by their rank."""

    version: ClassVar = 4
    code: ClassVar = (
        "evaluation/road.py",
        "evaluation/perturbation.py",
        "models/frozen_densenet.py",
    )
    config: ROADConfig
    shard: int = 4

    @property
    def max_samples(self) -> int | None:
        return self.config.max_samples

    def measure(
        self, loaded: "LoadedModel", part: pd.DataFrame, maps: "Tensor", folder: Path
    ) -> pd.DataFrame:
        from evaluation.road import road, road_samples

        images, targets = loaded.images(part), loaded.targets(part)
        seeds = part["seed"].tolist()
        morf, lerf = road(loaded.probability, images, targets, maps, seeds, self.config)
        return road_samples(part[NAMES], morf, lerf)


@dataclass(frozen=True, kw_only=True)
class OwnMetric(Perturbation):
    """A metric that a user's own file added. ``settings``: those it was registered with."""

    version: ClassVar = 2
    code: ClassVar = ("evaluation/own_metrics.py",)
    metric: str
    settings: Any
    shard: int = 16

    def measure(
        self, loaded: "LoadedModel", part: pd.DataFrame, maps: "Tensor", folder: Path
    ) -> pd.DataFrame:
        from evaluation.own_metrics import OWN_METRICS

        images, targets = loaded.images(part), loaded.targets(part)
        measure = OWN_METRICS[self.metric].measure
        values = measure(loaded.probability, images, targets, maps, self.settings)
        return part[NAMES].assign(**values).melt(id_vars=NAMES, var_name="metric")
