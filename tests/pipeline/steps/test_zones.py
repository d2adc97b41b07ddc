"""Zones of films as the tables ask for them, against masks painted one by one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.brixia_score import ZONES
from data.lungs import six_zones, split_lungs
from pipeline.steps.zones import FilmZones, Zones, read_zones
from tests.pipeline.steps.running import given, run_step


@pytest.fixture(scope="module")
def lungs() -> np.ndarray:
    """Two leaning lungs, whose bounding boxes overlap."""
    mask = np.zeros((48, 48), bool)
    for row in range(6, 42):
        shift = (row - 6) // 4
        mask[row, 14 - shift : 22] = True
        mask[row, 25 + shift // 3 : 34 + shift // 2] = True
    return mask


def test_the_union_of_wanted_zones_is_their_masks_or_their_boxes(lungs: np.ndarray) -> None:
    cut = six_zones(split_lungs(lungs))
    numbers = np.arange(1, 7)[:, None, None]
    filled = np.zeros_like(cut.masks)
    for zone, (x, y, w, h) in zip(filled, cut.boxes, strict=True):
        zone[y : y + h, x : x + w] = True
    labels = (cut.masks * numbers).max(axis=0).astype(np.uint8)
    stored = FilmZones(["a", "b"], np.stack([labels, labels]), np.stack([cut.boxes, cut.boxes]))
    rng = np.random.default_rng(0)
    wanted = rng.random((4, len(ZONES))) < 0.4
    images = ["b", "a", "absent", "a"]
    by_mask, by_box = (stored.union(images, wanted, region) for region in ("mask", "box"))
    for row, image in enumerate(images):
        known = image != "absent"
        assert (by_mask[row] == cut.masks[wanted[row]].any(axis=0) * known).all()
        assert (by_box[row] == filled[wanted[row]].any(axis=0) * known).all()
    assert (stored.of(["absent"]) == 0).all()
    assert (stored.labels == labels).all()  # asking for an absent film wrote into no other
    assert (by_mask <= by_box).all()


def test_zones_of_lungs_that_nobody_found_are_listed_and_none_at_all_is_an_error(
    tmp_path: Path, lungs: np.ndarray
) -> None:
    def run(masks: list[np.ndarray]) -> list[str]:
        folder = tmp_path / "lungs"
        folder.mkdir(exist_ok=True)
        np.save(folder / "masks.npy", np.stack(masks))
        names = pd.DataFrame({"image": [f"{k}.dcm" for k in range(len(masks))]})
        names.to_csv(folder / "films.csv", index=False)
        return run_step(Zones(given(folder), "predicted"), tmp_path / "zones")

    assert run([lungs, np.zeros_like(lungs)]) == [
        "1 doubts about lung masks are listed in problems.csv"
    ]
    assert read_zones(tmp_path / "zones").images == ["0.dcm"]
    problems = pd.read_csv(tmp_path / "zones" / "problems.csv")
    assert problems["field"].tolist() == ["predicted lungs"]
    assert problems["reason"].str.endswith("film skipped").all()
    with pytest.raises(ValueError, match="no lung was found on any of the 1 test films"):
        run([np.zeros_like(lungs)])
