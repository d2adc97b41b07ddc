"""Samples: which outputs of which test films are explained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from data.brixia_score import DETECTORS, ZONES
from pipeline.keys import sample_seeds
from pipeline.step import Source, Step, Work
from pipeline.steps.films import POLYGONS

SEVERITY = "severity"
"""What stands for a finding where a regressor's score is explained."""
NAMES = ["sample", "image", "patient", "finding"]
"""The columns of ``read_samples`` that every per-sample row begins with."""


@dataclass(frozen=True)
class BoxSamples(Step):
    """The (film, finding, box) samples of the test fold. ``labels``: the model's outputs."""

    version: ClassVar = 3
    code: ClassVar = ("evaluation/sampling.py",)
    index: Source
    pack: Source
    labels: tuple[str, ...]
    findings: tuple[str, ...] | None
    max_samples: int | None
    seed: int

    def run(self, work: Work) -> None:
        from data.packing import PackedFilms

        boxes = pd.read_csv(work[self.index] / "boxes.csv", dtype={"image": str})
        test = boxes[boxes["fold"] == "test"]
        readable = test[test["image"].isin(PackedFilms(work[self.pack]).table["image"])]
        if self.findings is not None:
            readable = readable[readable["finding"].isin(self.findings)]
        samples = _draw(readable, self.labels, self.max_samples, self.seed, ("x", "y", "w", "h"))
        samples.to_csv(work.folder / "samples.csv", index=False)
        work.note(
            f"{len(samples):,} of {len(boxes):,} boxes are evaluated, on"
            f" {samples['image'].nunique():,} films of {samples['patient'].nunique():,} patients"
        )
        if len(test) < len(boxes):
            outside = len(boxes) - len(test)
            work.note(f"{outside:,} boxes lie on films outside the test fold: left out")


@dataclass(frozen=True)
class LabelSamples(Step):
    """The (film, finding) pairs of the test fold in which a label says that the finding is there:
    for films without boxes. ``labels``: the model's outputs."""

    version: ClassVar = 1
    code: ClassVar = ("evaluation/sampling.py",)
    index: Source
    pack: Source
    labels: tuple[str, ...]
    findings: tuple[str, ...] | None
    max_samples: int | None
    seed: int

    def run(self, work: Work) -> None:
        films = _test_films(work[self.index], work[self.pack])
        asked = self.labels if self.findings is None else self.findings
        known = [label for label in self.labels if label in asked and label in films]
        shown = _labelled(films, known)
        samples = _draw(shown, self.labels, self.max_samples, self.seed, ())
        _write(work, shown, samples)
        if not (work[self.index] / POLYGONS).exists():
            work.note("the films have no boxes: nothing is localized")


@dataclass(frozen=True)
class DetectorSamples(Step):
    """The (film, detector) pairs of the test fold in which a zone shows what the detector looks
    for."""

    version: ClassVar = 3
    code: ClassVar = ("evaluation/sampling.py", "data/brixia_score.py")
    index: Source
    pack: Source
    max_samples: int | None
    seed: int

    def run(self, work: Work) -> None:
        films = _test_films(work[self.index], work[self.pack])
        shown = _labelled(films, list(DETECTORS))
        samples = _draw(shown, list(DETECTORS), self.max_samples, self.seed, (*ZONES, "score"))
        _write(work, shown, samples)


@dataclass(frozen=True)
class SeveritySamples(Step):
    """Films of the test fold; the target is their true global score."""

    version: ClassVar = 2
    code: ClassVar = ("evaluation/sampling.py", "data/brixia_score.py")
    index: Source
    pack: Source
    max_samples: int | None
    seed: int

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
