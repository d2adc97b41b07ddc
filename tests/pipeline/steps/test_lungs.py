"""Lung masks of the test films: outlined by a network that learnt pairs, or given."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.config import LungsConfig
from data.integrity import DataError
from pipeline.steps.lung_network import LungNetwork
from pipeline.steps.lungs import GivenLungs, PredictedLungs, read_lungs
from tests.pipeline.steps.films import SIDE, write_films
from tests.pipeline.steps.running import given, run_step


@pytest.fixture
def mask() -> np.ndarray:
    """Lungs that are their own mirror image, so that no side can be told."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[6:26, 4:13] = True
    return mask | mask[:, ::-1]


def save(path: Path, grey: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grey).save(path)


def test_given_masks_are_found_by_the_films_names_and_films_without_one_are_left_out(
    mask: np.ndarray, tmp_path: Path
) -> None:
    index, pack = write_films(tmp_path)
    save(tmp_path / "root" / "masks" / "6_mask.png", mask.astype(np.uint8) * 255)
    step = GivenLungs(given(tmp_path / "root"), "masks", given(index), given(pack), side=16)
    notes = run_step(step, tmp_path / "lungs")
    assert notes == ["1 of 2 test films have no lung mask: left out"]
    names, masks = read_lungs(tmp_path / "lungs")
    assert names == ["6.npy"]
    assert (masks.shape, masks.dtype) == ((1, 16, 16), bool)
    assert (masks[0] == mask[::2, ::2]).mean() > 0.9
    assert pd.read_csv(tmp_path / "lungs" / "problems.csv")["file"].tolist() == ["7.npy"]
    none = GivenLungs(given(tmp_path / "root"), "others", given(index), given(pack), side=16)
    with pytest.raises(DataError, match=r"has a lung mask of its name in .*others"):
        run_step(none, tmp_path / "none")


def test_a_network_learns_pairs_and_outlines_other_films(mask: np.ndarray, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(12):
        film = np.where(mask, 40, 200) + rng.integers(-30, 30, mask.shape)
        save(tmp_path / "root" / "cxr" / f"{number}.png", film.astype(np.uint8))
        save(tmp_path / "root" / "masks" / f"{number}.png", mask.astype(np.uint8) * 255)
    (tmp_path / "root" / "cxr" / "0.png").write_bytes(b"no film")
    config = LungsConfig(side=SIDE, epochs=2, batch_size=4)
    step = LungNetwork(config, given(tmp_path / "root"), None, None, seed=0, threads=1)
    notes = run_step(step, tmp_path / "network")
    assert notes[0] == "1 films or masks are left out, turned or doubtful; see problems.csv"
    assert "best epoch" in notes[1]
    problems = pd.read_csv(tmp_path / "network" / "problems.csv")
    assert problems["reason"].str.startswith("film: ").tolist() == [True]
    assert len(pd.read_csv(tmp_path / "network" / "dice.csv")) == 2
    index, pack = write_films(tmp_path)
    lungs = PredictedLungs(given(tmp_path / "network"), given(index), given(pack), 16, threads=1)
    run_step(lungs, tmp_path / "lungs")
    names, masks = read_lungs(tmp_path / "lungs")
    assert names == ["6.npy", "7.npy"]
    assert (masks.shape, masks.dtype) == ((2, 16, 16), bool)


def test_a_fold_without_a_pair_is_named(mask: np.ndarray, tmp_path: Path) -> None:
    for folder in ("cxr", "masks"):
        save(tmp_path / "root" / folder / "0.png", mask.astype(np.uint8) * 255)
    step = LungNetwork(LungsConfig(side=32), given(tmp_path / "root"), None, None, 0, 1)
    with pytest.raises(DataError, match="the val fold has no film with a lung mask"):
        run_step(step, tmp_path / "network")
