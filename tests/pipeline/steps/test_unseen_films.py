"""Test films of another set: what the models learnt from leaves the test fold."""

import numpy as np
import pandas as pd
import pytest

from pipeline.steps.films import POLYGONS
from pipeline.steps.unseen_films import UnseenFilms
from tests.packing import pack
from tests.pipeline.steps.films import SIDE
from tests.pipeline.steps.running import given, run_step


def lay_out(folder, films):
    """An index and a packing of films of noise, name -> (its seed, patient, fold)."""
    images = pd.DataFrame(
        [(name, *told) for name, told in films.items()],
        columns=["image", "path", "patient", "fold"],
    )
    (folder / "index").mkdir(parents=True)
    images.to_csv(folder / "index" / "images.csv", index=False)
    (folder / "index" / POLYGONS).write_text("image,finding,points\n")
    images["path"] = images["path"].astype(str)

    def noise(path, side):
        rng = np.random.default_rng(int(path.name))
        return np.kron(rng.integers(0, 256, (8, 8)), np.ones((4, 4))).astype(np.uint8), ""

    pack(images, folder, folder / "pack", SIDE, reader=noise)
    return given(folder / "index", f"{folder} index"), given(folder / "pack", f"{folder} pack")


LEARNT = {"a.png": (1, 11, "train"), "b.png": (2, 12, "val"), "c.png": (3, 13, "test")}


def test_films_that_are_learnt_from_are_left_out_and_patients_are_taken_over(tmp_path):
    learnt = lay_out(tmp_path / "learnt", LEARNT)
    names = {"1.png": 2, "2.png": 9, "3.png": 3, "4.png": 1}
    films = {name: (seed, name, "test") for name, seed in names.items()}
    step = UnseenFilms(*lay_out(tmp_path / "other", films), *learnt)
    (note,) = run_step(step, tmp_path / "unseen")
    images = pd.read_csv(tmp_path / "unseen" / "images.csv", dtype=str).set_index("image")
    assert images["fold"].tolist() == ["val", "test", "test", "train"]
    assert images["patient"].tolist() == ["12", "2.png", "13", "11"]
    problems = pd.read_csv(tmp_path / "unseen" / "problems.csv")
    assert problems["file"].tolist() == ["1.png", "4.png"]
    assert "b.png, from which the models learn" in problems["reason"][0]
    assert note.startswith("of 4 films, by their pixels, 2 are among those that the models learn")
    assert "; 1 are in the same set's test fold" in note
    assert "; 1 are not in that set" in note
    assert (tmp_path / "unseen" / POLYGONS).exists()


def test_nothing_left_to_measure_is_an_error(tmp_path):
    learnt = lay_out(tmp_path / "learnt", LEARNT)
    step = UnseenFilms(*lay_out(tmp_path / "other", {"1.png": (2, "1.png", "test")}), *learnt)
    with pytest.raises(ValueError, match="the models learn from all of these films"):
        run_step(step, tmp_path / "unseen")
