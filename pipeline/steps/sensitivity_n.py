"""Sensitivity-N: the output under random masks once for all methods, each map against it."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from evaluation.config import SensitivityNConfig
from models.config import FrozenPrecision
from pipeline.shards import Compute, run_shards, shard_folders
from pipeline.step import Inputs, Source, Step, Work, added
from pipeline.steps.maps import map_reader
from pipeline.steps.perturbation import first_samples
from pipeline.steps.samples import NAMES


@dataclass(frozen=True)
class OutputChanges(Step):
    """How far the output moves under each mask: no map is needed, so it serves all methods."""

    version: ClassVar = 4
    code: ClassVar = (
        "evaluation/sensitivity_n.py",
        "evaluation/perturbation.py",
        "models/frozen_densenet.py",
    )
    model: Source
    pack: Source
    samples: Source
    config: SensitivityNConfig
    threads: int
    shard: int = 2  # samples; it decides last bits through the batches that it fills
    precision: FrozenPrecision = added(FrozenPrecision.float32)

    def run(self, work: Work) -> None:
        total = len(first_samples(work[self.samples], self.config.max_samples))
        run_shards(work, total, self.shard, self.prepare)

    def prepare(self, inputs: Inputs) -> Compute:
        from evaluation.sensitivity_n import output_changes
        from pipeline.steps.loaded_model import LoadedModel

        loaded = LoadedModel.load(
            inputs[self.model], inputs[self.pack], inputs.machine, self.threads, self.precision
        )
        samples = first_samples(inputs[self.samples], self.config.max_samples)

        def compute(folder: Path, rows: slice) -> None:
            part = samples.iloc[rows]
            images, targets, seeds = loaded.images(part), loaded.targets(part), part["seed"]
            changes = output_changes(
                loaded.probability, images, targets, seeds.tolist(), self.config
            )
            np.save(folder / "changes.npy", changes)

        return compute


@dataclass(frozen=True)
class SensitivityN(Step):
    """Correlation of one method's maps, summed under each mask, with the changes of the output."""

    version: ClassVar = 4
    code: ClassVar = ("evaluation/sensitivity_n.py",)
    changes: Source
    samples: Source
    maps: Source
    config: SensitivityNConfig
    side: int
    shards: int = 64  # of changes, whose maps are held at a time

    def run(self, work: Work) -> None:
        from evaluation.sensitivity_n import sensitivity_n, sensitivity_n_samples

        samples = first_samples(work[self.samples], self.config.max_samples)
        folders, read = shard_folders(work[self.changes]), map_reader(work[self.maps])
        correlations, done = [], 0
        for first in range(0, len(folders), self.shards):
            parts = [np.load(shard / "changes.npy") for shard in folders[first:][: self.shards]]
            changes = np.concatenate(parts)
            part_of = samples.iloc[done : done + len(changes)]
            maps, seeds = read(part_of["sample"].tolist()), part_of["seed"].tolist()
            correlations.append(sensitivity_n(maps, changes, seeds, self.config))
            done += len(changes)
            work.progress(done, len(samples))
        frame = sensitivity_n_samples(
            samples[NAMES], np.concatenate(correlations), self.config, self.side
        )
        frame.to_csv(work.folder / "samples.csv", index=False)
