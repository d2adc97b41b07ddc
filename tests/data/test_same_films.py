"""Films that two data sets share are told by their pixels, whatever they are called."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from data.config import PhantomConfig
from data.packing import PackedFilms
from data.phantom.nih_layout import render_nih
from data.same_films import same_films
from tests.packing import pack

SIDE = 64


def packed(root: Path, names: list[str]) -> PackedFilms:
    pack(pd.DataFrame({"image": names, "path": names}), root, root / "pack", SIDE)
    return PackedFilms(root / "pack")


def test_a_renamed_film_is_found_after_jpeg_another_size_and_a_gamma_and_no_other_is(tmp_path):
    render_nih(PhantomConfig(num_train_val=12, num_test=12, side=96, seed=5), tmp_path, 1)
    there = sorted(path.name for path in (tmp_path / "images").iterdir())
    learnt = there[::2]
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for number, name in enumerate(there):
        film = Image.open(tmp_path / "images" / name)
        changed = np.asarray(film.resize((80, 80), Image.Resampling.BICUBIC))
        changed = (255 * (changed / 255) ** 1.05).round().astype(np.uint8)
        Image.fromarray(changed).save(renamed / f"{number}.jpg", quality=75)
    names = [f"{number}.jpg" for number in range(len(there))]
    films, others = packed(renamed, names), packed(tmp_path / "images", learnt)
    expected = [n // 2 if n % 2 == 0 else -1 for n in range(len(there))]
    assert same_films(films, names, others, learnt).tolist() == expected


def test_films_of_one_grey_are_like_no_film(tmp_path):
    for name, grey in (("black.png", 0), ("grey.png", 99)):
        Image.fromarray(np.full((SIDE, SIDE), grey, np.uint8)).save(tmp_path / name)
    films = packed(tmp_path, ["black.png", "grey.png"])
    assert same_films(films, ["black.png", "grey.png"], films, ["grey.png"]).tolist() == [-1, -1]
