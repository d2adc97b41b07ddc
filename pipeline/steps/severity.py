"""Severity: maps of the regressor against the severity of the zones (PCC)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from data.brixia_score import ZONES
from pipeline.step import Source, Step, Work
from pipeline.steps.localization import LUNG_MASK
from pipeline.steps.maps import map_shards
from pipeline.steps.samples import read_samples
from pipeline.steps.zones import FilmZones, read_zones

MEAN_SEVERITY = "mean_severity"
SEVERITY_PRIORS = (LUNG_MASK, MEAN_SEVERITY)
_ROWS = 32  # maps of a prior held at a time
_NAMES = ["sample", "image", "patient"]


@dataclass(frozen=True)
class SeverityMaps(Step):
    """Correlation of maps with the zones' severity, of one method's ``maps`` or of a ``prior``."""

    version: ClassVar = 3
    code: ClassVar = ("evaluation/correlation.py",)
    samples: Source
    zones: Source
    maps: Source | None
    prior: str | None

    def __post_init__(self) -> None:
        if (self.maps is None) == (self.prior is None):
            raise ValueError("severity is compared with maps or with a prior, one of them")

    def run(self, work: Work) -> None:
        from evaluation.correlation import pcc_samples, zone_means

        samples = read_samples(work[self.samples])
        zones = read_zones(work[self.zones])
        frames: list[pd.DataFrame] = []
        sums: dict[str, list[np.ndarray]] = {}
        means = []
        for rows, labels, maps in self._batches(work, samples, zones):
            asked = samples.iloc[rows]
            named = asked[_NAMES].assign(severity=asked["score"])
            frame, part = pcc_samples(named, maps, labels, asked[list(ZONES)].to_numpy())
            frames.append(frame)
            means.append(zone_means(maps, labels, len(ZONES)))
            for place, values in part.items():
                sums.setdefault(place, []).append(values)
            work.progress(int(rows[-1]) + 1, len(samples))
        pd.concat(frames).to_csv(work.folder / "samples.csv", index=False)
        stored: dict[str, Any] = {place: np.concatenate(parts) for place, parts in sums.items()}
        np.savez(work.folder / "sums.npz", **stored)
        np.save(work.folder / "zone_means.npy", np.concatenate(means))

    def _batches(
        self, work: Work, samples: pd.DataFrame, zones: FilmZones
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Rows of the next samples whose zones are known, the zones, and the maps."""
        indices = np.flatnonzero(samples["image"].isin(zones.images))
        images = samples["image"].to_numpy()
        if self.maps is not None:
            done = 0
            for maps in map_shards(work[self.maps]):
                rows = indices[(indices >= done) & (indices < done + len(maps))]
                if len(rows):
                    yield rows, zones.of(images[rows].tolist()), maps[rows - done]
                done += len(maps)
            return
        prior = self._prior(samples.iloc[indices])
        for start in range(0, len(indices), _ROWS):
            part = slice(start, start + _ROWS)
            labels = zones.of(images[indices[part]].tolist())
            yield indices[part], labels, prior(part, labels)

    def _prior(self, known: pd.DataFrame) -> Callable[[slice, np.ndarray], np.ndarray]:
        """(rows of ``known``, their zones) -> maps."""
        from evaluation.correlation import mean_severity, severity_maps

        if self.prior == LUNG_MASK:
            return lambda _, labels: (labels > 0).astype(np.float64)
        scores = mean_severity(known[list(ZONES)].to_numpy(), known["patient"])
        return lambda part, labels: severity_maps(labels, scores[part])


def read_zone_means(folder: Path) -> np.ndarray:
    """The maps' means float64 (n, 6) in the zones of the n samples whose zones are known."""
    means: np.ndarray = np.load(folder / "zone_means.npy")
    return means


def read_sums(folder: Path) -> dict[str, np.ndarray]:
    """Moments (N, 6) of ``film`` and ``lungs``: see ``evaluation.correlation.moments``."""
    with np.load(folder / "sums.npz") as stored:
        return {name: stored[name] for name in stored.files}
