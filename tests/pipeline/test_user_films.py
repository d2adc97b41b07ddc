"""The user's folders before a run: what is missing is told with what was passed over there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import ConfigError
from pipeline.keys import DigestCache
from pipeline.step import UserFiles
from pipeline.user_films import (
    brixia_films,
    chestxdet_films,
    cohen_films,
    lung_films,
    nih_films,
)
from tests.data import test_nih
from tests.data.test_lung_pairs import write


def scan(read: Callable[..., UserFiles], folder: Path, *settings: bool) -> UserFiles:
    digests = DigestCache(folder.parent / "digests")
    try:
        return read(str(folder), digests, *settings)
    finally:
        digests.close()


@pytest.mark.parametrize("link", ["images", "images/set_1", "films"])
def test_films_on_another_disk_have_the_key_of_films_that_lie_here(tmp_path, link):
    plain = test_nih.Layout(folders=(f"{link}/films",)).write(tmp_path / "plain")
    root = test_nih.Layout(folders=(f"{link}/films",)).write(tmp_path / "root")
    top = link.split("/")[0]
    (root / top).rename(tmp_path / "disk")
    (root / top).symlink_to(tmp_path / "disk")
    assert scan(nih_films, root).key == scan(nih_films, plain).key


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: write(root, "images/a.jpg", "images/b.jpg", "images/c.bmp"),
         r"not a \.png file: not read \(3 of 3 problems; the first: images/a\.jpg"),
        (lambda root: (root / "images").symlink_to(root.parent / "unplugged"),
         r"leads to nothing: is its disk there\? \(1 of 1 problems; the first: images, link\)"),
        (lambda root: (root / "images").symlink_to(root.parent.parent),
         r"a link that leads out of the folder: not followed \(1 of 1 .*: images, link\)"),
    ],
)  # fmt: skip
def test_why_a_folder_holds_no_film_is_told(tmp_path, make, said):
    root = tmp_path / "here" / "root"
    root.mkdir(parents=True)
    make(root)
    for read, key in ((nih_films, "nih"), (cohen_films, "cohen")):
        if key == "nih" or not list(root.glob("images/*.jpg")):
            with pytest.raises(ConfigError, match=rf"^paths\.{key}: no .* film below .*{said}"):
                scan(read, root)


def test_the_folder_of_a_pair_that_is_empty_is_named(tmp_path):
    root = write(tmp_path / "root", "cxr/a.png", "masks/a.tif")
    with pytest.raises(ConfigError, match=r"below .*masks \(not a .* first: masks/a\.tif"):
        scan(lung_films, root, True)


def test_no_name_that_may_be_a_patient_s_is_quoted(tmp_path):
    root = write(tmp_path / "root", "dicom_clean/DOE^JANE.png")
    with pytest.raises(ConfigError, match=r"paths\.brixia: .*\(1 of 1 problems") as caught:
        scan(brixia_films, root)
    assert "DOE" not in str(caught.value)


@pytest.mark.parametrize(
    ("read", "settings", "said"),
    [
        (nih_films, (), r"paths\.nih: .*Data_Entry_2017_v2020\.csv lie in it"),
        (brixia_films, (), r"paths\.brixia: .*put the data set's dicom_clean"),
        (cohen_films, (), r"paths\.cohen: .*put public-annotations\.csv"),
        (chestxdet_films, (), r"paths\.chestxdet: .*put ChestX_Det_train\.json and .*train/"),
        (lung_films, (True,), r"paths\.lungs: .*put films into cxr/"),
        (lung_films, (False,), r"paths\.lungs: .*a mask for every test film"),
    ],
)
def test_an_empty_folder_is_an_error_that_says_what_to_put_there(tmp_path, read, settings, said):
    (tmp_path / "root").mkdir()
    with pytest.raises(ConfigError, match=said):
        scan(read, tmp_path / "root", *settings)
