"""Truth: where what a model should see lies, a mask for each sample, by places.

A step writes ``<place>.npy``, bool (N, side, side) of all N samples, empty where a sample has no
such truth, and lists its places in ``places.txt``.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from data.brixia_score import ZONES, zones_of
from evaluation.config import BoxRounding
from pipeline.step import Source, Step, Work
from pipeline.steps.films import POLYGONS
from pipeline.steps.samples import read_samples
from pipeline.steps.zones import FilmZones, read_zones

BOX, CAUSAL, OUTLINED = "box", "causal", "polygons"
REGIONS = ("mask", "box")  # of zones
_PLACES = "places.txt"
_ROWS = 32  # masks held at a time

Masks = Callable[[pd.DataFrame], np.ndarray]
"""(rows of samples) -> bool (n, side, side)."""


@dataclass(frozen=True)
class BoxTruth(Step):
    """The boxes of the samples as masks, at the place ``box``."""

    version: ClassVar = 1
    code: ClassVar = ("evaluation/localization.py",)
    samples: Source
    side: int
    rounding: BoxRounding

    def run(self, work: Work) -> None:
        from evaluation.localization import box_masks

        samples = read_samples(work[self.samples])
        _write(work, samples, {BOX: lambda rows: box_masks(rows, self.side, self.rounding)})


@dataclass(frozen=True)
class PolygonTruth(Step):
    """All that readers outlined of each sample's finding on its film, at the place ``polygons``."""

    version: ClassVar = 1
    code: ClassVar = ("evaluation/polygons.py",)
    index: Source
    samples: Source
    side: int

    def run(self, work: Work) -> None:
        polygons = read_polygons(work[self.index], self.side)

        def masks(rows: pd.DataFrame) -> np.ndarray:
            pairs = zip(rows["image"], rows["finding"], strict=True)
            return np.stack([np.any(list(polygons(*pair)), axis=0) for pair in pairs])

        _write(work, read_samples(work[self.samples]), {OUTLINED: masks})


@dataclass(frozen=True)
class ZoneTruth(Step):
    """The zones that each sample's detector looks for, at ``<region>_<lungs>``.

    ``zones``: by whose lungs they are cut from, the paper's first. ``lungs_<lungs>.npy`` holds the
    whole lungs beside.
    """

    version: ClassVar = 1
    code: ClassVar = ("data/brixia_score.py",)
    samples: Source
    zones: Mapping[str, Source]

    def run(self, work: Work) -> None:
        samples = read_samples(work[self.samples])
        scores = samples[list(ZONES)].to_numpy()
        pairs = zip(samples["finding"], scores, strict=True)
        shown = np.array([zones_of(*pair) for pair in pairs]).reshape(-1, len(ZONES))

        def region_masks(zones: FilmZones, region: str) -> Masks:
            return lambda rows: zones.union(rows["image"].tolist(), shown[rows.index], region)

        def lung_masks(zones: FilmZones) -> Masks:
            return lambda rows: zones.of(rows["image"].tolist()) > 0

        places: dict[str, Masks] = {}
        lungs: dict[str, Masks] = {}
        for which, source in self.zones.items():
            zones = read_zones(work[source])
            places |= {f"{region}_{which}": region_masks(zones, region) for region in REGIONS}
            lungs[_lungs(which)] = lung_masks(zones)
        found = _write(work, samples, places, lungs)
        if len(samples) and not all(found.values()):
            raise ValueError(
                "no sample has a zone to be compared with: see the lungs' problems.csv"
            )


@dataclass(frozen=True)
class PhantomTruth(Step):
    """What truly changes the film, which is known of phantoms.

    Places: ``causal``, pixels that change when the finding is taken away; ``planted``, the token
    that goes with the label, on the films that hold it (dataset=phantom_planted).
    """

    version: ClassVar = 1
    code: ClassVar = ("data/phantom/counterfactual.py",)
    films: Source
    samples: Source
    side: int

    def run(self, work: Work) -> None:
        from data.image_files import read_grey
        from data.packing import resize_mask
        from data.phantom.counterfactual import read_pair
        from data.phantom.markers import PLANTED_FINDING
        from data.phantom.nih_layout import PLANTED

        films = work[self.films]
        nothing = np.zeros((self.side, self.side), dtype=bool)

        def causal(image: str, finding: str) -> np.ndarray:
            return resize_mask(read_pair(films, image, finding).causal, self.side)

        def planted(image: str, finding: str) -> np.ndarray:
            path = films / PLANTED / image
            if finding != PLANTED_FINDING or not path.exists():
                return nothing
            return resize_mask(read_grey(path) >= 128, self.side)

        def masks(mask: Callable[[str, str], np.ndarray]) -> Masks:
            return lambda rows: np.stack(
                [mask(*pair) for pair in zip(rows["image"], rows["finding"], strict=True)]
            )

        places = {CAUSAL: masks(causal), "planted": masks(planted)}
        _write(work, read_samples(work[self.samples]), places)


def read_polygons(index: Path, side: int) -> Callable[[str, str], Iterator[np.ndarray]]:
    """(image, finding) -> a mask, bool (side, side), of each polygon; from a finished index."""
    from evaluation.polygons import polygon_mask

    table = pd.read_csv(index / POLYGONS, dtype=str)
    of_pair = {pair: rows["points"].tolist() for pair, rows in table.groupby(["image", "finding"])}
    return lambda image, finding: (
        polygon_mask(np.array(json.loads(points)), side) for points in of_pair[image, finding]
    )


def read_only_place(folder: Path) -> np.ndarray:
    """The masks of a finished step's one place, or of its first."""
    return next(iter(read_truth(folder).values()))


def read_truth(folder: Path) -> dict[str, np.ndarray]:
    """Masks bool (N, side, side) of a finished step by place, memory-mapped."""
    places = (folder / _PLACES).read_text(encoding="utf-8").split("\n")
    return {place: _read(folder, place) for place in places}


def read_lungs_of(folder: Path, place: str) -> np.ndarray:
    """Whole lungs bool (N, side, side) of a finished ZoneTruth, whose zones ``place`` holds."""
    return _read(folder, _lungs(place.partition("_")[2]))


def _lungs(which: str) -> str:
    return f"lungs_{which}"


def _read(folder: Path, name: str) -> np.ndarray:
    masks: np.ndarray = np.load(folder / f"{name}.npy", mmap_mode="r")
    return masks


def _write(
    work: Work,
    samples: pd.DataFrame,
    places: Mapping[str, Masks],
    others: Mapping[str, Masks] | None = None,
) -> dict[str, bool]:
    """Writes a file for each of ``places`` and ``others``; whether any mask of it has a pixel.
    Without samples a file is bool (0, 0, 0)."""
    found = {}
    files = {**places, **(others or {})}
    for done, (name, masks) in enumerate(files.items()):
        found[name] = False
        # Not through a memory map, which a full disk would kill with a signal.
        with (work.folder / f"{name}.npy").open("wb") as file:
            if samples.empty:
                np.save(file, np.zeros((0, 0, 0), dtype=bool))
            for start in range(0, len(samples), _ROWS):
                part = masks(samples.iloc[start : start + _ROWS])
                if not start:
                    shape = (len(samples), *part.shape[1:])
                    header = {"descr": "|b1", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(file, header)
                file.write(part.tobytes())
                found[name] |= bool(part.any())
                work.progress(done * len(samples) + start + len(part), len(files) * len(samples))
    (work.folder / _PLACES).write_text("\n".join(places), encoding="utf-8")
    return found
