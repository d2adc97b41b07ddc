"""Films that show nothing are told, and films that show a chest are not."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.grey_range import grey_doubt
from data.image_files import read_grey


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


def framed(film: np.ndarray, border: int = 60) -> np.ndarray:
    """Within a collimator's black border."""
    return np.pad(film, border)


def marked(film: np.ndarray) -> np.ndarray:
    """With a small bright marker."""
    film[5:15, 5:15] = 1
    return film


@pytest.mark.parametrize(
    "share",
    [
        *(chest() / 2**bits for bits in (2, 3, 4, 6)),  # 14 to 10 bits in a file of 16
        *(1 - chest() / 16, 1 - chest() / 4, 0.5 + chest() / 16, marked(chest() / 16)),
        *(chest() - 2, chest() + 2),  # windows beside all values
        *(np.full((50, 40), value) for value in (0, 0.4, 1)),
        0.01 * np.random.default_rng(1).random((50, 40)),  # an exposure of nothing
    ],
)
def test_a_film_that_is_nearly_black_white_or_flat_is_told(share):
    assert "shows almost nothing: percentiles 1 and 99" in grey_doubt(grey(share))


@pytest.mark.parametrize(
    "share",
    [
        *((chest() - centre) / 0.001 + 0.5 for centre in (0.4, 0.6)),
        *((chest() - centre) / 0.02 + 0.5 for centre in (0.4, 0.6)),
        framed(np.ones((60, 60)), 20),  # a blank exposure
    ],
)
def test_a_film_that_is_nearly_all_black_and_white_is_told(share):
    assert "of the pixels are black or white" in grey_doubt(grey(share))


@pytest.mark.parametrize(
    "share", [chest(), 1 - chest(), 0.4 + 0.3 * chest(), chest() ** 2, framed(chest())]
)
def test_a_chest_is_not_told(share):
    assert grey_doubt(grey(share)) == ""


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
