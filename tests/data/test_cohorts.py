"""What a reader of a user's own gives is checked, and so is how it is made known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cohort_index import CohortIndex, in_frame
from data.cohorts import OwnCohort, register_cohort
from data.config import OWN_COHORTS
from data.integrity import DataError, problem_table

IMAGES = pd.DataFrame(
    {
        "image": ["a", "b", "c"],
        "path": ["a.png", "b.png", "c.png"],
        "patient": ["1", "2", "3"],
        "fold": ["train", "val", "test"],
        "Mass": [0, 1, 1],
    }
)
BOXES = pd.DataFrame(
    {"image": ["c"], "finding": ["Mass"], "x": [0.0], "y": [1.0], "w": [2.0], "h": [1023.0]}
)


@dataclass(frozen=True)
class Reader:
    images: pd.DataFrame
    boxes: pd.DataFrame | None

    def read(self, root: Path) -> CohortIndex:
        return CohortIndex(self.images, self.boxes, problem_table([]), 3, 3)

    def read_square(self, path: Path, side: int) -> tuple[np.ndarray, str]:
        return np.zeros((side, side + 1), np.uint8), ""


def read(images: pd.DataFrame, boxes: pd.DataFrame | None = BOXES, boxed: bool = True):
    return OwnCohort("mine", Reader(images, boxes), ("Mass",), boxed).read(Path())


def test_boxes_get_the_patient_and_fold_of_their_film():
    assert read(IMAGES).boxes.iloc[0].tolist() == ["c", "Mass", 0, 1, 2, 1023, "3", "test"]
    assert read(IMAGES, None, boxed=False).boxes is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Mass": [0, 1, 2]}, "Mass: 0 or 1"),
        ({"Mass": [0, 1, None]}, "Mass: 0 or 1"),
        ({"fold": ["train", "val", "val"]}, "fold: train, val, test, and films of each"),
        ({"fold": ["train", "val", "tset"]}, "fold: train, val, test"),
        ({"patient": ["1", "2", "2"]}, "1 patients have films in more than one fold"),
        ({"patient": ["1", "2", ""]}, "patient: some names are empty"),
        ({"patient": ["07", "7", "3"]}, "patient: .*such as 07 and 7"),
        ({"image": ["a", "b", "NA"]}, "image: some names are empty, NA"),
        ({"image": ["a", "b", "b"]}, "a film stands there twice"),
        ({"age": ["old", "058Y", "3"]}, "age: a number"),
    ],
)
def test_wrong_films_are_named_with_their_data_set(changed, message):
    with pytest.raises(DataError, match=f"^mine: images: .*{message}"):
        read(IMAGES.assign(**changed))


def test_a_column_that_is_absent_is_named():
    with pytest.raises(DataError, match="mine: images: lacks the column fold, Mass"):
        read(IMAGES.drop(columns=["fold", "Mass"]))
    with pytest.raises(DataError, match="mine: boxes: lacks the column w"):
        read(IMAGES, BOXES.drop(columns="w"))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": ["d"]}, "a film that is not among the images"),
        ({"finding": ["Nodule"]}, "finding: one of Mass"),
        ({"w": [0]}, "within a film of 1024 x 1024"),
        ({"y": [2]}, "within a film"),
        ({"x": [np.nan]}, "within a film"),
        ({"x": ["left"]}, "numbers"),
    ],
)
def test_wrong_boxes_are_named(changed, message):
    with pytest.raises(DataError, match=f"^mine: boxes: .*{message}"):
        read(IMAGES, BOXES.assign(**changed))


def test_boxes_are_there_as_the_registration_says():
    with pytest.raises(DataError, match="boxes=True, but its reader gives none"):
        read(IMAGES, None)
    with pytest.raises(DataError, match="boxes=False, but its reader gives some"):
        read(IMAGES, BOXES, boxed=False)


def test_a_film_of_another_shape_is_the_reader_s_fault_and_no_skip():
    cohort = OwnCohort("mine", Reader(IMAGES, None), ("Mass",), False)
    with pytest.raises(ValueError, match=r"mine: read_square gave uint8 \(8, 9\)") as caught:
        cohort.read_square(Path(), 8)
    assert not isinstance(caught.value, DataError)


@pytest.mark.parametrize(
    ("name", "reader", "labels", "message"),
    [
        ("nih", Reader(IMAGES, None), ["Mass"], "there is a data set 'nih' already"),
        ("taken", Reader(IMAGES, None), ["Mass"], "there is a data set 'taken' already"),
        ("My films", Reader(IMAGES, None), ["Mass"], "small letters"),
        ("mine", Reader, ["Mass"], "no dataclass instance"),
        ("mine", object(), ["Mass"], "no dataclass instance"),
        ("mine", Reader(IMAGES, None), [], "one label or more"),
        ("mine", Reader(IMAGES, None), ["Mass", "Mass"], "each once"),
        ("mine", Reader(IMAGES, None), ["patient"], "'patient' cannot be a label"),
        ("mine", Reader(IMAGES, None), ["NA"], "'NA' cannot be a label"),
        ("mine", Reader(IMAGES, None), ["1"], "'1' cannot be a label"),
        ("mine", Reader(IMAGES, None), ["=A1"], "'=A1' cannot be a label"),
    ],
)
def test_what_cannot_be_registered_is_refused(monkeypatch, name, reader, labels, message):
    monkeypatch.setitem(OWN_COHORTS, "taken", None)
    with pytest.raises(ValueError, match=message):
        register_cohort(name, reader, labels)
    assert "mine" not in OWN_COHORTS


def test_a_box_is_put_into_the_middle_square_and_cut_to_it():
    assert in_frame(10, 40, 30, 20, (90, 60)) == pytest.approx(
        (10 * 1024 / 60, 25 * 1024 / 60, 512, 20 * 1024 / 60)
    )
    assert in_frame(0, 10, 60, 10, (60, 90)) == pytest.approx((0, 10240 / 60, 768, 10240 / 60))
    assert in_frame(5, 0, 20, 15, (90, 60)) is None  # above the square
    assert in_frame(5, 30, 0, 15, (90, 60)) is None
    assert in_frame(float("nan"), 30, 5, 15, (90, 60)) is None
