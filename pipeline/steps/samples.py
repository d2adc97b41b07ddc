"""Samples: which outputs of which test films are explained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from data.brixia_score import DETECTOR_OF_THREES, DETECTORS, THREE, ZONES
from pipeline.keys import sample_seeds
from pipeline.step import Source, Step, Work
from pipeline.steps.films import POLYGONS

SEVERITY = "severity"
"""What stands for a finding where a regressor's score is explained."""
_BOX = ("x", "y", "w", "h")
NAMES = ["sample", "image", "patient", "finding"]
"""The columns of ``read_samples`` that every per-sample row begins with."""


@dataclass(frozen=True, kw_only=True)
class Samples(Step):
    """Samples of a test fold, whose films are packed. ``max_samples``: None takes all."""

    index: Source
    pack: Source
    max_samples: int | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class FindingSamples(Samples):
    """Of ``findings``, None for all; ``labels``: the model's outputs."""

    labels: tuple[str, ...]
    findings: tuple[str, ...] | None


@dataclass(frozen=True, kw_only=True)
class BoxSamples(FindingSamples):
    """The (film, finding, box) samples of the test fold."""

    version: ClassVar = 4
    code: ClassVar = ("evaluation/sampling.py",)

    def run(self, work: Work) -> None:
        boxes = _test_boxes(work[self.index], work[self.pack], self.findings)
        _write(work, boxes, _draw(boxes, self.labels, self.max_samples, self.seed, _BOX))
        folds = pd.read_csv(work[self.index] / "boxes.csv", usecols=["fold"])["fold"]
        if outside := int((folds != "test").sum()):
            work.note(f"{outside:,} boxes lie on films outside the test fold: left out")


@dataclass(frozen=True, kw_only=True)
class LesionSamples(FindingSamples):
    """Of phantoms, the (film, finding, box) samples of the test fold whose film has two or more
    lesions of the finding; there may be none. ``films``: the phantoms."""

    version: ClassVar = 1
    code: ClassVar = ("evaluation/sampling.py",)
    films: Source

    def run(self, work: Work) -> None:
        from data.image_files import read_grey
        from data.phantom.nih_layout import LESIONS, mask_name

        boxes = _test_boxes(work[self.index], work[self.pack], self.findings)
        lesions = work[self.films] / LESIONS
        pairs = zip(boxes["image"], boxes["finding"], strict=True)
        several = [read_grey(lesions / mask_name(*pair)).max() > 1 for pair in pairs]
        boxes = boxes[np.array(several, dtype=bool)]
        _write(work, boxes, _draw_any(boxes, self.labels, self.max_samples, self.seed, _BOX))


@dataclass(frozen=True, kw_only=True)
class LabelSamples(FindingSamples):
    """The (film, finding) pairs of the test fold in which a label says that the finding is there:
    for films without boxes."""

    version: ClassVar = 2
    code: ClassVar = ("evaluation/sampling.py",)

    def run(self, work: Work) -> None:
        films = _test_films(work[self.index], work[self.pack])
        asked = self.labels if self.findings is None else self.findings
        known = [label for label in self.labels if label in asked and label in films]
        shown = _labelled(films, known)
        samples = _draw(shown, self.labels, self.max_samples, self.seed, ())
        _write(work, shown, samples)
        if not (work[self.index] / POLYGONS).exists():
            work.note("the films have no boxes: nothing is localized")


@dataclass(frozen=True, kw_only=True)
class DetectorSamples(Samples):
    """The (film, detector) pairs of the test fold in which a zone shows what the detector looks
    for."""

    version: ClassVar = 4
    code: ClassVar = ("evaluation/sampling.py", "data/brixia_score.py")

    def run(self, work: Work) -> None:
        films = _test_films(work[self.index], work[self.pack])
        shown = _labelled(films, list(DETECTORS))
        samples = _draw(shown, list(DETECTORS), self.max_samples, self.seed, (*ZONES, "score"))
        _write(work, shown, samples)


@dataclass(frozen=True, kw_only=True)
class ThreesSamples(Samples):
    """The films of the test fold with two or more zones of score 3, for the detector of that score;
    there may be none."""

    version: ClassVar = 1
    code: ClassVar = ("evaluation/sampling.py", "data/brixia_score.py")

    def run(self, work: Work) -> None:
        films = _test_films(work[self.index], work[self.pack])
        films = films[(films[list(ZONES)] == THREE).sum(axis=1) > 1]
        shown = films.assign(finding=DETECTOR_OF_THREES)
        truth = (*ZONES, "score")
        _write(work, shown, _draw_any(shown, list(DETECTORS), self.max_samples, self.seed, truth))


@dataclass(frozen=True, kw_only=True)
class SeveritySamples(Samples):
    """Films of the test fold; the target is their true global score."""

    version: ClassVar = 3
    code: ClassVar = ("evaluation/sampling.py", "data/brixia_score.py")

    def run(self, work: Work) -> None:
        films = _test_films(work[self.index], work[self.pack]).assign(finding=SEVERITY)
        samples = _draw(films, [SEVERITY], self.max_samples, self.seed, (*ZONES, "score"))
        # A regressor's target is a number, not the place of an output.
        _write(work, films, samples.assign(target=samples["score"].astype(float)))


def read_samples(folder: Path) -> pd.DataFrame:
    """The samples of a finished step."""
    return pd.read_csv(folder / "samples.csv", dtype={"image": str})


def sample_names(samples: pd.DataFrame) -> list[str]:
    """What errors call these samples."""
    pairs = zip(samples["image"], samples["finding"], strict=True)
    return [f"{image} {finding}" for image, finding in pairs]


def _test_boxes(index: Path, pack: Path, findings: tuple[str, ...] | None) -> pd.DataFrame:
    """Of readable films. ``findings``: None for all."""
    from data.packing import PackedFilms

    boxes = pd.read_csv(index / "boxes.csv", dtype={"image": str})
    wanted = boxes["image"].isin(PackedFilms(pack).table["image"]) & (boxes["fold"] == "test")
    if findings is not None:
        wanted &= boxes["finding"].isin(findings)
    return boxes[wanted]


def _test_films(index: Path, pack: Path) -> pd.DataFrame:
    from data.packing import PackedFilms
    from pipeline.steps.packed_films import readable_images

    images = readable_images(index, PackedFilms(pack))
    return images[images["fold"] == "test"].reset_index(drop=True)


def _labelled(films: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """A row for each film and each of its ``labels``, by film."""
    pairs = [
        films[films[label] == 1].assign(finding=label, film=lambda frame: frame.index)
        for label in labels
    ]
    return pd.concat(pairs).sort_values(["film", "finding"], kind="stable", ignore_index=True)


def _draw(
    rows: pd.DataFrame,
    labels: Sequence[str],
    max_samples: int | None,
    seed: int,
    truth: tuple[str, ...],
) -> pd.DataFrame:
    if rows.empty:
        raise ValueError(
            "there is nothing to explain: no readable test film has a box (of NIH's films: in"
            " BBox_List_2017.csv), a label or a zone score of what is asked for"
        )
    return _draw_any(rows, labels, max_samples, seed, truth)


def _draw_any(
    rows: pd.DataFrame,
    labels: Sequence[str],
    max_samples: int | None,
    seed: int,
    truth: tuple[str, ...],
) -> pd.DataFrame:
    """No sample where there are no rows."""
    from evaluation.sampling import select_samples

    # The same samples whatever the seed, so that runs of several seeds compare on them.
    samples = select_samples(rows, labels, max_samples, seed=0, truth=truth)
    return samples.assign(seed=sample_seeds(seed, samples["image"], samples["finding"]))


def _write(work: Work, rows: pd.DataFrame, samples: pd.DataFrame) -> None:
    samples.to_csv(work.folder / "samples.csv", index=False)
    work.note(
        f"{len(samples):,} of {len(rows):,} are explained, on {samples['image'].nunique():,} films"
        f" of {samples['patient'].nunique():,} patients"
    )
