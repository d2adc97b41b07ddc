"""Data sets as readers: each gives the frames of an index and the pixels of a film.

A data set of your own is a frozen dataclass with the members of ``Cohort``, made known by
``register_cohort``: see docs/extending.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.cohort_index import FIRST_COLUMNS, KNOWN_COLUMNS, CohortIndex, check_boxes, check_images
from data.config import OWN_COHORTS, BrixiaConfig, CohenReader, DatasetConfig
from data.integrity import DataError

__all__ = [
    *("BrixiaCohort", "ChestXDetCohort", "CohenCohort", "Cohort", "CohortIndex", "NIHCohort"),
    *("OwnCohort", "ShapesCohort"),
    "register_cohort",
]

_TAKEN = ("nih", "nih_phantoms", "brixia", "brixia_phantoms", "cohen", "chestxdet")
# What a table would read as something else, or holds already.
_NO_LABEL = {
    *("na", "nan", "null", "none", "true", "false", "inf", "infinity", "mean", "mean8"),
    *(*FIRST_COLUMNS, *KNOWN_COLUMNS, "sex"),
}


class Cohort(Protocol):
    """How a data set is read: a frozen dataclass whose fields, in keys, decide what is read.

    Phantoms lie on disk as real films do and share their reader.
    """

    def read(self, root: Path) -> CohortIndex:
        """The index of the files below ``root``. Raises DataError where nothing can be read."""
        ...

    def read_square(self, path: Path, side: int) -> tuple[NDArray[np.uint8], str]:
        """A film as the network sees it, (side, side), and what is doubtful about it, else "".

        Raises DataError for what is no film.
        """
        ...


@dataclass(frozen=True)
class NIHCohort:
    """ChestX-ray14: ``data/nih.py``."""

    num_labels: int
    val_fraction: float
    split_seed: int

    def read(self, root: Path) -> CohortIndex:
        from data.nih import read_nih

        config = DatasetConfig(
            num_labels=self.num_labels,
            val_fraction=self.val_fraction,
            split_seed=self.split_seed,
        )
        return read_nih(root, config)

    def read_square(self, path: Path, side: int) -> tuple[NDArray[np.uint8], str]:
        from data.packing import read_square

        return read_square(path, side)


@dataclass(frozen=True)
class BrixiaCohort:
    """BrixIA's DICOM films with zone scores: ``data/brixia.py``."""

    films: BrixiaConfig

    def read(self, root: Path) -> CohortIndex:
        from data.brixia import read_brixia

        return read_brixia(root, self.films)

    def read_square(self, path: Path, side: int) -> tuple[NDArray[np.uint8], str]:
        from data.brixia import read_square

        return read_square(path, side, self.films.scaling)


@dataclass(frozen=True)
class CohenCohort:
    """The public Cohen subset with zone scores, all of it the test fold: ``data/cohen.py``."""

    reader: CohenReader

    def read(self, root: Path) -> CohortIndex:
        from data.cohen import read_cohen

        return read_cohen(root, self.reader)

    def read_square(self, path: Path, side: int) -> tuple[NDArray[np.uint8], str]:
        from data.cohen import read_square

        return read_square(path, side)


@dataclass(frozen=True)
class ChestXDetCohort:
    """ChestX-Det's films with radiologists' polygons, all of them the test fold:
    ``data/chestxdet.py``. ``labels``: what the model's outputs are called."""

    labels: tuple[str, ...]

    def read(self, root: Path) -> CohortIndex:
        from data.chestxdet import read_chestxdet

        return read_chestxdet(root, self.labels)

    def read_square(self, path: Path, side: int) -> tuple[NDArray[np.uint8], str]:
        from data.packing import read_square

        return read_square(path, side)


@dataclass(frozen=True)
class ShapesCohort:
    """Healthy phantoms with drawn shapes, for pre-training alone: ``data/phantom/shapes.py``.

    It has no test fold and no boxes; ``labels`` are its columns.
    """

    @property
    def labels(self) -> tuple[str, ...]:
        from data.phantom.shapes import LABELS

        return LABELS

    def read(self, root: Path) -> CohortIndex:
        from data.phantom.shapes_layout import read_shapes

        return read_shapes(root)

    def read_square(self, path: Path, side: int) -> tuple[NDArray[np.uint8], str]:
        from data.packing import read_square

        return read_square(path, side)


@dataclass(frozen=True)
class OwnCohort:
    """A data set of a user's own. Its reader was not written here, so what it gives is checked."""

    name: str
    reader: Cohort
    labels: tuple[str, ...]
    boxes: bool

    def read(self, root: Path) -> CohortIndex:
        index = self.reader.read(root)
        try:
            check_images(index.images, self.labels)
            if (index.boxes is not None) != self.boxes:
                given = "gives none" if self.boxes else "gives some"
                raise DataError(f"was registered with boxes={self.boxes}, but its reader {given}")
            if index.boxes is None:
                return index
            return replace(index, boxes=check_boxes(index.boxes, index.images, self.labels))
        except DataError as error:
            raise DataError(f"{self.name}: {error}") from None

    def read_square(self, path: Path, side: int) -> tuple[NDArray[np.uint8], str]:
        film, doubt = self.reader.read_square(path, side)
        if film.dtype != np.uint8 or film.shape != (side, side):
            raise ValueError(
                f"{self.name}: read_square gave {film.dtype} {film.shape}, not uint8 {side, side}"
            )
        return film, doubt


def register_cohort(
    name: str, reader: Cohort, labels: Sequence[str], *, boxes: bool = True
) -> None:
    """Makes ``name`` a choice of ``dataset.cohort``, whose files lie at ``paths.films``.

    ``reader``: a frozen dataclass of ``Cohort``'s shape; its fields are in the keys of what is
    read, its code is not. ``labels``: what the network learns, columns of the index. ``boxes``:
    whether the index has boxes; without them nothing is localized.
    ValueError for a name, reader or label that cannot be used.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"data set {name!r}: small letters, digits and _, a letter first")
    if name in OWN_COHORTS or name in _TAKEN:
        raise ValueError(f"there is a data set {name!r} already: choose another name")
    if isinstance(reader, type) or not is_dataclass(reader):
        raise ValueError(f"{name}: the reader is no dataclass instance, whose fields go into keys")
    if not labels or len(set(labels)) < len(labels):
        raise ValueError(f"{name}: one label or more, each once")
    for label in labels:
        if label.lower() in _NO_LABEL or not re.fullmatch(r"[^\W\d_][\w ()/+-]*", label):
            raise ValueError(f"{name}: {label!r} cannot be a label: it is taken, or no plain word")
    OWN_COHORTS[name] = OwnCohort(name, reader, tuple(labels), boxes)
