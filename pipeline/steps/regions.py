"""Regions: the lesions or zones of one kind on a film, and whether maps mark all of them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from data.brixia_score import ZONES
from pipeline.step import Source, Step, Work
from pipeline.steps.localization import map_batches
from pipeline.steps.samples import NAMES, read_samples, sample_names
from pipeline.steps.truth import read_polygons, read_truth
from pipeline.steps.zones import read_zones

DETECTOR_OF_THREES, THREE = "Detector3", 3  # whose zones look alike to it


@dataclass(frozen=True)
class LesionRegions(Step):
    """The lesions of the sample's finding on phantom films that hold two or more of them."""

    version: ClassVar = 1
    code: ClassVar = ("data/packing.py",)
    films: Source
    samples: Source
    side: int

    def run(self, work: Work) -> None:
        from data.image_files import read_grey
        from data.packing import resize_mask
        from data.phantom.nih_layout import LESIONS, mask_name

        samples, folder = read_samples(work[self.samples]), work[self.films] / LESIONS
        rows: list[int] = []
        regions: list[np.ndarray] = []
        if not folder.is_dir():
            work.note("these phantoms do not tell one lesion from another: no regions of theirs")
            samples = samples[:0]
        for row, (image, finding) in enumerate(
            zip(samples["image"], samples["finding"], strict=True)
        ):
            lesions = read_grey(folder / mask_name(image, finding))
            found = np.zeros((self.side, self.side), np.uint8)
            for number in range(1, int(lesions.max()) + 1):
                found[resize_mask(lesions == number, self.side)] = number
            rows.append(row)
            regions.append(found)
        _write(work, rows, regions, self.side)


@dataclass(frozen=True)
class PolygonRegions(Step):
    """The polygons of the sample's finding on films that hold two or more. Where they overlap, the
    smaller one counts."""

    version: ClassVar = 1
    code: ClassVar = ("evaluation/polygons.py",)
    index: Source
    samples: Source
    side: int

    def run(self, work: Work) -> None:
        samples = read_samples(work[self.samples])
        polygons = read_polygons(work[self.index], self.side)
        regions = []
        for image, finding in zip(samples["image"], samples["finding"], strict=True):
            found = np.zeros((self.side, self.side), np.uint8)
            large_first = sorted(polygons(image, finding), key=np.sum, reverse=True)
            for number, mask in enumerate(large_first, 1):
                found[mask] = number
            regions.append(found)
        _write(work, list(range(len(samples))), regions, self.side)


@dataclass(frozen=True)
class ZoneRegions(Step):
    """The zones of score 3 on films that hold two or more of them, of the detector of score 3."""

    version: ClassVar = 1
    code: ClassVar = ("data/brixia_score.py",)
    samples: Source
    zones: Source

    def run(self, work: Work) -> None:
        samples, zones = read_samples(work[self.samples]), read_zones(work[self.zones])
        rows = np.flatnonzero(samples["finding"] == DETECTOR_OF_THREES).tolist()
        regions = []
        for row in rows:
            labels = zones.of([samples["image"].iloc[row]])[0]
            shown = np.flatnonzero(samples.loc[row, list(ZONES)].to_numpy() == THREE) + 1
            regions.append(np.where(np.isin(labels, shown), labels, 0))
        _write(work, rows, regions, zones.labels.shape[1])


@dataclass(frozen=True)
class AllRegions(Step):
    """Whether one method's maps, or a ``prior`` of the ``truth`` at ``place``, hold all regions."""

    version: ClassVar = 1
    code: ClassVar = ("evaluation/all_regions.py", "evaluation/priors.py")
    samples: Source
    regions: Source
    truth: Source
    place: str | None  # None: the truth's first
    maps: Source | None
    prior: str | None

    def run(self, work: Work) -> None:
        from evaluation.all_regions import all_regions

        samples, folder = read_samples(work[self.samples]), work[self.regions]
        numbers = pd.Series(range(len(rows := np.load(folder / "rows.npy"))), index=rows)
        regions = np.load(folder / "regions.npy", mmap_mode="r")
        truth = read_truth(work[self.truth])
        place = self.place or next(iter(truth))
        maps = None if self.maps is None else work[self.maps]
        # Without a map of its own, a prior learns of every film that has a truth.
        known = rows if self.maps else np.flatnonzero(truth[place].any(axis=(1, 2)))
        frames = [samples[:0][NAMES].assign(least_recall=[], selectivity=[], evenness=[])]
        for found, part in map_batches(
            maps, self.prior, work[self.truth], place, truth[place], samples, known
        ):
            kept = np.isin(found, rows)
            if not kept.any():
                continue
            asked = samples.iloc[found[kept]]
            measured = all_regions(part[kept], regions[numbers[found[kept]]], sample_names(asked))
            frames.append(asked[NAMES].reset_index(drop=True).join(measured))
            work.progress(int(found[-1]) + 1, len(samples))
        pd.concat(frames).to_csv(work.folder / "samples.csv", index=False)


def _write(work: Work, rows: list[int], regions: list[np.ndarray], side: int) -> None:
    """Keeps the films of two regions or more: their rows of the samples (M,), and numbers of
    regions uint8 (M, side, side)."""
    several = [len(np.unique(found[found > 0])) > 1 for found in regions]
    kept = [found for found, use in zip(regions, several, strict=True) if use]
    stacked = np.stack(kept) if kept else np.zeros((0, side, side))
    np.save(work.folder / "rows.npy", np.array(rows, dtype=np.intp)[several])
    np.save(work.folder / "regions.npy", stacked.astype(np.uint8))
    work.note(f"{len(kept):,} samples have two regions or more")
