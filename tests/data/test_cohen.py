"""The reader of the Cohen subset with two radiologists' Brixia scores."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.brixia_score import DETECTORS, ZONES
from data.cohen import read_cohen, read_square
from data.cohort_index import CohortIndex
from data.config import CohenReader
from data.integrity import DataError
from data.packing import PackedFilms
from tests.packing import pack

HEADER = ",".join(["filename", *(f"{r}-{zone}" for r in "SJ" for zone in [*ZONES, "Global"])])
ROWS = [  # names as the collection has them: spaces, accents, any case
    "COVID 19 à la clinique-day3.jpg,0,1,2,3,0,1,7,1,1,2,3,0,1,8",
    "COVID 19 à la clinique-day12-PA.jpeg,0,0,0,0,0,0,0,0,0,0,0,0,0,0",
    "SARS_10.PNG,3,3,3,3,3,3,18,3,3,3,3,3,2,17",
]
NAMES = sorted(row.split(",")[0] for row in ROWS)


def write(root: Path, rows: list[str] = ROWS, form: str = "NFC") -> Path:
    (root / "public-cohen-subset").mkdir(parents=True, exist_ok=True)
    text = "\ufeff" + "\r\n".join([HEADER, *rows, ""])
    (root / "public-annotations.csv").write_bytes(text.encode())
    shades = np.random.default_rng(0).integers(0, 256, (30, 50, 4), dtype=np.uint8)
    for row, mode in zip(ROWS, ("RGB", "L", "RGBA"), strict=True):
        name = unicodedata.normalize(form, row.split(",")[0])
        Image.fromarray(shades).convert(mode).save(root / "public-cohen-subset" / name)
    return root


def reasons(index: CohortIndex) -> list[str]:
    return index.problems["reason"].tolist()


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_films_are_found_under_names_with_spaces_and_accents(tmp_path, form):
    index = read_cohen(write(tmp_path, form=form))
    assert index.problems.empty
    assert (index.expected, index.found) == (3, 3)
    assert index.images["image"].tolist() == NAMES
    for path in index.images["path"]:
        assert (tmp_path / path).is_file()
    assert list(index.images.columns) == [
        "image", "path", "patient", "fold", "other_score", *ZONES, "score", *DETECTORS,
    ]  # fmt: skip
    assert set(index.images["fold"]) == {"test"}


def test_either_reader_gives_the_labels_and_the_other_a_score_beside_them(tmp_path):
    write(tmp_path)
    senior = read_cohen(tmp_path, CohenReader.senior).images
    junior = read_cohen(tmp_path, CohenReader.junior).images
    assert senior["score"].tolist() == junior["other_score"].tolist() == [0, 7, 18]
    assert junior["score"].tolist() == senior["other_score"].tolist() == [0, 8, 17]
    assert senior.loc[1, list(ZONES)].tolist() == [0, 1, 2, 3, 0, 1]
    assert junior.loc[2, list(DETECTORS)].tolist() == [0, 1, 1]


def test_films_of_one_name_and_several_days_share_a_patient(tmp_path):
    patients = read_cohen(write(tmp_path)).images["patient"].tolist()
    assert patients == ["COVID 19 à la clinique", "COVID 19 à la clinique", "SARS_10"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("SARS_10.PNG,3,3,3,3,3,4,19,3,3,3,3,3,2,17", "not six digits"),
        ("SARS_10.PNG,,3,3,3,3,3,15,3,3,3,3,3,2,17", "not six digits"),
        ("SARS_10.PNG,33,,3,3,3,3,18,3,3,3,3,3,2,17", "not six digits"),
        ("SARS_10.PNG,3,3,3,3,3,3,17,3,3,3,3,3,2,17", "does not add up to S-Global"),
        ("SARS_10.PNG,3,3,3,3,3,3,18,3,3,3,3,3,2,9", "does not add up to J-Global"),
        ("../SARS_10.PNG,3,3,3,3,3,3,18,3,3,3,3,3,2,17", "not a plain file name"),
        (ROWS[0], "has a row above"),
    ],
)
def test_a_bad_row_is_skipped_and_listed(tmp_path, row, reason):
    index = read_cohen(write(tmp_path, [*ROWS[:2], row]))
    assert index.images["image"].tolist() == NAMES[:2]
    assert reason in reasons(index)[0]
    assert index.problems["field"][0] == "public-annotations.csv line 4"


def test_a_table_that_is_a_link_out_of_the_root_is_not_followed(tmp_path):
    table = write(tmp_path / "root") / "public-annotations.csv"
    table.rename(tmp_path / "elsewhere.csv")
    table.symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(DataError, match=f"'{table.name}' is a link that leads out of"):
        read_cohen(tmp_path / "root")


def test_absent_films_are_listed_and_none_at_all_is_an_error(tmp_path):
    write(tmp_path)
    (tmp_path / "public-cohen-subset" / NAMES[2]).unlink()
    index = read_cohen(tmp_path)
    assert (index.expected, index.found) == (3, 2)
    assert index.problems["file"].tolist() == [NAMES[2]]
    for name in NAMES[:2]:
        (tmp_path / "public-cohen-subset" / name).unlink()
    with pytest.raises(DataError, match="none of the 3 films"):
        read_cohen(tmp_path)
    with pytest.raises(DataError, match=r"paths\.cohen"):
        read_cohen(tmp_path / "absent")


def test_every_mode_is_packed_squashed(tmp_path):
    root = write(tmp_path / "root")
    images = read_cohen(root).images
    pack(images, root, tmp_path / "packed", 8, reader=read_square)
    films = PackedFilms(tmp_path / "packed").load(images["image"].tolist())
    assert films.shape == (3, 8, 8)
    for film, path in zip(films, images["path"], strict=True):
        grey = Image.open(root / path).convert("RGB").convert("L")
        expected = np.asarray(grey.resize((8, 8), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(film, expected)


@pytest.mark.real
def test_the_real_films_are_all_read_and_the_readers_agree_as_published(tmp_path):
    if "CXR_REAL" not in os.environ:
        pytest.skip("CXR_REAL does not point at the real sample")
    root = Path(os.environ["CXR_REAL"]) / "cohen"
    index = read_cohen(root)
    assert index.problems.empty
    assert index.expected == index.found == 56
    assert index.images["patient"].nunique() < 50
    score = index.images[["score", "other_score"]].astype(float)
    assert score.corr().iloc[0, 1] == pytest.approx(0.868, abs=0.03)  # of all 192
    assert (score["score"] - score["other_score"]).abs().mean() == pytest.approx(1.94, abs=0.2)
    pack(
        index.images[::8], root, tmp_path / "packed", 64,
        reader=read_square,
    )  # fmt: skip
    assert pd.read_csv(tmp_path / "packed/problems.csv").empty
