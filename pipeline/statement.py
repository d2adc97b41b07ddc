"""The first sentences of a report: which films the run saw, and what its numbers can show."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from data.config import LabelledTestFilms, LungSource, ScoredFilms, Source, TestFilms
from data.phantom.difficulty import difficulty_name
from pipeline.config import PipelineConfig

_NIH_FILMS, _BRIXIA_FILMS = 112_120, 4_695
_NO_REPRODUCTION = "no number here reproduces, confirms or contradicts the paper."
PHANTOM_STATEMENT = f"Every film is a phantom, rendered by this project: {_NO_REPRODUCTION}"
_PHANTOM_LIMITS = (
    "The run shows that the pipeline works and how the methods behave where the truth is known."
    " What phantoms cannot show stands in docs/phantom_limits.md: label noise, co-occurrence,"
    " imbalance, devices and positioning are not those of real films."
)
_PHANTOMS_AND_FILMS = (
    "The classifier learnt on phantoms and is measured on phantoms; the films with zone scores are"
    f" real ones: {_NO_REPRODUCTION}"
)
_PARTIAL = "Part of the published films: too few for a comparison with the paper."
_OWN = "The films are a data set of the user's own, {name}, not the paper's: " + _NO_REPRODUCTION
_WHOLE = "The published films of NIH ChestX-ray14."
_PHANTOMS_LEARNT = "The classifier learnt on phantoms, rendered by this project."
_OUTLINED = (
    "Measured on {count:,} films of ChestX-Det. Their truth is what three radiologists outlined:"
    " wherever a table or a caption says box, it is all polygons of a finding on a film:"
    f" {_NO_REPRODUCTION}"
)
_NO_BOXES = (
    "Nobody drew boxes on them: of the films with a finding, what the maps point to was not judged,"
    " and there are no Tables 1 and 3."
)
_NOT_EMBEDDED = (
    "report.embed_images=false: no pixel of a film is in this file. Figures that show films are"
    " left out; they lie in figures/ of the run's folder."
)
_LUNGS = {
    LungSource.phantoms: "as a network outlines them that learnt the phantoms' own",
    LungSource.pairs: "as a network outlines them that learnt the films and masks at paths.lungs",
    LungSource.masks: "as the masks at paths.lungs have them",
}


def banner_and_statement(
    config: PipelineConfig, folders: Mapping[str, Path], count: int
) -> tuple[str | None, tuple[str, ...]]:
    """A banner where the films are not the paper's, and sentences of which the first stands alone:
    what kind of films they are.

    ``folders``: of the run's steps by title; ``count``: of the films that the classifiers saw.
    """
    banner, sentences = None, [_WHOLE]
    outlined = config.dataset.test is LabelledTestFilms.chestxdet
    if config.dataset.source is Source.phantoms:
        banner = "phantoms"
        sentences = [_PHANTOMS_AND_FILMS if _real_scored(config) else PHANTOM_STATEMENT]
        if outlined:
            sentences = [_PHANTOMS_LEARNT]
        sentences.append(_PHANTOM_LIMITS)
        sentences.append(f"Phantoms of difficulty {difficulty_name(config.dataset.phantom)}.")
    elif (own := config.dataset.cohort) != "nih":
        banner, sentences = f"own data set: {own}", [_OWN.format(name=own)]
        if "box_samples findings" not in folders and not outlined:
            sentences.append(_NO_BOXES)
    elif count < _NIH_FILMS:
        banner, sentences = f"partial sample: {count:,} of {_NIH_FILMS:,} images", [_PARTIAL]
    if outlined:
        films = pd.read_csv(folders["unseen_films chestxdet"] / "images.csv", usecols=["fold"])
        sentences.append(_OUTLINED.format(count=(films["fold"] == "test").sum()))
    train = config.train
    small = f"epochs at {train.pretrain_side} px"
    pretraining = (
        f", pre-trained for {train.pretrain_epochs} {small} on shapes laid on phantoms"
        if train.pretrain_epochs
        else ""
    )
    first = f"{train.small_epochs} {small} and " if train.small_epochs else ""
    sentences.append(
        f"{count:,} films at {config.dataset.side} px; a DenseNet121 from {config.model.init}"
        f" weights{pretraining}, trained for {first}{train.epochs} epochs with each of"
        f" {', '.join(loss.value for loss in train.losses)}; the model of"
        f" {train.primary.value} is explained;"
        f" attribution by {', '.join(config.attribution.methods)}; seed {config.seed}."
    )
    if config.brixia.source is not ScoredFilms.none:
        sentences.append(_scored_films(config, folders))
    if not config.report.embed_images:
        sentences.append(_NOT_EMBEDDED)
    return banner, tuple(sentences)


def _real_scored(config: PipelineConfig) -> bool:
    """Whether the films with zone scores that are measured are real ones."""
    brixia = config.brixia
    return brixia.source is not ScoredFilms.none and (
        brixia.source is ScoredFilms.files or brixia.test is TestFilms.cohen
    )


def _scored_films(config: PipelineConfig, folders: Mapping[str, Path]) -> str:
    """What the detectors and the regressor rest on."""

    def folds(title: str) -> pd.Series:
        return pd.read_csv(folders[title] / "images.csv", usecols=["fold"])["fold"].value_counts()

    brixia, own = config.brixia, folds("index brixia")
    phantoms, cohen = brixia.source is ScoredFilms.phantoms, brixia.test is TestFilms.cohen
    kind = "phantoms" if phantoms else f"of BrixIA's {_BRIXIA_FILMS:,}"
    learnt = int(own.get("train", 0) + own.get("val", 0))
    measured = (
        f"{int(folds('index cohen').sum()):,} of the public Cohen subset"
        if cohen
        else f"{int(own.get('test', 0)):,} {kind}"
    )
    text = (
        f"Films with zone scores: learnt on {learnt:,} {kind}, measured on {measured}; detectors"
        " and regressor are fine-tuned from the classifier that is explained; the detectors of"
        f" {brixia.detector.primary.value} are explained; lungs {_LUNGS[brixia.lungs.source]}."
    )
    if phantoms or cohen or int(own.sum()) < _BRIXIA_FILMS:
        text += " No number of theirs is a reproduction of the paper."
    return text
