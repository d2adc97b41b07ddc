"""Packing films: the published preprocessing, resuming, unreadable films, and reading back."""

import errno
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Resize

from data.integrity import DataError
from data.packing import PackedFilms, read_square, resize_and_crop
from tests.packing import pack

SIDE = 16


def published(image: Image.Image, side: int) -> np.ndarray:
    """The published preprocessing by torchvision, its first channel."""
    return np.asarray(CenterCrop(side)(Resize(side)(image.convert("RGB"))))[..., 0]


def write_films(root: Path, count: int = 7, seed: int = 0) -> pd.DataFrame:
    """Random films of several sizes, one of them RGBA, below ``root``; table image, path."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    names = [f"{number:08d}_000.png" for number in range(count)]
    for number, name in enumerate(names):
        shape = (40 + 3 * number, 60 - 2 * number)
        image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
        (image.convert("RGBA") if number == 2 else image).save(root / "images" / name)
    return pd.DataFrame({"image": names, "path": [f"images/{name}" for name in names]})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@settings(max_examples=50, deadline=None)
@given(
    height=st.integers(1, 300), width=st.integers(1, 300), side=st.integers(1, 100),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_films_become_what_torchvision_makes_of_them(height, width, side, seed):
    film = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    ours = resize_and_crop(film, side)
    np.testing.assert_array_equal(ours, published(Image.fromarray(film), side))


def test_a_film_too_long_and_narrow_to_scale_is_refused():
    with pytest.raises(DataError, match="too long and narrow"):
        resize_and_crop(np.zeros((1, 2_000_000), np.uint8), 224)


def test_packed_films_are_the_published_preprocessing_of_each_file(tmp_path):
    images = write_films(tmp_path / "root")
    pack(images, tmp_path / "root", tmp_path / "packed", SIDE)
    films = PackedFilms(tmp_path / "packed")
    assert films.side == SIDE
    assert len(films) == 7
    assert films.table["shard"].tolist() == [0, 0, 0, 1, 1, 1, 2]
    assert films.table["row"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    loaded = films.load(images["image"].tolist())
    assert loaded.dtype == np.uint8
    for film, path in zip(loaded, images["path"], strict=True):
        expected = published(Image.open(tmp_path / "root" / path), SIDE)
        np.testing.assert_array_equal(film, expected)
    assert pd.read_csv(tmp_path / "packed/problems.csv").empty


@settings(max_examples=50, deadline=None)
@given(picks=st.lists(st.integers(0, 6), max_size=20))
def test_films_load_in_any_order_and_with_repeats(tmp_path_factory, picks):
    folder = tmp_path_factory.getbasetemp() / "packed_once"
    root = tmp_path_factory.getbasetemp() / "films_once"
    if not folder.exists():
        pack(write_films(root), root, folder, SIDE)
    films = PackedFilms(folder)
    names = films.table["image"].to_numpy()
    one_by_one = [films.load([names[pick]])[0] for pick in picks]
    loaded = films.load(list(names[picks]) if picks else [])
    assert loaded.shape == (len(picks), SIDE, SIDE)
    for film, alone in zip(loaded, one_by_one, strict=True):
        np.testing.assert_array_equal(film, alone)


def test_the_bytes_do_not_depend_on_the_number_of_threads(tmp_path):
    images = write_films(tmp_path / "root", count=12)
    for threads in (1, 5):
        pack(images, tmp_path / "root", tmp_path / str(threads), SIDE, 4, threads)
    assert contents(tmp_path / "1") == contents(tmp_path / "5")


def test_unreadable_films_are_listed_and_the_others_keep_their_places(tmp_path):
    root = tmp_path / "root"
    images = write_films(root)
    truncated = root / images["path"][1]
    truncated.write_bytes(truncated.read_bytes()[:-200])
    (root / images["path"][3]).write_text("no image")
    (root / images["path"][4]).unlink()
    (root / images["path"][5]).unlink()
    (root / images["path"][5]).symlink_to(root.parent / "secret.png")
    images.loc[6, "path"] = "../evil.png"
    for name in ("secret.png", "evil.png"):
        Image.fromarray(np.zeros((30, 30), np.uint8)).save(tmp_path / name)
    pack(images, root, tmp_path / "packed", SIDE)
    films = PackedFilms(tmp_path / "packed")
    assert films.table["image"].tolist() == images["image"][[0, 2]].tolist()
    for number in (0, 2):
        expected = published(Image.open(root / images["path"][number]), SIDE)
        np.testing.assert_array_equal(films.load([images["image"][number]])[0], expected)
    problems = pd.read_csv(tmp_path / "packed/problems.csv").set_index("file")
    assert problems.index.tolist() == images["image"][[1, 3, 4, 5, 6]].tolist()
    reasons = ["damaged", "not a PNG", "not found", "leads out", "'..'"]
    for reason, found in zip(reasons, problems["reason"], strict=True):
        assert reason in found
    assert np.load(tmp_path / "packed/films_00000.npy").shape == (2, SIDE, SIDE)
    with pytest.raises(DataError, match=f"{images['image'][1]}.*problems.csv"):
        films.load([images["image"][0], images["image"][1]])


def test_a_film_that_shows_nothing_is_packed_and_listed_with_those_that_cannot_be_read(tmp_path):
    root = tmp_path / "root"
    images = write_films(root)
    twelve_bits = np.random.default_rng(0).integers(0, 4096, (40, 60), dtype=np.uint16)
    Image.fromarray(twelve_bits).save(root / images["path"][1])
    Image.fromarray(np.full((50, 40), 255, np.uint8)).save(root / images["path"][4])
    (root / images["path"][5]).write_text("no image")
    pack(images, root, tmp_path / "packed", SIDE)
    films = PackedFilms(tmp_path / "packed")
    assert films.table["image"].tolist() == images["image"][[0, 1, 2, 3, 4, 6]].tolist()
    assert (films.load([images["image"][4]]) == 255).all()
    problems = pd.read_csv(tmp_path / "packed/problems.csv")
    assert problems["file"].tolist() == images["image"][[1, 4, 5]].tolist()
    assert problems["reason"].str.contains("shows almost nothing").tolist() == [True, True, False]


def test_packing_again_keeps_finished_shards(tmp_path):
    images = write_films(tmp_path / "root")
    (tmp_path / "root" / images["path"][0]).write_text("no image")
    packed = tmp_path / "packed"
    pack(images, tmp_path / "root", packed, SIDE)
    before = contents(packed)
    pack(images, tmp_path / "root", packed, SIDE, reader=lambda *_: pytest.fail("decoded again"))
    assert contents(packed) == before


@pytest.mark.parametrize("killed_at", [0, 2, 3, 6])
def test_a_killed_packing_goes_on_to_the_same_bytes(tmp_path, killed_at):
    images = write_films(tmp_path / "root")
    pack(images, tmp_path / "root", tmp_path / "whole", SIDE)

    def killed(path: Path, side: int) -> tuple[np.ndarray, str]:
        if path.name == images["image"][killed_at]:
            raise KeyboardInterrupt
        return read_square(path, side)

    packed = tmp_path / "packed"
    with pytest.raises(KeyboardInterrupt):
        pack(images, tmp_path / "root", packed, SIDE, reader=killed)
    assert len(list(packed.glob("*.csv"))) == killed_at // 3
    assert not list(packed.glob("*.tmp"))
    with pytest.raises(DataError, match=r"films\.csv not found"):
        PackedFilms(packed)
    pack(images, tmp_path / "root", packed, SIDE)
    assert contents(packed) == contents(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["truncate", "remove", "empty csv"])
def test_a_damaged_shard_is_packed_again(tmp_path, damage):
    images = write_films(tmp_path / "root")
    packed = tmp_path / "packed"
    pack(images, tmp_path / "root", packed, SIDE)
    before = contents(packed)
    films = packed / "films_00001.npy"
    if damage == "truncate":
        films.write_bytes(films.read_bytes()[:-5])
    elif damage == "remove":
        films.unlink()
    else:
        films.with_suffix(".csv").write_text("")
    if damage != "empty csv":
        with pytest.raises(DataError, match=r"films_00001\.npy is absent or damaged"):
            PackedFilms(packed).load(images["image"].tolist())
    pack(images, tmp_path / "root", packed, SIDE)
    assert contents(packed) == before


def test_other_films_or_another_side_are_not_taken_for_finished(tmp_path):
    images = write_films(tmp_path / "root")
    packed = tmp_path / "packed"
    pack(images, tmp_path / "root", packed, SIDE)
    pack(images[::-1], tmp_path / "root", packed, SIDE + 1)
    films = PackedFilms(packed)
    assert films.side == SIDE + 1
    assert films.table["image"].tolist() == images["image"].tolist()[::-1]
    expected = published(Image.open(tmp_path / "root" / images["path"][0]), SIDE + 1)
    np.testing.assert_array_equal(films.load([images["image"][0]])[0], expected)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("00000001_000.png,0,x", "row is not a whole number"),
        ("00000001_000.png,-1,0", "shard is not a whole number"),
        (f"00000001_000.png,0,{10**30}", "row is not a whole number"),
        ("00000001_000.png,0,99", "its shards differ"),
        ("00000000_000.png,0,1", "names a film twice"),
    ],
)
def test_an_index_that_does_not_fit_its_shards_is_refused(tmp_path, line, reason):
    images = write_films(tmp_path / "root", count=2)
    pack(images, tmp_path / "root", tmp_path / "packed", SIDE)
    index = tmp_path / "packed" / "films.csv"
    index.write_text("\n".join([*index.read_text().splitlines()[:2], line, ""]))
    with pytest.raises(DataError, match=reason):
        PackedFilms(tmp_path / "packed").load(images["image"].tolist())


@pytest.mark.parametrize(
    "films", [np.zeros((2, SIDE, SIDE)), np.zeros((2, 4), np.uint8), np.zeros((2, 4, 5), np.uint8)]
)
def test_a_shard_of_something_else_is_refused(tmp_path, films):
    images = write_films(tmp_path / "root", count=2)
    pack(images, tmp_path / "root", tmp_path / "packed", SIDE)
    np.save(tmp_path / "packed" / "films_00000.npy", films)
    with pytest.raises(DataError, match=r"films_00000\.npy holds no square films of uint8"):
        PackedFilms(tmp_path / "packed")


def test_a_full_disk_is_an_os_error_and_leaves_no_finished_shard(tmp_path, monkeypatch):
    images = write_films(tmp_path / "root")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        pack(images, tmp_path / "root", tmp_path / "packed", SIDE)
    assert not isinstance(caught.value, DataError)
    assert list((tmp_path / "packed").iterdir()) == []


def test_nothing_readable_is_an_error_with_the_first_reason(tmp_path):
    images = write_films(tmp_path / "root", count=3)
    for path in images["path"]:
        (tmp_path / "root" / path).write_text("no image")
    with pytest.raises(DataError, match=r"none of the 3 films .* not a PNG or JPEG image"):
        pack(images, tmp_path / "root", tmp_path / "packed", SIDE)
    with pytest.raises(DataError, match="no films"):
        pack(images[:0], tmp_path / "root", tmp_path / "packed", SIDE)


def test_names_that_repeat_are_refused(tmp_path):
    images = write_films(tmp_path / "root", count=2)
    twice = pd.concat([images, images])
    with pytest.raises(DataError, match="packed twice"):
        pack(twice, tmp_path / "root", tmp_path / "packed", SIDE)


def test_packed_films_travel_to_other_processes_as_their_folder(tmp_path):
    images = write_films(tmp_path / "root")
    pack(images, tmp_path / "root", tmp_path / "packed", SIDE)
    films = PackedFilms(tmp_path / "packed")
    before = films.load(images["image"].tolist())
    sent = pickle.dumps(films)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent).load(images["image"].tolist()), before)


@pytest.mark.real
def test_real_films_are_all_readable_and_as_published(tmp_path):
    if "CXR_REAL" not in os.environ:
        pytest.skip("CXR_REAL does not point at the real sample")
    root = Path(os.environ["CXR_REAL"]) / "nih"
    paths = sorted((root / "images").glob("*.png"))[::6]
    images = pd.DataFrame({"image": [path.name for path in paths]})
    images["path"] = "images/" + images["image"]
    pack(images, root, tmp_path / "packed", 224)
    films = PackedFilms(tmp_path / "packed").load(images["image"].tolist())
    assert len(films) == len(paths)
    for film, path in zip(films, paths, strict=True):
        np.testing.assert_array_equal(film, published(Image.open(path), 224))
    assert 20 < films.mean() < 220
