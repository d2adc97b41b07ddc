"""Films that show nothing are told, and films that show a chest are not."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.config import BrixiaPhantomConfig, DicomScaling, PhantomConfig
from data.dicom import read_dicom
from data.grey_range import grey_doubt
from data.image_files import read_grey
from data.phantom.brixia_layout import render_brixia
from data.phantom.nih_layout import render_nih


def chest(height: int = 240, width: int = 220) -> np.ndarray:
    """Something like a chest, float (H, W) from 0 to 1: two lungs in a body, with noise."""
    y, x = np.mgrid[:height, :width] / np.array([height, width])[:, None, None]
    film = 0.2 + 0.65 * (np.abs(x - 0.5) < 0.45)
    for centre in (0.3, 0.7):
        film -= 0.5 * np.exp(-((((x - centre) / 0.14) ** 2 + ((y - 0.5) / 0.3) ** 2) ** 3))
    film += np.random.default_rng(0).normal(0, 0.015, film.shape)
    return film.clip(0, 1)


def grey(share: np.ndarray) -> np.ndarray:
    return np.rint(255 * share.clip(0, 1)).astype(np.uint8)


@pytest.mark.parametrize(
    "share",
    [
        *(chest() / 2**bits for bits in (2, 3, 4, 6)),  # 14 to 10 bits in a file of 16
        *(1 - chest() / 16, 1 - chest() / 4, 0.5 + chest() / 16),
        *(chest() - 2, chest() + 2),  # windows beside all values
        *(np.full((50, 40), value) for value in (0, 0.4, 1)),
        0.01 * np.random.default_rng(1).random((50, 40)),  # an exposure of nothing
    ],
)
def test_a_film_that_is_nearly_black_white_or_flat_is_told(share):
    assert "shows almost nothing" in grey_doubt(grey(share))


def test_a_black_film_with_a_small_bright_marker_is_told():
    share = chest() / 16
    share[5:15, 5:15] = 1
    assert "percentiles 1 and 99" in grey_doubt(grey(share))


@pytest.mark.parametrize("centre", [0.4, 0.6])
@pytest.mark.parametrize("width", [0.001, 0.02])
def test_a_film_that_is_nearly_all_black_and_white_is_told(centre, width):
    assert "black or white" in grey_doubt(grey((chest() - centre) / width + 0.5))


def test_a_blank_exposure_within_a_collimator_s_black_border_is_told():
    share = np.zeros((100, 100))
    share[20:80, 20:80] = 1
    assert "100% of the pixels are black or white" in grey_doubt(grey(share))


@pytest.mark.parametrize("share", [chest(), 1 - chest(), 0.4 + 0.3 * chest(), chest() ** 2])
def test_a_chest_is_not_told(share):
    assert grey_doubt(grey(share)) == ""


def test_a_collimated_chest_is_not_told():
    share = np.zeros((400, 400))
    share[60:300, 60:280] = chest()
    assert grey_doubt(grey(share)) == ""


def test_no_phantom_is_told(tmp_path):
    render_nih(PhantomConfig(num_train_val=6, num_test=6, side=64), tmp_path / "nih", 1)
    brixia = tmp_path / "brixia" / "dicom_clean"
    render_brixia(BrixiaPhantomConfig(num_films=12, side=64), tmp_path / "brixia", 1)
    films = [
        *map(read_grey, (tmp_path / "nih" / "images").glob("*.png")),
        *(read_dicom(path, scaling)[0] for path in brixia.iterdir() for scaling in DicomScaling),
    ]
    assert len(films) >= 36  # and changed copies of some
    assert {grey_doubt(film) for film in films} == {""}


@pytest.mark.real
def test_no_real_film_is_told_and_each_is_at_a_quarter_of_its_range(tmp_path):
    if "CXR_REAL" not in os.environ:
        pytest.skip("CXR_REAL does not point at the real sample")
    root = Path(os.environ["CXR_REAL"])
    folders = (root / "nih" / "images", root / "cohen" / "images", root / "lungs" / "cxr")
    paths = [path for folder in folders for path in sorted(folder.iterdir())]
    assert len(paths) == 393
    for path in paths:
        film = read_grey(path)
        assert grey_doubt(film) == "", path.name
        assert grey_doubt(film // 4) != "", path.name
    Image.fromarray(film.astype(np.uint16) * 16).save(tmp_path / "twelve_in_16.png")
    assert grey_doubt(read_grey(tmp_path / "twelve_in_16.png")) != ""
