"""Zone drops: how far the regressor's score falls when a zone is healthy, and maps against that."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from data.brixia_score import ZONES
from data.cohorts import Cohort
from pipeline.shards import Compute, read_shard_tables, run_shards
from pipeline.step import Inputs, Source, Step, Work
from pipeline.steps.samples import NAMES, read_samples
from pipeline.steps.severity import read_zone_means
from pipeline.steps.zones import read_zones

MODEL = "model"
"""What stands for a method where the model itself is measured."""


@dataclass(frozen=True)
class ZoneDrops(Step):
    """The score of each film less its score with one zone healthy: 0 for a zone that is.

    ``films``: rendered phantoms, each zone's counterfactual among them, read as ``cohort`` does.
    """

    version: ClassVar = 1
    code: ClassVar = ("data/brixia.py", "data/packing.py", "models/frozen_densenet.py")
    model: Source
    pack: Source
    samples: Source
    films: Source
    cohort: Cohort
    side: int
    threads: int
    shard: int = 8  # samples

    def run(self, work: Work) -> None:
        from data.phantom.brixia_layout import WITHOUT

        if not (work[self.films] / WITHOUT).is_dir():
            work.note("these phantoms have no film with a zone made healthy: no zone drops")
            return
        run_shards(work, len(read_samples(work[self.samples])), self.shard, self.prepare)

    def prepare(self, inputs: Inputs) -> Compute:
        import torch

        from data.phantom.brixia_layout import without_path
        from models.densenet import normalise
        from pipeline.steps.loaded_model import LoadedModel

        loaded = LoadedModel.load(
            inputs[self.model], inputs[self.pack], inputs.machine, self.threads
        )
        samples, films_below = read_samples(inputs[self.samples]), inputs[self.films]

        def drops(sample: pd.DataFrame) -> np.ndarray:
            """(6,), of one sample; a film and its counterfactuals are one batch."""
            row = sample.iloc[0]
            ill = np.flatnonzero(row[list(ZONES)].to_numpy() > 0)
            paths = [films_below / without_path(row["image"], int(zone)) for zone in ill]
            healthy = [self.cohort.read_square(path, self.side)[0] for path in paths]
            films = np.stack([loaded.films.load([row["image"]])[0], *healthy])
            images = normalise(torch.from_numpy(films).to(loaded.device))
            with torch.no_grad():
                scores = loaded.probability(images, loaded.targets(sample).expand(len(images)))
            found = np.zeros(len(ZONES))
            found[ill] = (scores[0] - scores[1:]).double().cpu().numpy()
            return found

        def compute(folder: Path, rows: slice) -> None:
            part = samples.iloc[rows]
            found = np.stack([drops(part[k : k + 1]) for k in range(len(part))])
            frame = part[["sample"]].assign(**dict(zip(ZONES, found.T, strict=True)))
            frame.to_csv(folder / "drops.csv", index=False)

        return compute


@dataclass(frozen=True)
class AgainstDrops(Step):
    """Correlation over a film's zones of a map's means with the model's drops and the scores.

    ``severity``: the ``SeverityMaps`` of one method or prior; None sets the model's drops against
    the scores, which comes first: no map can know of zones what its model does not.
    """

    version: ClassVar = 1
    code: ClassVar = ("evaluation/correlation.py",)
    drops: Source
    samples: Source
    zones: Source
    severity: Source | None

    def run(self, work: Work) -> None:
        from evaluation.correlation import zone_agreement, zone_groups

        if not (work[self.drops] / "shards").exists():  # its note says why
            empty = pd.DataFrame(columns=[*NAMES, "metric", "value"])
            empty.to_csv(work.folder / "samples.csv", index=False)
            return
        samples, zones = read_samples(work[self.samples]), read_zones(work[self.zones])
        # The same films for maps and model: those whose lungs were found.
        known = samples["image"].isin(zones.images).to_numpy()
        drops = read_shard_tables(work[self.drops], "drops.csv")[list(ZONES)].to_numpy()[known]
        samples = samples[known]
        scores = samples[list(ZONES)].to_numpy()
        if self.severity is None:
            columns = zone_agreement(drops, scores, "scores") | zone_groups(drops, scores)
        else:
            means = read_zone_means(work[self.severity])
            columns = zone_agreement(means, drops, "drops")
            columns |= zone_agreement(means, scores, "scores")
        frame = samples[NAMES].assign(**columns).melt(id_vars=NAMES, var_name="metric")
        frame.to_csv(work.folder / "samples.csv", index=False)
