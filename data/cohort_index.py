"""What the reader of a data set gives: the films that are present, and what is wrong with them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.integrity import DataError

FRAME = 1024  # boxes are in pixels of NIH's published films, whatever the side of those read
FIRST_COLUMNS = ("image", "path", "patient", "fold")
KNOWN_COLUMNS = ("view", "age", "follow_up")  # NIH's own columns that the shortcut audit reads
FOLDS = ("train", "val", "test")
_BOX = ["image", "finding", "x", "y", "w", "h"]


@dataclass(frozen=True)
class CohortIndex:
    """What a data set says about the films that are present.

    images: image (file name), path (relative to the root), patient, fold ("train" | "val" |
        "test"), the data set's own columns, then its labels; in the order of the names.
    boxes: image, finding, x, y, w, h (float, pixels of a film of 1024 x 1024), patient, fold; of
        films of ``images`` only. None where there are none.
    polygons: image, finding, points (JSON: a list of x, y in pixels of a film of 1024 x 1024) of
        each part of a finding that readers outlined. None where there are none.
    problems: file, field, reason of everything skipped or repaired, absent films included.
    expected, found: films that the data set names, and those of them that are on disk.
    """

    images: pd.DataFrame
    boxes: pd.DataFrame | None
    problems: pd.DataFrame
    expected: int
    found: int
    polygons: pd.DataFrame | None = None


def in_frame(
    x: float, y: float, w: float, h: float, shape: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """A box in pixels of a film of ``shape`` (H, W) as x, y, w, h of ``CohortIndex.boxes``, for
    films that ``packing.read_square`` reads; None where it lies outside their middle square."""
    side = min(shape)
    corners = np.array([[x, y], [x + w, y + h]])
    margins = (shape[1] - side) / 2, (shape[0] - side) / 2
    (left, top), (right, bottom) = ((corners - margins) * FRAME / side).clip(0, FRAME).tolist()
    if not (right > left and bottom > top):
        return None
    return left, top, right - left, bottom - top


def check_images(images: pd.DataFrame, labels: Sequence[str]) -> None:
    """Raises DataError where films are not as ``CohortIndex`` says, with a column a label, or where
    a patient stands in two folds."""
    _need_columns(images, (*FIRST_COLUMNS, *labels), "images")
    # As the steps after the index read them.
    text = images.to_csv(index=False)
    read = pd.read_csv(io.StringIO(text), dtype={"image": str, "path": str})
    for column in ("image", "path", "patient"):
        if read[column].isna().any() or read[column].nunique() < images[column].nunique():
            raise DataError(
                f"images: {column}: some names are empty, NA, or the same number, such as 07 and 7"
            )
    if read["image"].duplicated().any():
        raise DataError("images: image: a film stands there twice; a name must be unique")
    absent = [fold for fold in FOLDS if fold not in set(read["fold"])]
    if absent or not read["fold"].isin(FOLDS).all():
        raise DataError(f"images: fold: {', '.join(FOLDS)}, and films of each")
    shared = int((read.groupby("patient")["fold"].nunique() > 1).sum())
    if shared:
        raise DataError(f"images: {shared} patients have films in more than one fold")
    for label in labels:
        if not read[label].isin([0, 1]).all():
            raise DataError(f"images: {label}: 0 or 1")
    for column in {"age", "follow_up"} & set(read):
        if not pd.api.types.is_numeric_dtype(read[column]):
            raise DataError(f"images: {column}: a number, or empty")


def check_boxes(boxes: pd.DataFrame, images: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """``boxes`` (image, finding, x, y, w, h) with each film's patient and fold.

    Raises DataError where they are not as ``CohortIndex`` says.
    """
    _need_columns(boxes, _BOX, "boxes")
    if not boxes["image"].isin(images["image"]).all():
        raise DataError("boxes: image: a box of a film that is not among the images")
    if not boxes["finding"].isin(labels).all():
        raise DataError(f"boxes: finding: one of {', '.join(labels)}")
    try:
        edges = boxes[_BOX[2:]].to_numpy(float)
    except (TypeError, ValueError):
        raise DataError("boxes: x, y, w, h: numbers") from None
    low, high = edges[:, :2], edges[:, :2] + edges[:, 2:]
    if not ((low >= 0) & (high > low) & (high <= FRAME + 1e-6)).all():
        raise DataError(f"boxes: x, y, w, h: within a film of {FRAME} x {FRAME} pixels")
    owners = images.set_index("image")[["patient", "fold"]]
    return boxes[_BOX].join(owners, on="image").reset_index(drop=True)


def _need_columns(table: pd.DataFrame, columns: Sequence[str], name: str) -> None:
    if missing := [column for column in columns if column not in table]:
        raise DataError(f"{name}: lacks the column {', '.join(missing)}")
