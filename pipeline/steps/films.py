"""render, index, pack: films on disk, what is known of each, and each decoded once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import pandas as pd

from data.cohorts import Cohort
from data.config import BrixiaPhantomConfig, PhantomConfig, ShapesConfig
from pipeline.executors.base import Job
from pipeline.shards import run_job
from pipeline.step import Inputs, Source, Step, UserFiles, Work, unkeyed

IMAGE_READERS = (
    *("data/dicom_start.py", "data/grey_range.py"),
    *("data/image_files.py", "data/integrity.py", "data/whole_images.py"),
)
POLYGONS = "polygons.csv"
"""What an index says of polygons, where it has any: ``CohortIndex.polygons``."""
_READERS = (
    *("data/cohorts.py", "data/cohort_index.py", "data/nih.py", "data/cohen.py"),
    "data/chestxdet.py",
    *("data/brixia.py", "data/brixia_score.py"),
    *("data/dicom.py", "data/dicom_geometry.py", "data/dicom_pixels.py", "data/greyscale.py"),
    *("data/isolated_decoding.py", *IMAGE_READERS),
)


@dataclass(frozen=True)
class Render(Step):
    """The phantom films, in the official layout of NIH or of BrixIA; or shapes to learn first."""

    version: ClassVar = 2
    code: ClassVar = ("data/phantom", "data/config.py")
    phantom: PhantomConfig | BrixiaPhantomConfig | ShapesConfig

    def run(self, work: Work) -> None:
        from data.phantom.brixia_layout import render_brixia
        from data.phantom.nih_layout import render_nih
        from data.phantom.shapes_layout import render_shapes
        from data.workers import usable_cores

        cores = len(usable_cores())
        if isinstance(self.phantom, PhantomConfig):
            render_nih(self.phantom, work.folder, cores, work.progress)
        elif isinstance(self.phantom, ShapesConfig):
            render_shapes(self.phantom, work.folder, cores, work.progress)
        else:
            render_brixia(self.phantom, work.folder, cores, work.progress)


@dataclass(frozen=True)
class Index(Step):
    """Which films there are, their labels, boxes and folds, and what is wrong with them.

    ``split_file``: the file that the cohort's settings name, if any.
    """

    version: ClassVar = 4
    code: ClassVar = (*_READERS, "data/nih_files.py", "data/splits.py")
    films: Source
    cohort: Cohort
    split_file: UserFiles | None = None

    def run(self, work: Work) -> None:
        index = self.cohort.read(work[self.films])
        boxes = ""
        if index.boxes is not None:
            index.boxes.to_csv(work.folder / "boxes.csv", index=False)
            boxes = f" and {len(index.boxes):,} boxes on them"
        if index.polygons is not None:
            index.polygons.to_csv(work.folder / POLYGONS, index=False)
            boxes = f" and {len(index.polygons):,} polygons on them"
        index.images.to_csv(work.folder / "images.csv", index=False)
        index.problems.to_csv(work.folder / "problems.csv", index=False)
        folds = index.images["fold"].value_counts()
        work.note(
            f"found {index.found:,} of {index.expected:,} films"
            f" (train {folds.get('train', 0):,}, val {folds.get('val', 0):,},"
            f" test {folds.get('test', 0):,}){boxes}"
        )
        if len(index.problems):
            work.note(f"{len(index.problems):,} problems are listed in problems.csv")


@dataclass(frozen=True)
class Pack(Step):
    """Every film decoded once, at the size that the network sees."""

    version: ClassVar = 3
    code: ClassVar = (*_READERS, "data/packing.py")
    films: Source
    index: Source
    cohort: Cohort
    side: int
    shard: int
    threads: int = unkeyed()

    def run(self, work: Work) -> None:
        from data.packing import (
            INDEX_FILE,
            PROBLEMS_FILE,
            has_shard,
            keep_sound_shards,
            write_index,
        )

        folder, images = work.folder.absolute(), self._images(work)
        keep_sound_shards(images, folder, self.side, self.shard)
        job = Job(folder, partial(self._packer, work.inputs, folder), partial(has_shard, folder))
        run_job(work, job, len(images), self.shard)
        write_index(images, work[self.films], folder, self.side, self.shard)
        unreadable = len(images) - len(pd.read_csv(work.folder / INDEX_FILE))
        doubtful = len(pd.read_csv(work.folder / PROBLEMS_FILE)) - unreadable
        if unreadable:
            work.note(f"{unreadable:,} of {len(images):,} films cannot be read; see problems.csv")
        if doubtful:
            work.note(f"{doubtful:,} films were read, but see problems.csv")

    def _packer(self, inputs: Inputs, folder: Path) -> Callable[[int], None]:
        from data.packing import pack_shard

        images, films = self._images(inputs), inputs[self.films]
        settings = (self.side, self.shard, self.threads, self.cohort.read_square)
        return lambda number: pack_shard(images, films, folder, number, *settings)

    def _images(self, inputs: Inputs) -> pd.DataFrame:
        images = pd.read_csv(inputs[self.index] / "images.csv", dtype={"image": str, "path": str})
        return images[["image", "path"]]
