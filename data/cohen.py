"""The public Cohen subset with Brixia scores of two radiologists, senior and junior.

Source: https://github.com/BrixIA/Brixia-score-COVID-19 (``data/public-annotations.csv`` and
``data/public-cohen-subset``), films of https://github.com/ieee8023/covid-chestxray-dataset.
"""

import re
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.brixia_score import ZONES, label_columns, parse_scores
from data.cohort_index import CohortIndex
from data.config import CohenReader
from data.integrity import (
    DataError,
    commonest,
    list_problems,
    read_table,
    resolve_inside,
    row_problems,
)
from data.nih import UNSAFE_NAME
from data.nih_files import find_films
from data.packing import read_with_doubts, squash

TABLE = "public-annotations.csv"
SUFFIXES = (".jpg", ".jpeg", ".png")
PREFIXES = {CohenReader.senior: "S", CohenReader.junior: "J"}
DAY = re.compile(r"[-_ ](day[-_ ]?\d+|admission|\d+[-_ ](hours|days))\b.*")


def read_square(path: Path, side: int) -> tuple[NDArray[np.uint8], str]:
    """How films are packed: their colours to grey, then squashed to a square, as BrixIA's."""
    film, doubts = read_with_doubts(path)
    return squash(film, side), doubts


def read_cohen(root: Path, reader: CohenReader = CohenReader.senior) -> CohortIndex:
    """Index of ``public-annotations.csv`` and the films that lie anywhere below ``root``.

    The labels are those of ``reader``; other_score is the other radiologist's global score. All
    films are in the fold "test". Nothing says which films show one patient but names that differ in
    their day alone ("...-day3.jpg"): they share their ``patient``.
    Raises DataError where nothing can be read: no such folder, the table absent or malformed, or
    none of its films found.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: set paths.cohen to the public Cohen subset")
    resolve_inside(root, TABLE)
    other = CohenReader.junior if reader is CohenReader.senior else CohenReader.senior
    scores, table, problems = _read_scores(root / TABLE, reader, other)
    films, scan_problems = find_films(root, SUFFIXES)
    films.index = films.index.map(_composed)
    films = films[~films.index.duplicated()]
    present = table["image"].isin(films.index).to_numpy()
    absent = list_problems(table["image"][~present], TABLE, "listed there, but not found")
    if not present.any():
        why = f"; {commonest(scan_problems)}" if len(scan_problems) else ""
        raise DataError(
            f"none of the {len(table)} films that {root / TABLE} names was found below {root} "
            f"({len(films)} other films were{why}): copy public-cohen-subset there"
        )
    images = table[present].reset_index(drop=True)
    images["path"] = images["image"].map(films)
    images["patient"] = [DAY.sub("", Path(name).stem) for name in images["image"]]
    images["fold"] = "test"
    images["other_score"] = scores[other][present].sum(axis=1, dtype=np.uint8)
    images = pd.concat([images, label_columns(scores[reader][present])], axis="columns")
    return CohortIndex(
        images=images.sort_values("image", ignore_index=True),
        boxes=None,
        problems=pd.concat([problems, scan_problems, absent], ignore_index=True).astype(str),
        expected=len(table),
        found=int(present.sum()),
    )


def _composed(name: str) -> str:
    """Accents as one character each: archives made on macOS hold them as two."""
    return unicodedata.normalize("NFC", name)


def _read_scores(
    path: Path, *readers: CohenReader
) -> tuple[dict[CohenReader, NDArray[np.uint8]], pd.DataFrame, pd.DataFrame]:
    """Zone scores (N, 6) by each reader of N usable rows, their column image; and the others."""
    columns = {reader: [f"{PREFIXES[reader]}-{zone}" for zone in ZONES] for reader in readers}
    totals = {reader: f"{PREFIXES[reader]}-Global" for reader in readers}
    table = read_table(
        path,
        ("filename", *(name for names in columns.values() for name in names), *totals.values()),
    )
    names = table["filename"].map(_composed)
    unsafe = [not name or UNSAFE_NAME.search(name) is not None for name in names]
    reasons = pd.Series("", index=table.index, dtype=object)
    scores = {}
    for reader in readers:
        # A field that is not one character long must not pass for two zones.
        digits = table[columns[reader]].map(lambda text: text if len(text) == 1 else "?")
        scores[reader], why = parse_scores(
            digits.agg("".join, axis="columns"), table[totals[reader]], totals[reader]
        )
        reasons = reasons.where(reasons != "", pd.Series(why, index=table.index))
    reasons[unsafe] = "not a plain file name: row skipped"
    again = names[reasons == ""].duplicated()
    reasons[again.index[again]] = "the film has a row above: row skipped"
    usable = reasons == ""
    problems = row_problems(path, names, reasons, usable)
    kept = {reader: values[usable] for reader, values in scores.items()}
    return kept, pd.DataFrame({"image": names[usable]}), problems
