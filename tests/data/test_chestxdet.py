"""The reader of ChestX-Det: films, labels and polygons, and what becomes of a broken record."""

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.chestxdet import FILES, OUTPUTS, read_chestxdet
from data.cohort_index import CohortIndex
from data.config import PhantomConfig
from data.integrity import DataError
from data.nih import FINDINGS
from data.phantom.nih_layout import render_nih

SQUARE = [[100, 100], [300, 100], [300, 300], [100, 300]]
BOW = [[500, 500], [700, 700], [700, 500], [500, 600]]


def record(name: str, **polygons: Any) -> dict[str, Any]:
    """A film with one polygon, or a list of them, of each finding; ``_`` is a space in its name."""
    pairs = [
        (finding.replace("_", " "), each)
        for finding, given in polygons.items()
        for each in (given if given and isinstance(given[0][0], list) else [given])
    ]
    boxes = [[0, 0, 1, 1] for _ in pairs]  # not read: polygons say it all
    syms, outlines = [finding for finding, _ in pairs], [points for _, points in pairs]
    return {"file_name": name, "syms": syms, "boxes": boxes, "polygons": outlines}


TRAIN = [
    record("36199.png", Mass=[SQUARE, BOW], Pleural_Thickening=SQUARE),
    record("36200.png"),
]
TEST = [record("70000.png", Effusion=SQUARE, Fracture=SQUARE)]


def write(root: Path, train: Any = TRAIN, test: Any = TEST, start: str = "") -> Path:
    """The official layout; the films are empty files, for only packing opens them."""
    for part, records in (("train", train), ("test", test)):
        (root / part).mkdir(parents=True, exist_ok=True)
        text = start + json.dumps(records)
        (root / FILES[part]).write_text(text, encoding="utf-8")
        for each in records if isinstance(records, list) else ():
            name = each.get("file_name") if isinstance(each, dict) else None
            if isinstance(name, str) and name.endswith(".png") and "/" not in name:
                (root / part / name).touch()
    return root


def reasons(index: CohortIndex) -> list[str]:
    return index.problems["reason"].tolist()


def test_films_of_both_parts_have_the_labels_and_polygons_that_outputs_name(tmp_path):
    index = read_chestxdet(write(tmp_path, start="\ufeff"), FINDINGS)
    images = index.images.set_index("image")
    assert (index.expected, index.found) == (3, 3)
    assert images["part"].to_dict() == {
        "36199.png": "train", "36200.png": "train", "70000.png": "test",
    }  # fmt: skip
    assert set(images["fold"]) == {"test"}
    assert images["path"].tolist() == ["train/36199.png", "train/36200.png", "test/70000.png"]
    shown = images.loc[:, "Atelectasis":].astype(bool)
    assert shown.loc["36199.png"][shown.loc["36199.png"]].index.tolist() == [
        "Mass", "Pleural_Thickening",
    ]  # fmt: skip
    assert not shown.loc["36200.png"].any()
    # What nobody looked for, or no output means, has no column.
    assert not {"Infiltration", "Pneumonia", "Edema", "Hernia", "Fracture"} & set(images)
    assert index.polygons is not None
    rows = index.polygons[["image", "finding"]].agg(" ".join, axis="columns").tolist()
    assert rows == [
        *["36199.png Mass"] * 2, "36199.png Pleural_Thickening", "70000.png Effusion",
    ]  # fmt: skip
    assert json.loads(index.polygons["points"][1]) == BOW


def test_findings_without_an_output_are_listed_and_none_at_all_is_an_error(tmp_path):
    index = read_chestxdet(write(tmp_path), ("Effusion", "Fracture"))
    listed = index.problems[index.problems["reason"].str.contains("no output")]
    assert listed["field"].tolist() == ["Mass, 2 polygons", "Pleural Thickening, 1 polygons"]
    with pytest.raises(DataError, match="no finding of ChestX-Det is an output of the model"):
        read_chestxdet(tmp_path, ("Infiltration", "Lung Opacity"))


def test_only_an_output_of_the_same_meaning_is_named():
    # Words that stand for something wider or other in a published set of labels.
    others = {"Infiltration", "Pneumonia", "Lung Lesion", "Lung Opacity", "Edema", "Hernia"}
    named = [name for names in OUTPUTS.values() for name in names]
    assert len(named) == len(set(named))
    assert not others & set(named)
    assert all(finding in names for finding, names in OUTPUTS.items())


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (record("1.png", Mass=SQUARE, Nodule=[SQUARE[:2]]), "fewer than three points"),
        (record("1.png", Mass=[[5, 5], [9, 9], [7, 7]]), "without an area"),
        (record("1.png", Mass=[[1024, 5], [1100, 5], [1100, 50]]), "wholly outside"),
        (record("1.png", Mass=[[1, 5], ["?", 5], [9, 9]]), "not two numbers"),
        (record("1.png", Mass=[[1, 5, 2], [7, 5, 2], [9, 9, 2]]), "not two numbers"),
        (record("1.png", Mass=[[1, 5], [float("nan"), 5], [9, 9]]), "not two numbers"),
        (record("1.png", Mass=[[1, 5], [1e300, 5], [9, 9]]), "in or near the frame"),
        (record("1.png", Mass=SQUARE * 501), "more than 2000 points"),
        (record("1.png", Tumour=SQUARE), "unknown finding 'Tumour'"),
        (record("1.png", Mass=SQUARE) | {"syms": ["Mass", "Mass"]}, "as many syms as polygons"),
        (record("1.png", Mass=SQUARE) | {"polygons": None}, "not both lists"),
        (record("../1.png", Mass=SQUARE), "not a plain file name"),
        (record("36199.png"), "has a record above"),
        ({"syms": [], "polygons": []}, "no file_name"),
        ("1.png", "no file_name"),
    ],
)
def test_a_film_with_a_broken_record_is_left_out_and_listed(tmp_path, broken, reason):
    index = read_chestxdet(write(tmp_path, test=[*TEST, broken]), FINDINGS)
    assert index.images["image"].tolist() == ["36199.png", "36200.png", "70000.png"]
    assert index.expected == 4
    listed = index.problems[index.problems["field"] == f"{FILES['test']} record 2"]
    assert reason in listed["reason"].item()
    assert listed["reason"].item().endswith("film skipped")


@pytest.mark.parametrize(
    ("polygons", "reason", "kept"),
    [
        ([BOW], "crosses itself", 1),
        ([[[-50, 10], [40, 10], [40, 60]]], "reaches outside the 1024-px frame: clipped", 1),
        ([SQUARE, BOW[1:], SQUARE], "the same polygon stands above: polygon skipped", 2),
    ],
)
def test_a_doubtful_polygon_is_listed_with_its_finding(tmp_path, polygons, reason, kept):
    index = read_chestxdet(write(tmp_path, [record("1.png", Mass=polygons)]), FINDINGS)
    (listed,) = index.problems[index.problems["field"] == "Mass"].itertuples(index=False)
    assert listed.file == "1.png"
    assert reason in listed.reason
    assert index.polygons is not None
    assert (index.polygons["image"] == "1.png").sum() == kept


def test_absent_films_and_an_absent_part_are_listed_and_nothing_left_is_an_error(tmp_path):
    write(tmp_path)
    (tmp_path / "train" / "36199.png").unlink()
    (tmp_path / FILES["test"]).unlink()
    index = read_chestxdet(tmp_path, FINDINGS)
    assert (index.expected, index.found) == (2, 1)
    assert index.polygons is not None
    assert index.polygons.empty
    listed = set(index.problems[["file", "reason"]].itertuples(index=False, name=None))
    assert ("36199.png", "listed there, but not found") in listed
    assert (FILES["test"], "not found: its films are left out") in listed
    (tmp_path / "train" / "36200.png").unlink()
    with pytest.raises(DataError, match=r"none of the 2 films .*not found.*train/ and test/"):
        read_chestxdet(tmp_path, FINDINGS)
    (tmp_path / FILES["train"]).unlink()
    with pytest.raises(DataError, match=r"holds no ChestX_Det_train\.json.*github"):
        read_chestxdet(tmp_path, FINDINGS)
    with pytest.raises(DataError, match=r"paths\.chestxdet"):
        read_chestxdet(tmp_path / "absent", FINDINGS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[", "is no JSON in UTF-8"),
        (b"\xff\xfe[]", "is no JSON in UTF-8"),
        (b"[" * 100_000, "is no JSON in UTF-8"),
        (b"{}", "expected a list of films, found dict"),
    ],
)
def test_a_file_that_is_no_list_in_json_is_refused_by_name(tmp_path, content, message):
    (write(tmp_path) / FILES["test"]).write_bytes(content)
    with pytest.raises(DataError, match=rf"{FILES['test']}.*{message}"):
        read_chestxdet(tmp_path, FINDINGS)


def lay_out_phantoms(root: Path, count: int = 16) -> Path:
    """Phantoms under ChestX-Det's names; each finding is outlined by its box, in two halves."""
    films = root / "nih"
    render_nih(PhantomConfig(num_train_val=4, num_test=count, side=64, seed=9), films, 1)
    parts: dict[str, list[dict[str, Any]]] = {"train": [], "test": []}
    with (films / "BBox_List_2017.csv").open(newline="") as file:
        boxes = [row[:6] for row in csv.reader(file)][1:]
    names = (films / "test_list.txt").read_text().split()
    for number, name in enumerate(names):
        halves: dict[str, Any] = {}
        for image, finding, *edges in boxes:
            if image == name and finding in OUTPUTS:
                x, y, w, h = map(float, edges)
                halves[finding] = [
                    [[x, at], [x + w, at], [x + w, at + 0.45 * h], [x, at + 0.45 * h]]
                    for at in (y, y + 0.55 * h)
                ]
        part = "test" if number % 3 == 0 else "train"
        parts[part].append(record(f"{40000 + number}.png", **halves))
    write(root, parts["train"], parts["test"])
    for part, records in parts.items():
        for each in records:
            source = films / "images" / names[int(each["file_name"][:5]) - 40000]
            shutil.copyfile(source, root / part / each["file_name"])
    shutil.rmtree(films)
    return root


def lay_out_real(root: Path) -> Path:
    """The real sample in the official layout. Skips the test without it."""
    if "CXR_REAL" not in os.environ:
        pytest.skip("CXR_REAL does not point at the real sample")
    real = Path(os.environ["CXR_REAL"])
    records = json.loads((real / "chestxdet/ChestX_Det_sample.json").read_text())
    with (real / "chestxdet/names.csv").open(newline="") as file:
        films = {row["file_name"]: row for row in csv.DictReader(file)}
    parts = {
        part: [each for each in records if films[each["file_name"]]["part"] == part]
        for part in FILES
    }
    write(root, parts["train"], parts["test"])
    for name, row in films.items():
        shutil.copyfile(real / "nih/images" / row["nih_image"], root / row["part"] / name)
    return root


@pytest.mark.real
def test_the_real_sample_is_read_without_a_broken_film(tmp_path):
    index = read_chestxdet(lay_out_real(tmp_path), FINDINGS)
    assert index.found == index.expected == 19
    assert not any("skipped" in reason for reason in reasons(index))
    assert index.polygons is not None
    assert len(index.polygons) == 51  # of 55: no output means a fracture or diffuse nodules
    np.testing.assert_array_equal(
        index.images.set_index("image").loc["45204.png", ["Nodule", "Mass"]].to_numpy(int), [1, 0]
    )
