"""Six zones from lung masks: whole lungs, merged, missing and speckled ones, and real masks."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.integrity import DataError
from data.lungs import Lungs, read_lung_mask, six_zones, split_lungs

SIDE = 120


def ellipse(x: float, y: float, rx: float, ry: float, side: int = SIDE) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return np.square((columns - x) / rx) + np.square((rows - y) / ry) < 1


RIGHT, LEFT = ellipse(35, 60, 18, 40), ellipse(85, 64, 15, 38)


def agree(lungs: Lungs, right: np.ndarray, left: np.ndarray) -> float:
    """Share of the pixels of two lungs that stand on their side."""
    return ((lungs.right & right).sum() + (lungs.left & left).sum()) / (right | left).sum()


def test_the_lung_at_the_images_left_is_the_patients_right_one():
    for mask in (RIGHT | LEFT, np.where(RIGHT | LEFT, 255, 0).astype(np.uint8)):
        lungs = split_lungs(mask)
        np.testing.assert_array_equal(lungs.right, RIGHT)
        np.testing.assert_array_equal(lungs.left, LEFT)
        assert lungs.doubts == ()


@given(
    st.floats(25, 42), st.floats(78, 95), st.floats(8, 16), st.floats(8, 16), st.floats(20, 45),
    st.floats(20, 45), st.floats(50, 70), st.floats(50, 70),
)  # fmt: skip
def test_a_mirrored_mask_swaps_the_lungs(x1, x2, rx1, rx2, ry1, ry2, y1, y2):
    mask = ellipse(x1, y1, rx1, ry1) | ellipse(x2, y2, rx2, ry2)
    lungs, mirrored = split_lungs(mask), split_lungs(mask[:, ::-1])
    np.testing.assert_array_equal(lungs.right, mirrored.left[:, ::-1])
    np.testing.assert_array_equal(lungs.left, mirrored.right[:, ::-1])
    np.testing.assert_array_equal(lungs.right | lungs.left, mask)


def test_specks_are_left_out_and_counted():
    specks = RIGHT | LEFT
    specks[3, 3] = specks[118, 60:62] = specks[60, 60] = True
    lungs = split_lungs(specks)
    assert agree(lungs, RIGHT, LEFT) == 1
    assert (lungs.right | lungs.left).sum() == (RIGHT | LEFT).sum()
    assert lungs.doubts == ("3 specks left out",)


def test_a_lung_in_pieces_is_kept_together():
    mask = RIGHT | LEFT
    mask[58:62, :60] = False  # a consolidation cuts the right lung through
    mask[80:83, 60:] = False
    lungs = split_lungs(mask)
    assert agree(lungs, RIGHT & mask, LEFT & mask) == 1
    assert lungs.doubts == ()


@pytest.mark.parametrize("rows", [slice(25, 30), slice(55, 66), slice(70, 90)])
def test_merged_lungs_are_cut_between_them(rows):
    mask = RIGHT | LEFT
    mask[rows, 35:85] = True
    lungs = split_lungs(mask)
    assert agree(lungs, RIGHT, LEFT) > 0.99
    assert not (lungs.right & lungs.left).any()
    np.testing.assert_array_equal(lungs.right | lungs.left, mask)
    assert lungs.doubts == ("merged lungs: cut where erosion parts them",)


@pytest.mark.parametrize(("lung", "side"), [(RIGHT, "left"), (LEFT, "right")])
def test_a_missing_lung_is_empty_and_said(lung, side):
    lungs = split_lungs(lung)
    there, absent = (lungs.right, lungs.left) if side == "left" else (lungs.left, lungs.right)
    np.testing.assert_array_equal(there, lung)
    assert not absent.any()
    assert lungs.doubts == (f"one lung only, at the image's {side}",)
    zones = six_zones(lungs)
    assert zones.masks.any(axis=(1, 2)).tolist() == [side == "left"] * 3 + [side == "right"] * 3
    assert (zones.boxes[zones.masks.any(axis=(1, 2)) == 0] == 0).all()


def test_one_lung_in_two_pieces_is_no_pair():
    mask = RIGHT.copy()
    mask[58:62] = False
    lungs = split_lungs(mask)
    assert not lungs.left.any()
    np.testing.assert_array_equal(lungs.right, mask)


def test_a_mask_without_lungs_is_refused():
    for empty in (np.zeros((9, 9), bool), np.full((9, 9), 127, np.uint8)):
        with pytest.raises(DataError, match="no lung"):
            split_lungs(empty)


def test_zones_are_strips_of_equal_height_from_top_to_bottom():
    right, left = np.zeros((30, 20), bool), np.zeros((30, 20), bool)
    right[2:20, 1:8], left[5:26, 11:19] = True, True
    right[2:8, 5:8] = False
    zones = six_zones(Lungs(right, left))
    assert zones.boxes.tolist() == [
        [1, 2, 7, 6], [1, 8, 7, 6], [1, 14, 7, 6], [11, 5, 8, 7], [11, 12, 8, 7], [11, 19, 8, 7],
    ]  # fmt: skip
    assert zones.masks.sum(axis=(1, 2)).tolist() == [24, 42, 42, 56, 56, 56]


@given(top=st.integers(0, 40), height=st.integers(3, 70), x=st.floats(20, 40), rx=st.floats(3, 15))
def test_zones_divide_the_lungs_and_lie_in_their_boxes(top, height, x, rx):
    right = ellipse(x, top + height / 2, rx, height / 2)
    zones = six_zones(Lungs(right, LEFT))
    np.testing.assert_array_equal(zones.masks.sum(axis=0), (right | LEFT).astype(int))
    for mask, (x, y, w, h) in zip(zones.masks, zones.boxes, strict=True):
        assert mask[y : y + h, x : x + w].sum() == mask.sum()
    for lung in (slice(0, 3), slice(3, 6)):
        heights = zones.boxes[lung, 3]
        assert heights.max() - heights.min() <= 1


def test_masks_are_read_squashed_as_films_are(tmp_path):
    wide = np.repeat(RIGHT | LEFT, 2, axis=1)
    Image.fromarray(wide).convert("L").save(tmp_path / "a.png")
    read = read_lung_mask(tmp_path / "a.png", SIDE)
    assert read.shape == (SIDE, SIDE)
    assert (read != (RIGHT | LEFT)).mean() < 0.01


@pytest.fixture(scope="module")
def real_masks() -> list[np.ndarray]:
    if "CXR_REAL" not in os.environ:
        pytest.skip("CXR_REAL does not point at the real sample")
    folder = Path(os.environ["CXR_REAL"]) / "lungs/masks"
    masks = [read_lung_mask(path, 256) for path in sorted(folder.iterdir())]
    assert len(masks) == 100
    return masks


@pytest.mark.real
def test_real_masks_hold_two_lungs_of_six_zones(real_masks):
    for mask in real_masks:
        lungs = split_lungs(mask)
        assert all("speck" in doubt for doubt in lungs.doubts)
        shares = six_zones(lungs).masks.sum(axis=(1, 2)) / mask.sum()
        assert 0.97 < shares.sum() < 1.001
        assert shares.min() > 0.02
        assert 0.2 < shares[:3].sum() < 0.8  # 0.79 where most of the left lung is gone
