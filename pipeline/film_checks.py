"""What of the settings of the labelled films cannot work: NIH's, or a data set of one's own."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from data.config import OWN_COHORTS, DatasetConfig, LabelledTestFilms, Source
from evaluation.config import EvaluationConfig

_OF_NIH = ("num_labels", "val_fraction", "split_seed")  # of dataset; other readers have their own


def film_problems(
    data: DatasetConfig,
    evaluation: EvaluationConfig,
    folders: Mapping[str, str | None],
    named: set[str],
) -> Iterator[tuple[str, str]]:
    """(key, problem). ``folders``: ``config.paths``; ``named``: the keys on the command line, where
    what nothing reads is a mistake; the files of conf/ may hold more than one experiment's paths.
    """

    files, own = data.source is Source.files, OWN_COHORTS.get(data.cohort)
    if own is None and data.cohort != "nih":
        yield (
            "dataset.cohort",
            f"unknown {data.cohort}; known: {', '.join(('nih', *OWN_COHORTS))}. One of your own is"
            " known to its own file, which is then the command: docs/extending.md",
        )
    elif own is not None and not files:
        yield (
            "dataset.cohort",
            f"{data.cohort} is read from files, but this experiment renders phantoms;"
            " add experiment=films",
        )
    elif own is not None:
        yield from _own_problems(data, folders, named)
        localized = "evaluation.metrics" in named and "localization" in evaluation.metrics
        if localized and not own.boxes and data.test is LabelledTestFilms.own:
            yield "evaluation.metrics", f"{data.cohort} has no boxes; leave localization out"
    else:
        yield from _nih_problems(data, folders, named)
    asked = data.test is LabelledTestFilms.chestxdet
    if asked and folders["chestxdet"] is None:
        from data.chestxdet import ADVICE

        yield "paths.chestxdet", f"is not set, but dataset.test=chestxdet reads it; {ADVICE}"
    if "paths.chestxdet" in named and not asked:
        yield "paths.chestxdet", "is set, but nothing reads it; add experiment=chestxdet"
    labels = own.labels if own else _nih_labels(data)
    unknown = sorted(set(evaluation.findings or ()) - set(labels))
    if unknown:
        yield "evaluation.findings", f"unknown {', '.join(unknown)}; known: {', '.join(labels)}"


def _nih_problems(
    data: DatasetConfig, folders: Mapping[str, str | None], named: set[str]
) -> Iterator[tuple[str, str]]:
    files = data.source is Source.files
    if "paths.films" in named:
        yield (
            "paths.films",
            "is set, but no data set of your own is read; add dataset.cohort=<its name>",
        )
    if "paths.nih" in named and not files:
        yield (
            "paths.nih",
            "is set, but this experiment renders phantoms; add experiment=nih to read your films",
        )
    if files and folders["nih"] is None:
        yield (
            "paths.nih",
            "is not set; give the folder with Data_Entry_2017_v2020.csv and images/, "
            "as in paths.nih=/data/nih",
        )
    if data.num_labels not in (8, 14):
        yield "dataset.num_labels", "8 or 14"


def _own_problems(
    data: DatasetConfig, folders: Mapping[str, str | None], named: set[str]
) -> Iterator[tuple[str, str]]:
    films, outputs = folders["films"], folders["outputs"]
    if films is None:
        yield (
            "paths.films",
            f"is not set; give the folder of {data.cohort}, as in paths.films=/data/{data.cohort}",
        )
    elif Path(str(outputs)).resolve().is_relative_to(Path(films).resolve()):
        yield (
            "paths.outputs",
            "lies in paths.films, whose every file is part of the keys; give a folder elsewhere",
        )
    if "paths.nih" in named:
        yield "paths.nih", f"is set, but {data.cohort} lies at paths.films"
    for name in _OF_NIH:
        if f"dataset.{name}" in named:
            yield (
                f"dataset.{name}",
                f"is of NIH's films; the reader of {data.cohort} has its own",
            )


def _nih_labels(data: DatasetConfig) -> tuple[str, ...]:
    from data.nih import FINDINGS

    return FINDINGS[: data.num_labels]
