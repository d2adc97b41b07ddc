"""Finding mirrored films and masks by what is seen on them, on drawn chests and real ones."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.integrity import DataError
from data.laterality import check_sides, heart_side, mask_side
from data.lungs import read_lung_mask
from data.packing import squash


def chest(seed: int, heart: bool = True, side: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A film and its lung mask: two dark ellipses, and a bright heart that bites into the left."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]

    def ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
        return np.square((columns - x) / rx) + np.square((rows - y) / ry) < 1

    lung = ellipse(29, 48, 15, 36) | ellipse(67, 48, 15, 36)
    bite = ellipse(56, 62, 14, 14) if heart else np.zeros_like(lung)
    lung = lung & ~bite
    film = np.where(lung, 60, 150) + 30 * bite + rng.normal(0, 12, lung.shape)
    return film.clip(0, 255).astype(np.uint8), lung


def test_the_cues_change_their_sign_with_what_is_mirrored():
    film, lung = chest(0)
    assert heart_side(film, lung) > 0.2
    assert heart_side(film[:, ::-1], lung[:, ::-1]) == pytest.approx(-heart_side(film, lung))
    assert mask_side(film, lung) > 0.2
    assert mask_side(film, lung[:, ::-1]) == pytest.approx(-mask_side(film, lung))
    assert mask_side(film[:, ::-1], lung) < -0.2


def test_the_cues_do_not_depend_on_brightness_and_contrast():
    film, lung = chest(0)
    dim = (film // 2 + 40).astype(np.uint8)
    assert heart_side(dim, lung) == pytest.approx(heart_side(film, lung), rel=0.03)
    assert mask_side(dim, lung) == pytest.approx(mask_side(film, lung), rel=0.03)


def test_a_symmetric_or_empty_mask_says_nothing():
    film, lung = chest(0)
    assert np.isnan(mask_side(film, lung | lung[:, ::-1]))
    assert np.isnan(heart_side(film, np.zeros_like(lung)))


def test_a_mirrored_set_is_refused_and_a_doubtful_one_is_not():
    cues = [heart_side(*chest(seed)) for seed in range(6)]
    check_sides(cues, "the films")
    with pytest.raises(DataError, match=r"the films look mirrored .* of 6"):
        check_sides(np.negative([*cues, np.nan]), "the films")
    check_sides([heart_side(*chest(seed, heart=False)) for seed in range(6)], "the films")
    check_sides([-1.0], "the films")
    check_sides([], "the films")
    check_sides([np.nan] * 9, "the films")


@pytest.mark.real
def test_real_films_and_masks_are_told_from_mirrored_ones():
    if "CXR_REAL" not in os.environ:
        pytest.skip("CXR_REAL does not point at the real sample")
    root = Path(os.environ["CXR_REAL"]) / "lungs"
    hearts, sides = [], []
    for path in sorted((root / "masks").iterdir()):
        lung = read_lung_mask(path, 128)
        film = squash(np.asarray(Image.open(root / "cxr" / path.name).convert("L")), 128)
        hearts.append(heart_side(film, lung))
        sides.append(mask_side(film, lung))
    assert np.mean(np.array(hearts) > 0) >= 0.97
    assert min(sides) > 0
    check_sides(hearts, "the films")
    for cues in (hearts, sides):
        for start in range(0, 100, 10):
            with pytest.raises(DataError, match="mirrored"):
                check_sides(np.negative(cues[start : start + 10]), "ten films")
