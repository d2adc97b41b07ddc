"""Films on disk, their index and their packing, for any data set that has a reader."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from data.cohorts import BrixiaCohort, Cohort, CohortIndex, NIHCohort
from data.config import BrixiaConfig, BrixiaPhantomConfig, DicomScaling, PhantomConfig
from data.integrity import DataError
from data.packing import PackedFilms
from pipeline.step import UserFiles
from pipeline.steps.films import Index, Pack, Render
from tests.pipeline.steps.running import given, run_step


@dataclass(frozen=True)
class Arrays:
    """A data set of a user's: files of numpy, every second film of the test fold."""

    name: ClassVar[str] = "arrays"
    brightness: int

    def read(self, root: Path) -> CohortIndex:
        paths = sorted(root.glob("*.npy"))
        images = pd.DataFrame({"image": [path.name for path in paths]})
        images["path"] = images["image"]
        images["patient"] = range(len(paths))
        images["fold"] = [("train", "test")[number % 2] for number in range(len(paths))]
        problems = pd.DataFrame([("x", "y", "z")], columns=["file", "field", "reason"])
        return CohortIndex(images, None, problems, expected=len(paths) + 1, found=len(paths))

    def read_square(self, path: Path, side: int) -> tuple[np.ndarray, str]:
        film = np.load(path)
        if film.ndim != 2:
            raise DataError("not a film")
        return film[:side, :side] + np.uint8(self.brightness), ""


def test_a_data_set_with_a_reader_of_its_own_is_indexed_and_packed(tmp_path: Path) -> None:
    films = [np.full((40, 40), number, np.uint8) for number in range(3)]
    (tmp_path / "films").mkdir()
    for number, film in enumerate([*films, np.zeros(3)]):
        np.save(tmp_path / "films" / f"{number}.npy", film)
    root, cohort = given(tmp_path / "films"), Arrays(brightness=5)
    assert run_step(Index(root, cohort), tmp_path / "index") == [
        "found 4 of 5 films (train 2, val 0, test 2)",
        "1 problems are listed in problems.csv",
    ]
    assert not (tmp_path / "index" / "boxes.csv").exists()
    step = Pack(root, given(tmp_path / "index"), cohort, side=32, shard=2, threads=2)
    assert run_step(step, tmp_path / "pack") == ["1 of 4 films cannot be read; see problems.csv"]
    packed = PackedFilms(tmp_path / "pack")
    assert packed.side == 32
    assert (packed.load(["2.npy", "0.npy"]) == np.array([7, 5])[:, None, None]).all()


def test_what_decides_a_film_is_in_the_key_of_its_packing_and_threads_are_not() -> None:
    files = UserFiles(Path("a"), "a")

    def pack(cohort: Cohort, threads: int = 1) -> str:
        return Pack(files, files, cohort, side=32, shard=2, threads=threads).key

    header, published = (BrixiaCohort(BrixiaConfig(scaling=scaling)) for scaling in DicomScaling)
    keys = [pack(cohort) for cohort in (header, published, Arrays(0), Arrays(1))]
    assert len(set(keys)) == 4
    assert pack(header, threads=8) == keys[0]


def test_an_index_depends_on_what_its_split_file_says() -> None:
    films, cohort = UserFiles(Path("a"), "a"), BrixiaCohort(BrixiaConfig(split_file="split.csv"))
    keys = {
        Index(films, cohort, split).key
        for split in (None, UserFiles(Path("b"), "b"), UserFiles(Path("c"), "c"))
    }
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("phantom", "cohort"),
    [
        (PhantomConfig(num_train_val=8, num_test=2, side=64), NIHCohort(14, 0.3, 0)),
        (BrixiaPhantomConfig(num_films=6, side=64), BrixiaCohort(BrixiaConfig(test_fraction=0.3))),
    ],
)
def test_phantoms_of_either_layout_are_read_as_real_films_are(
    phantom: PhantomConfig | BrixiaPhantomConfig, cohort: Cohort, tmp_path: Path
) -> None:
    run_step(Render(phantom), tmp_path / "render")
    notes = run_step(Index(given(tmp_path / "render"), cohort), tmp_path / "index")
    images = pd.read_csv(tmp_path / "index" / "images.csv")
    assert set(images["fold"]) == {"train", "val", "test"}
    assert len(notes) == 1
    assert ("boxes on them" in notes[0]) == (tmp_path / "index" / "boxes.csv").exists()
    assert (tmp_path / "index" / "boxes.csv").exists() == isinstance(phantom, PhantomConfig)
