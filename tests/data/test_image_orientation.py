"""Films stored on their side or mirrored, with EXIF that says so, are read as viewers show them."""

import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.cohen import read_square as read_cohen_square
from data.image_files import read_film
from data.integrity import DataError
from data.lung_pairs import read_lung_pair
from data.lungs import read_lung_mask
from data.packing import PackedFilms, read_square, resize_and_crop, squash
from pipeline.explain import read_film as read_explained
from tests.campaigns.bombs import chunk
from tests.packing import pack

# By EXIF's own words (tag 274): which side of what is seen the stored first row and column are.
STORED = {
    1: lambda film: film,  # top, left
    2: lambda film: film[:, ::-1],  # top, right
    3: lambda film: film[::-1, ::-1],  # bottom, right
    4: lambda film: film[::-1],  # bottom, left
    5: lambda film: film.T,  # left, top
    6: lambda film: film.T[::-1],  # right, top
    7: lambda film: film.T[::-1, ::-1],  # right, bottom
    8: lambda film: film.T[:, ::-1],  # left, bottom
}
MIRRORED = (2, 4, 5, 7)


def film(height: int = 48, width: int = 40) -> np.ndarray:
    """Smooth, with another value in each corner and middle of an edge."""
    y, x = np.mgrid[0:height, 0:width] / (height, width)[0]
    return np.rint(40 + 120 * y + 60 * x + 30 * (x < 0.3) * (y < 0.2)).astype(np.uint8)


def save(path: Path, seen: np.ndarray, orientation: int, **options: object) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED.get(orientation, STORED[1])(seen))
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = {"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}
    Image.fromarray(stored).save(path, exif=exif, **quality, **options)
    return path


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["film.png", "film.jpg"])
def test_a_film_of_any_orientation_is_read_as_it_is_seen_and_says_so(tmp_path, name, orientation):
    grey, turned = read_film(save(tmp_path / name, film(), orientation))
    assert grey.shape == film().shape
    np.testing.assert_allclose(grey.astype(int), film(), atol=0 if name.endswith("png") else 3)
    assert (turned == "") == (orientation == 1)
    assert ("mirrored" in turned) == (orientation in MIRRORED)
    assert orientation == 1 or turned.endswith(f"as its EXIF orientation {orientation} says")


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(tmp_path, orientation):
    for name in ("film.png", "film.jpg"):
        _, turned = read_film(save(tmp_path / name, film(), orientation))
        assert turned == ""


@pytest.mark.parametrize("share", np.linspace(0, 1, 12, endpoint=False))
def test_broken_exif_turns_nothing_or_as_it_says_and_never_hides_the_film(tmp_path, share):
    save(tmp_path / "film.png", film(), 6)
    content = (tmp_path / "film.png").read_bytes()
    start = content.index(b"eXIf") - 4
    length = struct.unpack(">I", content[start : start + 4])[0]
    tiff = content[start + 8 : start + 8 + length]
    for part in (tiff[: int(share * length)], tiff[int(share * length) :], b"\xff" * 40):
        rest = content[start + length + 12 :]
        (tmp_path / "film.png").write_bytes(content[:start] + chunk(b"eXIf", part) + rest)
        grey, turned = read_film(tmp_path / "film.png")
        seen = film() if turned else STORED[6](film())
        np.testing.assert_array_equal(grey, seen)


def test_packed_films_stand_upright_and_the_turned_ones_are_listed(tmp_path):
    names = [f"{orientation}.png" for orientation in STORED]
    for orientation, name in zip(STORED, names, strict=True):
        save(tmp_path / "root" / name, film(), orientation)
    (tmp_path / "root" / "none.png").write_text("no image")
    images = pd.DataFrame({"image": [*names, "none.png"], "path": [*names, "none.png"]})
    for reader, square in ((read_square, resize_and_crop), (read_cohen_square, squash)):
        folder = tmp_path / square.__name__
        pack(images, tmp_path / "root", folder, 16, reader=reader)
        for packed in PackedFilms(folder).load(names):
            np.testing.assert_array_equal(packed, square(film(), 16))
        problems = pd.read_csv(folder / "problems.csv").set_index("file")["reason"]
        assert list(problems.index) == [*names[1:], "none.png"]
        for orientation in list(STORED)[1:]:
            assert f"EXIF orientation {orientation}" in problems[f"{orientation}.png"]
        assert "not a PNG or JPEG" in problems["none.png"]


def test_the_film_to_explain_stands_upright_and_a_note_says_why(tmp_path):
    for orientation in STORED:
        path = save(tmp_path / f"{orientation}.png", film(), orientation)
        explained = read_explained(path, 16)
        seen, notes = explained.pixels, explained.notes
        np.testing.assert_array_equal(seen, resize_and_crop(film(), 16))
        said = [note for note in notes if "EXIF" in note]
        assert len(said) == (orientation != 1)
        assert "40 x 48 pixels: the model sees the square in the middle" in notes


@pytest.mark.parametrize("of_film", STORED)
@pytest.mark.parametrize("of_mask", STORED)
def test_a_lung_mask_lies_on_its_film_however_either_is_stored(tmp_path, of_film, of_mask):
    mask = np.zeros((48, 40), np.uint8)
    mask[10:30, 5:15] = 255
    save(tmp_path / "cxr/a.png", film(), of_film)
    save(tmp_path / "masks/a.png", mask, of_mask)
    read, lung, turns = read_lung_pair(tmp_path, "cxr/a.png", "masks/a.png", 24)
    np.testing.assert_array_equal(read, squash(film(), 24))
    np.testing.assert_array_equal(lung, squash(mask, 24) > 127)
    np.testing.assert_array_equal(lung, read_lung_mask(tmp_path / "masks/a.png", 24))
    assert ("film: " in turns, "mask: " in turns) == (of_film != 1, of_mask != 1)


def test_a_mask_drawn_on_the_film_before_it_was_turned_is_refused(tmp_path):
    save(tmp_path / "cxr/a.png", film(), 6)
    Image.fromarray(np.zeros((40, 48), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"^film: turned a quarter.* lies across .* save both"):
        read_lung_pair(tmp_path, "cxr/a.png", "a.png", 24)
