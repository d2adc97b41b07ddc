"""Hashed ids in tables, by a salt that the store keeps."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.config import LungsConfig
from pipeline.pseudonyms import SALT, pseudonymise, read_salt
from pipeline.step import Inputs, Machine, UserFiles
from pipeline.steps.lung_network import LungNetwork, LungPairs
from tests.data import test_brixia, test_nih

TABLE = pd.DataFrame(
    {
        "method": ["iba", "iba", "random"],
        "image": ["00000001_000.png", "00000002_000.png", "00000001_000.png"],
        "patient": ["1", "2", "1"],
        "file": ["à.png", "", "test_list.txt"],
        "iou": ["0.250", "", "1e-05"],
    }
)


def test_ids_change_and_nothing_else_does():
    changed = pseudonymise(TABLE, b"salt")
    kept = ["method", "iou"]
    pd.testing.assert_frame_equal(changed[kept], TABLE[kept])
    for column in ("image", "patient", "file"):
        assert not set(changed[column]) & (set(TABLE[column]) - {""})
        assert changed[column].nunique() == TABLE[column].nunique()
    assert changed["image"][0] == changed["image"][2] != changed["image"][1]
    assert changed["file"][1] == ""


def lung_pairs(folder: Path) -> Path:
    """The folder of three films with masks, whose folder is a link to ``folder``/there."""
    grey = np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)
    for name in ("A", "B", "DOE_JANE"):
        for kind in ("cxr", "masks"):
            path = folder / "there" / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(grey).save(path)
    (folder / "lungs").symlink_to(folder / "there")
    return folder / "lungs"


def read_pairs(folder: Path) -> LungPairs:
    config = LungsConfig(side=8, test_fraction=0.5)
    network = LungNetwork(config, UserFiles(folder, "films"), None, None, seed=0, threads=1)
    return network.read_pairs(Inputs({"films": folder}, Machine(folder)))


def test_a_lung_film_that_shows_nothing_is_used_and_told(tmp_path):
    folder = lung_pairs(tmp_path)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "there" / "cxr" / "B.png")
    table, films, masks, problems = read_pairs(folder)
    assert sorted(table["image"]) == ["A", "B", "DOE_JANE"]
    assert len(films) == len(masks) == 3
    assert problems["file"].tolist() == ["B"]
    assert "shows almost nothing" in problems["reason"][0]


@pytest.mark.parametrize("spoilt", ["cxr", "masks"])
def test_a_pair_that_cannot_be_read_is_told_without_its_path(tmp_path, spoilt):
    folder = lung_pairs(tmp_path)
    path = tmp_path / "there" / spoilt / "DOE_JANE.png"
    path.write_bytes(path.read_bytes()[:-20])
    *_, problems = read_pairs(folder)
    assert problems["file"].tolist() == ["DOE_JANE"]
    assert re.match(rf"{'film' if spoilt == 'cxr' else 'mask'}: damaged", problems["reason"][0])
    handed_on = pseudonymise(problems, b"salt").to_csv()
    assert "DOE" not in handed_on
    assert str(tmp_path) not in handed_on


def test_no_problem_names_the_line_of_a_public_table(tmp_path):
    nih = test_nih.Layout(boxes=[*test_nih.BOXES, "00000005_000.png,Mass,1,1,0,9"])
    nih.rows[0] = "00000001_000.png,Cardiomegaly,0,1,old"
    brixia = test_brixia.Layout()
    brixia.rows[0] = test_brixia.row(test_brixia.NAMES[0], "000001", "5", "11")
    told = pd.concat(
        [
            test_nih.read(nih.write(tmp_path / "nih")).problems,
            test_brixia.read(brixia.write(tmp_path / "brixia")).problems,
        ]
    )
    assert told["field"].str.contains(r" line \d").sum() == 3
    handed_on = pseudonymise(told, b"salt")
    assert not handed_on["field"].str.contains("line").any()
    assert set(handed_on["field"]) >= {
        *("Data_Entry_2017_v2020.csv", "BBox_List_2017.csv Mass", "metadata_global_v2.csv")
    }
    pd.testing.assert_series_equal(handed_on["reason"], told["reason"])


def test_another_salt_gives_other_names():
    one, other = (pseudonymise(TABLE, salt)["image"] for salt in (b"one", b"other"))
    assert not set(one) & set(other)


def test_a_store_keeps_its_salt_which_its_owner_alone_may_read(tmp_path):
    first, again = read_salt(tmp_path), read_salt(tmp_path)
    assert first == again
    assert len(first) == 32
    assert (tmp_path / SALT).stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == [SALT]
    (tmp_path / "other").mkdir()
    assert read_salt(tmp_path / "other") != first


def test_of_two_runs_at_once_both_use_the_salt_of_the_first(tmp_path, monkeypatch):
    rival = b"r" * 32

    def draws_late(_bytes: int) -> bytes:
        (tmp_path / SALT).write_bytes(rival)
        return b"late" * 8

    monkeypatch.setattr("secrets.token_bytes", draws_late)
    assert read_salt(tmp_path) == rival
