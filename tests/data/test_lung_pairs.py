"""Films and lung masks that belong together by name."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.integrity import DataError
from data.lung_pairs import read_lung_pairs


def write(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(root / path)
    return root


def test_pairs_have_one_name_and_the_rest_is_listed(tmp_path):
    write(tmp_path, "cxr/b.png", "masks/b_mask.png", "cxr/a.jpg", "masks/a.png", "cxr/alone.png",
          "masks/nobody.png")  # fmt: skip
    pairs = read_lung_pairs(tmp_path, test_fraction=0.5, seed=0)
    assert pairs.images.drop(columns="fold").to_numpy().tolist() == [
        ["a", "cxr/a.jpg", "masks/a.png"],
        ["b", "cxr/b.png", "masks/b_mask.png"],
    ]
    assert sorted(pairs.images["fold"]) == ["test", "train"]
    assert pairs.problems[["file", "field"]].to_numpy().tolist() == [
        ["cxr/alone.png", "masks"],
        ["masks/nobody.png", "cxr"],
    ]


def test_a_folder_without_pairs_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"paths\.lungs"):
        read_lung_pairs(tmp_path / "absent", 0.2, 0)
    with pytest.raises(DataError, match=r"no film of .*cxr \(1\) .*masks \(0\)"):
        read_lung_pairs(write(tmp_path, "cxr/a.png"), 0.2, 0)
    Image.new("L", (8, 8)).save(write(tmp_path, "masks/b.png") / "masks" / "a.tif")
    with pytest.raises(
        DataError, match=r"not a \.png or .* file: not read \(1 of 1 .* masks/a\.tif"
    ):
        read_lung_pairs(tmp_path, 0.2, 0)


@pytest.mark.real
def test_all_real_pairs_are_found():
    if "CXR_REAL" not in os.environ:
        pytest.skip("CXR_REAL does not point at the real sample")
    pairs = read_lung_pairs(Path(os.environ["CXR_REAL"]) / "lungs", test_fraction=0.2, seed=0)
    assert len(pairs.images) == 100
    assert pairs.problems.empty
    assert (pairs.images["fold"] == "test").sum() == 20
