"""zones: the six zones of every test film whose lungs were found."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd

from pipeline.step import Source, Step, Work
from pipeline.steps.lungs import read_lungs


class FilmZones(NamedTuple):
    """Zones A-F of N films, in the order of ``images``."""

    images: list[str]
    labels: np.ndarray  # uint8 (N, side, side): 0 outside the lungs, k + 1 in the k-th zone
    boxes: np.ndarray  # int (N, 6, 4): x, y, w, h in pixels

    def of(self, images: list[str]) -> np.ndarray:
        """Label maps (n, side, side); empty for films that have no zones."""
        rows = self._rows(images)
        labels = self.labels[rows]
        labels[rows < 0] = 0
        return labels

    def union(self, images: list[str], wanted: np.ndarray, region: str) -> np.ndarray:
        """Masks bool (n, side, side) of the ``wanted`` (n, 6) zones: pixels (mask) or boxes."""
        if region == "mask":
            palette = np.pad(wanted, ((0, 0), (1, 0)))
            labels = self.of(images).reshape(len(images), -1)
            return np.take_along_axis(palette, labels, axis=1).reshape(-1, *self.labels.shape[1:])
        masks = np.zeros((len(images), *self.labels.shape[1:]), dtype=bool)
        for mask, row, zones in zip(masks, self._rows(images), wanted, strict=True):
            for x, y, w, h in self.boxes[row][zones] if row >= 0 else ():
                mask[y : y + h, x : x + w] = True
        return masks

    def _rows(self, images: list[str]) -> np.ndarray:
        return pd.Index(self.images).get_indexer(pd.Index(images))


@dataclass(frozen=True)
class Zones(Step):
    """The six zones of every test film whose lungs were found.

    ``which``: what problems call the lungs (predicted, true, given).
    """

    version: ClassVar = 3
    code: ClassVar = ("data/lungs.py",)
    lungs: Source
    which: str

    def run(self, work: Work) -> None:
        from data.integrity import DataError
        from data.lungs import six_zones, split_lungs

        names, masks = read_lungs(work[self.lungs])
        images, labels, boxes, doubts = [], [], [], []
        field = f"{self.which} lungs"
        for name, mask in zip(names, masks, strict=True):
            try:
                lungs = split_lungs(mask)
            except DataError as error:
                doubts.append((name, field, f"{error}: film skipped"))
                continue
            zones = six_zones(lungs)
            doubts += [(name, field, doubt) for doubt in lungs.doubts]
            images.append(name)
            numbers = np.arange(1, len(zones.masks) + 1, dtype=np.uint8)
            labels.append((zones.masks * numbers[:, None, None]).max(axis=0))
            boxes.append(zones.boxes)
        if not images:
            raise ValueError(
                f"no lung was found on any of the {len(names)} test films: the lung network learnt"
                " nothing; see its Dice, and raise brixia.lungs.epochs"
            )
        np.save(work.folder / "labels.npy", np.stack(labels))
        np.save(work.folder / "boxes.npy", np.stack(boxes))
        pd.DataFrame({"image": images}).to_csv(work.folder / "films.csv", index=False)
        problems = pd.DataFrame(doubts, columns=["file", "field", "reason"], dtype=str)
        problems.to_csv(work.folder / "problems.csv", index=False)
        if doubts:
            work.note(f"{len(problems):,} doubts about lung masks are listed in problems.csv")


def read_zones(folder: Path) -> FilmZones:
    images = pd.read_csv(folder / "films.csv", dtype={"image": str})["image"].tolist()
    labels = np.load(folder / "labels.npy", mmap_mode="r")
    return FilmZones(images, labels, np.load(folder / "boxes.npy"))
