"""BrixIA: DICOM films with six zone scores, read where its owners' files lie.

The data set is given out under a research use agreement; no part of it is part of this project.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.brixia_score import label_columns, parse_scores
from data.cohort_index import CohortIndex
from data.config import BrixiaConfig, DicomScaling
from data.dicom import read_dicom, read_dicom_facts
from data.grey_range import grey_doubt
from data.integrity import (
    DataError,
    Problem,
    commonest,
    list_problems,
    problem_table,
    read_table,
    reason_alone,
    resolve_film,
    resolve_inside,
    row_problems,
)
from data.nih_files import find_films
from data.packing import squash
from data.splits import split_by_patient

TABLE = "metadata_global_v2.csv"
FILMS = "dicom_clean"
COLUMNS = {
    "Filename": "image",
    "Subject": "patient",
    "BrixiaScore": "digits",
    "BrixiaScoreGlobal": "total",
    "ConsensusTestset": "consensus",
    "PhotometricInterpretation": "photometric",
}
IN_CONSENSUS, OUT_OF_CONSENSUS = ("1", "1.0"), ("0", "0.0", "")  # as pandas may write them
FOLDS = ("train", "val", "test")
OTHER_NAME = "(not 16 to 20 digits)"  # stands for a name that may be a patient's
# As strings: such numbers overflow 64 bits. The published split writes .jpg.
NAME = re.compile(r"(\d{16,20})(\.\w+)?", re.ASCII)


def read_square(
    path: Path, side: int, scaling: DicomScaling = DicomScaling.header
) -> tuple[NDArray[np.uint8], str]:
    """How films are packed: grey by ``scaling``, then squashed to a square, as published."""
    film, _ = read_dicom(path, scaling)  # the index lists its header's doubts
    return squash(film, side), grey_doubt(film)


def read_brixia(root: Path, config: BrixiaConfig) -> CohortIndex:
    """Index of ``dicom_clean/*.dcm`` and ``metadata_global_v2.csv`` below ``root``.

    Its own columns: consensus (bool, one of the 150 films scored by five radiologists), rows,
    columns, bits_stored, photometric, row_spacing, column_spacing (mm, NaN if not given). Folds are
    drawn per subject over the whole table, so that they do not depend on which films are present,
    or come from ``config.split_file``.
    Raises DataError where nothing can be read: no such folder, the table or the split absent or
    malformed, or none of its films found.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: set paths.brixia to the BrixIA files")
    resolve_inside(root, TABLE)
    entries, entry_problems = _read_entries(root / TABLE)
    fold, fold_problems = _folds(entries, root, config)
    resolve_film(root, FILMS)
    films, scan_problems = find_films(root, (".dcm",), FILMS)
    nested = films[[path != f"{FILMS}/{name}" for name, path in films.items()]].index.to_series()
    films = films.drop(nested)
    scan_problems["file"] = scan_problems["file"].map(shown_name)
    present = entries["image"].isin(films.index)
    if not present.any():
        why = f"; {commonest(scan_problems)}" if len(scan_problems) else ""
        raise DataError(
            f"none of the {len(entries)} films that {TABLE} names was found in {root / FILMS} "
            f"({len(films)} other .dcm files were{why}): put them there under their own names"
        )
    unnamed = films.index[~films.index.isin(entries["image"])].to_series()
    problems = [
        entry_problems,
        fold_problems,
        scan_problems,
        list_problems(entries["image"][~present], TABLE, "listed there, but not found"),
        list_problems(unnamed.map(shown_name), TABLE, "on disk, but no usable row names it"),
        list_problems(nested.map(shown_name), FILMS, "in a folder below it: not read"),
    ]
    images = entries.assign(path=entries["image"].map(films), fold=fold)[present & (fold != "")]
    if images.empty:
        raise DataError(
            f"none of the {present.sum()} films found can be used: {commonest(fold_problems)}"
        )
    facts, fact_problems = _facts(images, root)
    images = images.drop(columns="photometric").join(facts, how="inner")
    first = ["image", "path", "patient", "fold", "consensus", *facts.columns]
    images = images[[*first, *(name for name in images.columns if name not in first)]]
    images = images.astype(dict.fromkeys(("image", "path", "patient", "fold", "photometric"), str))
    return CohortIndex(
        images=images.sort_values("image", ignore_index=True),
        boxes=None,
        problems=pd.concat([*problems, fact_problems], ignore_index=True).astype(str),
        expected=len(entries),
        found=int(present.sum()),
    )


def _canonical(names: pd.Series) -> pd.Series:
    """``<digits>.dcm`` for names of 16 to 20 digits with any ending or none; "" for others."""
    matches = [NAME.fullmatch(name) for name in names]
    return pd.Series([f"{m[1]}.dcm" if m else "" for m in matches], names.index, dtype=object)


def shown_name(path: str) -> str:
    """The name of a film as messages may show it: never one that could be a patient's."""
    name = path.removeprefix(f"{FILMS}/")
    return name if NAME.fullmatch(name) else OTHER_NAME


def _read_entries(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Usable rows of the table with their labels; and the rows left out or repaired."""
    table = read_table(path, COLUMNS, separator=";")[list(COLUMNS)].rename(columns=COLUMNS)
    written = table["image"]
    table["image"] = _canonical(written)
    short = np.array([re.fullmatch(r"[0-3]{1,5}", text) is not None for text in table["digits"]])
    table["digits"] = [text.zfill(6) if text.isdecimal() else text for text in table["digits"]]
    scores, score_reasons = parse_scores(table["digits"], table["total"], "BrixiaScoreGlobal")

    reasons = pd.Series(score_reasons, index=table.index, dtype=object)
    reasons[table["patient"] == ""] = "no Subject: row skipped"
    reasons[table["image"] == ""] = "not a name of 16 to 20 digits: row skipped"
    again = table["image"][reasons == ""].duplicated()
    reasons[again.index[again]] = "the film has a row above: row skipped"
    usable = reasons == ""
    reasons[usable & short] = "BrixiaScore had lost leading zeros, which its sum confirms: restored"
    odd = ~table["consensus"].isin((*IN_CONSENSUS, *OUT_OF_CONSENSUS))
    reasons[usable & odd] += "; ConsensusTestset is neither 0 nor 1: taken for 0"
    reasons = reasons.str.removeprefix("; ")
    problems = row_problems(path, written.map(shown_name), reasons, usable)
    entries = table[usable][["image", "patient", "photometric"]]
    entries = entries.assign(consensus=table["consensus"].isin(IN_CONSENSUS))
    labels = label_columns(scores[usable]).set_index(entries.index)
    return pd.concat([entries, labels], axis="columns"), problems


def _folds(
    entries: pd.DataFrame, root: Path, config: BrixiaConfig
) -> tuple[pd.Series, pd.DataFrame]:
    """Fold of each film, "" for those in none; and these."""
    if config.split_file:
        return _published_folds(entries, resolve_inside(root, config.split_file))
    fold = pd.Series("train", index=entries.index, dtype=object)
    if config.val_fraction + config.test_fraction >= 1:
        raise DataError("val_fraction and test_fraction leave no films to train on")
    in_test = split_by_patient(entries["patient"], config.test_fraction, config.split_seed)
    share = config.val_fraction / (1 - config.test_fraction)
    learn = entries["patient"][~in_test]
    fold[in_test] = "test"
    fold[learn.index[split_by_patient(learn, share, config.split_seed)]] = "val"
    return fold, problem_table([])


def _published_folds(entries: pd.DataFrame, path: Path) -> tuple[pd.Series, pd.DataFrame]:
    """The authors' split, of images: a subject may stand in several folds, which is listed."""
    table = read_table(path, ("Image Index", "fold"))
    unknown = table[~table["fold"].isin(FOLDS)]
    if len(unknown):
        raise DataError(f"{path} line {unknown.index[0]}: fold is not one of {', '.join(FOLDS)}")
    names = _canonical(table["Image Index"])
    if (names == "").any() or names.duplicated().any():
        raise DataError(f"{path}: a name occurs twice or is not 16 to 20 digits")
    fold = entries["image"].map(dict(zip(names, table["fold"], strict=True))).fillna("")
    folds_of = fold[fold != ""].groupby(entries["patient"]).nunique()
    leaking = entries["image"][entries["patient"].isin(folds_of.index[folds_of > 1])]
    return fold, pd.concat(
        [
            list_problems(entries["image"][fold == ""], path.name, "not in it: film skipped"),
            list_problems(leaking, path.name, "its subject stands in another fold as well"),
        ]
    )


def _facts(images: pd.DataFrame, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Technical columns of the films with a usable header; and those without, and doubts."""
    rows, problems = {}, []
    for line, image, name, photometric in images[["image", "path", "photometric"]].itertuples():
        path = root / name
        try:
            facts = read_dicom_facts(path)
        except DataError as error:
            problems.append((image, "film", reason_alone(error, path)))
            continue
        problems += [(image, field, reason) for field, reason in facts.doubts]
        if photometric != facts.photometric:
            reason = f"{TABLE} says otherwise than the header, which is followed"
            problems.append((image, "PhotometricInterpretation", reason))
        row_spacing, column_spacing = facts.spacing or (np.nan, np.nan)
        rows[line] = {
            "rows": facts.rows,
            "columns": facts.columns,
            "bits_stored": facts.bits_stored,
            "photometric": facts.photometric,
            "row_spacing": row_spacing,
            "column_spacing": column_spacing,
        }
    listed = problem_table(Problem(*each) for each in problems)
    if not rows:
        raise DataError(f"no film in {root / FILMS} can be read: {commonest(listed)}")
    return pd.DataFrame.from_dict(rows, orient="index"), listed
