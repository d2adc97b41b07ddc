"""Regions: the lesions or zones of one kind on a film, and whether maps mark all of them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from data.brixia_score import THREE, ZONES
from pipeline.step import Source, Step, Work
from pipeline.steps.localization import map_batches
from pipeline.steps.samples import NAMES, read_samples, sample_names
from pipeline.steps.truth import read_polygons, read_truth
from pipeline.steps.zones import read_zones


@dataclass(frozen=True)
class LesionRegions(Step):
    """The lesions of each sample's finding on its film, of phantoms."""

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
        regions = []
        for image, finding in zip(samples["image"], samples["finding"], strict=True):
            lesions = read_grey(folder / mask_name(image, finding))
            found = np.zeros((self.side, self.side), np.uint8)
            for number in range(1, int(lesions.max()) + 1):
                found[resize_mask(lesions == number, self.side)] = number
            regions.append(found)
        _write(work, regions, self.side)


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
        _write(work, regions, self.side)


@dataclass(frozen=True)
class ZoneRegions(Step):
    """The zones of score 3 on each sample's film."""

    version: ClassVar = 1
    code: ClassVar = ("data/brixia_score.py",)
    samples: Source
    zones: Source

    def run(self, work: Work) -> None:
        samples, zones = read_samples(work[self.samples]), read_zones(work[self.zones])
        regions = []
        for image, scores in zip(samples["image"], samples[list(ZONES)].to_numpy(), strict=True):
            labels = zones.of([image])[0]
            regions.append(
                np.where(np.isin(labels, np.flatnonzero(scores == THREE) + 1), labels, 0)
            )
        _write(work, regions, zones.labels.shape[1])


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
        if self.maps is None and samples["patient"].iloc[known].nunique() < 2:
            work.note("a prior needs films of two patients: not measured")
            known = known[:0]
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


def _write(work: Work, regions: list[np.ndarray], side: int) -> None:
    """Keeps the samples with two regions or more: their rows (M,), and numbers of regions uint8
    (M, side, side). A film without zones has none, and a small lesion may be lost at ``side``."""
    rows = [row for row, found in enumerate(regions) if len(np.unique(found[found > 0])) > 1]
    kept = [regions[row] for row in rows]
    stacked = np.stack(kept) if kept else np.zeros((0, side, side))
    np.save(work.folder / "rows.npy", np.array(rows, dtype=np.intp))
    np.save(work.folder / "regions.npy", stacked.astype(np.uint8))
    work.note(f"{len(kept):,} samples have two regions or more")
