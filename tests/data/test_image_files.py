"""Reading PNGs and JPEGs: which grey they become, and how what is no film is refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data import image_files
from data.image_files import MAX_JPEG_SCANS, MAX_PNG_CHUNKS, read_grey
from data.integrity import DataError
from data.whole_images import JPEG_SCAN
from tests.campaigns import bombs


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return path


def film(side: int = 40) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (side, side), dtype=np.uint8)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_a_grey_film_reads_the_same_in_every_mode(tmp_path, mode):
    pixels = film()
    read = read_grey(save(tmp_path / "film.png", pixels, mode))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)


def test_alpha_is_dropped_not_blended(tmp_path):
    pixels = np.dstack([np.full((8, 8), 200, np.uint8)] * 3 + [np.full((8, 8), 3, np.uint8)])
    assert (read_grey(save(tmp_path / "film.png", pixels)) == 200).all()


def test_one_bit_films_are_black_and_white(tmp_path):
    pixels = np.array([[0, 255], [255, 0]], np.uint8)
    np.testing.assert_array_equal(read_grey(save(tmp_path / "film.png", pixels, "1")), pixels)


def test_sixteen_bit_films_are_scaled_not_clipped(tmp_path):
    deep = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    read = read_grey(save(tmp_path / "film.png", deep))
    np.testing.assert_allclose(read, deep / 257, atol=0.5 + 1e-9)


@settings(max_examples=50, deadline=None)
@given(share=st.floats(0, 0.99))
def test_no_cut_of_a_png_reads_as_a_film(tmp_path_factory, share):
    path = save(tmp_path_factory.mktemp("cut") / "film.png", film())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"film\.png"):
        read_grey(path)


@settings(max_examples=50, deadline=None)
@given(position=st.floats(0.1, 0.9))
def test_a_changed_byte_in_a_png_is_noticed(tmp_path_factory, position):
    path = save(tmp_path_factory.mktemp("flip") / "film.png", film())
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"film\.png: damaged"):
        read_grey(path)


@pytest.mark.parametrize("side", [9000, 30_000, 60_000])
def test_a_decompression_bomb_is_refused_before_decoding(tmp_path, side):
    with pytest.raises(DataError, match="too large"):
        read_grey(bombs.png(tmp_path / "bomb.png", side))


@pytest.mark.parametrize("chunks", [MAX_PNG_CHUNKS - 3, MAX_PNG_CHUNKS])
def test_a_png_of_very_many_chunks_is_refused_before_they_are_read(tmp_path, chunks):
    Image.new("L", (8, 8)).save(tmp_path / "film.png")
    content = (tmp_path / "film.png").read_bytes()
    end = content.index(b"IEND") - 4
    chunk = bombs.chunk(b"vpAg", b"")  # of which decoders know nothing
    (tmp_path / "film.png").write_bytes(content[:end] + chunks * chunk + content[end:])
    if chunks < MAX_PNG_CHUNKS:
        assert read_grey(tmp_path / "film.png").shape == (8, 8)
    else:
        with pytest.raises(DataError, match=r"film\.png: more than 100000 chunks"):
            read_grey(tmp_path / "film.png")


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "film.jpg"
    Image.new("L", (64, 64)).save(path, progressive=True)
    content = path.read_bytes()
    assert 1 < content.count(JPEG_SCAN) < MAX_JPEG_SCANS / 4
    last = content[content.rindex(JPEG_SCAN) : -2]
    path.write_bytes(content[:-2] + last * MAX_JPEG_SCANS + content[-2:])
    with pytest.raises(DataError, match=r"film\.jpg: more than 40 scans"):
        read_grey(path)


def test_an_image_without_pixels_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.png"):
        read_grey(bombs.png(tmp_path / "none.png", 0))


def test_what_is_no_film_is_named_with_the_reason(tmp_path):
    (tmp_path / "text.png").write_text("this is no image")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    Image.fromarray(film()).save(tmp_path / "gif.png", format="GIF")
    for name, reason in (
        ("text.png", "not a PNG or JPEG"),
        ("gif.png", "not a PNG or JPEG"),
        ("empty.png", "empty"),
        ("folder.png", "not a regular file"),
        ("absent.png", "not found"),
    ):
        with pytest.raises(DataError, match=f"{name}.*{reason}"):
            read_grey(tmp_path / name)


def test_a_failing_disk_is_not_blamed_on_the_film(tmp_path, monkeypatch):
    def fail(path: Path) -> np.ndarray:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(image_files, "_decode", fail)
    with pytest.raises(OSError, match="Input/output") as caught:
        read_grey(tmp_path / "film.png")
    assert not isinstance(caught.value, DataError)
