"""NIH ChestX-ray14 in its official files: films found, labels, boxes and folds, and what is wrong.

The same reader serves real files and phantoms, which are written in the same layout.
"""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd

from data.cohort_index import FRAME, CohortIndex
from data.config import DatasetConfig
from data.integrity import DataError, commonest, list_problems, read_table, row_problems
from data.nih_files import (
    BOX_FILE,
    LABEL_FILES,
    SOURCE,
    TEST_LIST,
    TRAIN_VAL_LIST,
    films_named,
    find_films,
    official_file,
    read_names,
)
from data.splits import split_by_patient

FINDINGS = (  # the published order; the first eight are the classes with boxes
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)
NUM_BOX_CLASSES = 8
ALIASES = {"Infiltrate": "Infiltration"}  # as the box file writes it
NO_FINDING = "No Finding"

LABEL_COLUMNS = {
    "Image Index": "image",
    "Finding Labels": "labels",
    "Follow-up #": "follow_up",
    "Patient ID": "patient",
    "Patient Age": "age",
    "Patient Gender": "sex",
    "View Position": "view",
}
IMAGE_COLUMNS = ("image", "path", "patient", "follow_up", "age", "sex", "view", "fold")
MAX_AGE = 120  # years; the first edition has some above 400
WHOLE = r"[0-9]{{1,{digits}}}(?:\.0{{1,3}})?"  # spreadsheets and pandas write 1 as 1.0
WHOLE_NUMBERS = {"patient": ("Patient ID", 15), "follow_up": ("Follow-up #", 4)}  # digits: ours
KNOWN = {"sex": ("Patient Gender", ("M", "F", "")), "view": ("View Position", ("PA", "AP", ""))}
UNSAFE_NAME = re.compile(r"[/\\\x00]|\.\.")
_ABSENT = "listed there, but not found"
BOX_COLUMNS = ("image", "finding", "x", "y", "w", "h", "patient", "fold")


def read_nih(root: Path, config: DatasetConfig) -> CohortIndex:
    """Index of the official layout below ``root``: flat ``images/`` or ``images_001/images/`` ...

    Its own columns: follow_up (int), age (years, NaN if unknown), sex (M, F), view (PA, AP), "" if
    unknown; then one uint8 column per finding. patient is an int; boxes keep the file's order.
    The test fold is the official list; train and val are split per patient over the whole official
    train/val list, so that the split does not depend on which films are present.
    Raises DataError where nothing can be read: no such folder, an official file absent or
    malformed, or none of its films found.
    """
    if config.num_labels not in (NUM_BOX_CLASSES, len(FINDINGS)):
        raise DataError(
            f"dataset.num_labels is {config.num_labels}: "
            f"{len(FINDINGS)} (published code) or {NUM_BOX_CLASSES} (the classes with boxes)"
        )
    findings = FINDINGS[: config.num_labels]
    label_file = official_file(root, *LABEL_FILES)
    box_file = official_file(root, BOX_FILE)
    train_val, train_val_problems = read_names(official_file(root, TRAIN_VAL_LIST))
    test, test_problems = read_names(official_file(root, TEST_LIST))
    films, scan_problems = find_films(root)
    entries, entry_problems = _read_entries(label_file)
    problems = [train_val_problems, test_problems, scan_problems, entry_problems]

    train_val, test = (films_named(lines, entries["image"]) for lines in (train_val, test))
    fold, fold_problems = _folds(entries, train_val, test, config)
    for name, listed in ((TRAIN_VAL_LIST, train_val), (TEST_LIST, test)):
        unnamed = listed[~listed.isin(entries["image"])]
        problems.append(list_problems(unnamed, name, f"has no usable row in {label_file.name}"))
    on_disk = list_problems(
        films.index[~films.index.isin(entries["image"])].to_series(),
        label_file.name,
        "on disk, but no usable row names it",
    )
    present = entries["image"].isin(films.index)
    absent = list_problems(entries["image"][~present], label_file.name, _ABSENT)
    problems += [on_disk, absent]
    if not present.any():
        passed_over = pd.concat([scan_problems, on_disk])
        why = f"; {commonest(passed_over)}" if len(passed_over) else ""
        raise DataError(
            f"none of the {len(entries)} films that {label_file} names was found below {root} "
            f"({len(films)} other PNG files were{why}): unpack the image archives of {SOURCE} there"
        )
    labels, label_problems = _one_hot(entries[present], label_file.name)
    problems += [fold_problems[fold_problems["file"].isin(films.index)], label_problems]

    images = entries[present].drop(columns="labels")
    images["path"] = images["image"].map(films)
    images["fold"] = fold[present]
    images = pd.concat([images[list(IMAGE_COLUMNS)], labels[list(findings)]], axis="columns")
    images = images[labels["usable"] & (images["fold"] != "")]
    if images.empty:
        known = pd.concat(problems)
        raise DataError(
            f"none of the {present.sum()} films found below {root} can be used: "
            f"{commonest(known[known['reason'] != _ABSENT])}"
        )
    images = images.astype(dict.fromkeys(("image", "path", "sex", "view", "fold"), str))
    images = images.sort_values("image", ignore_index=True)
    boxes, box_problems = _boxes_of(box_file, images, entries["image"], findings)
    problems.append(box_problems)
    return CohortIndex(
        images=images,
        boxes=boxes,
        problems=pd.concat(problems, ignore_index=True).astype(str),
        expected=len(entries),
        found=int(present.sum()),
    )


def read_boxes(path: Path) -> pd.DataFrame:
    """All rows of the box file: image, finding (canonical), x, y, w, h (1024-px frame).

    Its header is broken (``Bbox [x,y,w,h],,,``), so columns go by position; the index is the line
    number. A coordinate that is not a number is NaN. Raises DataError as ``read_table``.
    """
    table = read_table(path, ("Image Index", "Finding Label"))
    if list(table.columns[:2]) != ["Image Index", "Finding Label"] or table.shape[1] < 6:
        raise DataError(
            f"{path}: expected the columns Image Index, Finding Label, x, y, w, h in this order, "
            f"found {', '.join(map(repr, table.columns))}"
        )
    boxes = table.iloc[:, :6].set_axis(["image", "finding", "x", "y", "w", "h"], axis="columns")
    boxes = boxes.astype({"image": str, "finding": str})
    boxes["finding"] = boxes["finding"].replace(ALIASES)
    for column in ("x", "y", "w", "h"):
        boxes[column] = pd.to_numeric(boxes[column], errors="coerce").astype(float)
    return boxes


def _read_entries(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the label file, one per film, with numbers parsed; and the rows left out."""
    table = read_table(path, LABEL_COLUMNS)[list(LABEL_COLUMNS)].rename(columns=LABEL_COLUMNS)
    names = table["image"]
    codes, ages = pd.factorize(table["age"])
    table["age"] = np.array([_years(age) for age in ages], dtype=float)[codes]

    reasons = pd.Series("", index=table.index, dtype=object)
    reasons[names == ""] = "no file name: row skipped"
    unsafe = np.array([UNSAFE_NAME.search(name) is not None for name in names])
    reasons[unsafe] = "not a plain file name: row skipped"
    for column, (title, digits) in WHOLE_NUMBERS.items():
        whole = table[column].str.fullmatch(WHOLE.format(digits=digits))
        table[column] = table[column].str.partition(".")[0]
        reasons[~whole & (reasons == "")] = f"{title} is not a whole number: row skipped"
    again = names[reasons == ""].duplicated()
    reasons[again.index[again]] = "the film has a row above: row skipped"
    usable = reasons == ""
    reasons[usable & table["age"].isna()] = f"Patient Age is no age up to {MAX_AGE}: left empty"
    for column, (title, values) in KNOWN.items():
        odd = ~table[column].isin(values)
        table.loc[odd, column] = ""
        reasons[usable & odd] += f"; {title} is not {' or '.join(values[:2])}: left empty"
    reasons = reasons.str.removeprefix("; ")
    problems = row_problems(path, names, reasons, usable)
    entries = table[usable].astype({"patient": np.int64, "follow_up": np.int64})
    return entries, problems


def _years(age: str) -> float:
    """Age in years; the first edition writes 058Y, 006M, 012D. NaN if implausible."""
    match = re.fullmatch(r"(\d{1,6})([YMD]?)", age)
    in_a_year = {"": 1.0, "Y": 1.0, "M": 12.0, "D": 365.25}
    years = int(match[1]) / in_a_year[match[2]] if match else math.nan
    return years if years <= MAX_AGE else math.nan


def _one_hot(entries: pd.DataFrame, label_file: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """uint8 column per finding and bool ``usable``, index of ``entries``; and the unusable rows."""
    codes, texts = pd.factorize(entries["labels"])
    values = np.zeros((len(texts), len(FINDINGS)), dtype=np.uint8)
    text_reasons = []
    for row, text in enumerate(texts):
        labels = [ALIASES.get(label.strip(), label.strip()) for label in text.split("|")]
        unknown = [label for label in labels if label not in (*FINDINGS, NO_FINDING)]
        reason = ""
        if unknown:
            reason = f"unknown finding {', '.join(map(repr, unknown))}: film skipped"
        elif NO_FINDING in labels and len(labels) > 1:
            reason = f"{text!r} contradicts itself: film skipped"
        text_reasons.append(reason)
        values[row] = np.isin(FINDINGS, labels)
    table = pd.DataFrame(values[codes], columns=list(FINDINGS), index=entries.index)
    reasons = pd.Series(np.array(text_reasons, dtype=object)[codes], index=entries.index)
    table["usable"] = reasons == ""
    wrong = reasons != ""
    field = f"{label_file} Finding Labels"
    return table, list_problems(entries["image"][wrong], field, reasons[wrong])


def _folds(
    entries: pd.DataFrame, train_val: pd.Series, test: pd.Series, config: DatasetConfig
) -> tuple[pd.Series, pd.DataFrame]:
    """Fold of each film, "" for those that can stand in none; and these."""
    in_train_val, in_test = entries["image"].isin(train_val), entries["image"].isin(test)
    fold = pd.Series("", index=entries.index, dtype=object)
    fold[in_test & ~in_train_val] = "test"
    leaks = in_train_val & entries["patient"].isin(entries["patient"][in_test])
    learn = in_train_val & ~leaks
    in_val = split_by_patient(entries["patient"][learn], config.val_fraction, config.split_seed)
    fold[learn] = np.where(in_val, "val", "train")
    both = in_train_val & in_test
    lists = f"{TRAIN_VAL_LIST}, {TEST_LIST}"
    shown = [
        list_problems(entries["image"][rows], lists, reason)
        for rows, reason in (
            (~in_train_val & ~in_test, "in neither list: film skipped"),
            (both, "in both lists: film skipped"),
            (leaks & ~both, "its patient is in the test list as well: film skipped"),
        )
    ]
    return fold, pd.concat(shown)


def _boxes_of(
    path: Path, images: pd.DataFrame, named: pd.Series, findings: tuple[str, ...]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Boxes of ``images`` inside the frame; and the boxes left out, clipped or doubtful."""
    boxes = read_boxes(path)
    films = images.set_index("image")
    corners = boxes[["x", "y"]].to_numpy()
    size = boxes[["w", "h"]].to_numpy()
    low = corners.clip(0, FRAME)
    with np.errstate(over="ignore", invalid="ignore"):
        high = (corners + size).clip(0, FRAME)
        outside = ((corners < 0) | (corners + size > FRAME)).any(axis=1)
        empty = ~(high > low).all(axis=1)
    values = boxes[["x", "y", "w", "h"]].to_numpy()

    reasons = pd.Series("", index=boxes.index, dtype=object)
    for wrong, reason in (
        (~boxes["image"].isin(named), "no usable row names this film: box skipped"),
        (~boxes["finding"].isin(findings), "unknown finding: box skipped"),
        (~np.isfinite(values).all(axis=1), "not four finite numbers: box skipped"),
        (~(size > 0).all(axis=1), "width and height must be positive: box skipped"),
        (empty, f"wholly outside the {FRAME}-px frame: box skipped"),
        (boxes.duplicated(), "the same box stands above: box skipped"),
    ):
        reasons[np.asarray(wrong) & (reasons == "")] = reason
    usable = reasons == ""
    reasons[usable & outside] = f"reaches outside the {FRAME}-px frame: clipped"

    boxes = boxes.copy()
    boxes.loc[outside, ["x", "y", "w", "h"]] = np.hstack([low, high - low])[outside]
    kept = boxes[usable & boxes["image"].isin(images["image"])]
    kept = kept.join(films[["patient", "fold"]], on="image")
    positions = films.index.get_indexer(pd.Index(kept["image"]))
    labels = films[list(findings)]
    columns = labels.columns.get_indexer(pd.Index(kept["finding"]))
    unlabelled = kept.index[labels.to_numpy()[positions, columns] == 0]
    reasons[unlabelled] += "; its film lacks this label: box kept"
    reasons = reasons.str.removeprefix("; ")

    problems = row_problems(path, boxes["image"], reasons, usable)
    problems["field"] += " " + boxes["finding"]
    return kept[list(BOX_COLUMNS)].reset_index(drop=True), problems
