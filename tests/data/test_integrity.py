"""Reading users' paths, tables and films: what is accepted, and how the rest is refused."""

import gzip
import os
import struct
import tarfile
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data import integrity
from data.integrity import (
    MAX_BYTES,
    MAX_COLUMNS,
    MAX_FIELDS,
    MAX_JPEG_SCANS,
    MAX_PNG_CHUNKS,
    MAX_TABLE_BYTES,
    DataError,
    read_grey,
    read_table,
    resolve_inside,
)
from data.nih_files import MAX_LIST_BYTES, read_names
from data.whole_images import JPEG_SCAN

COLUMNS = ("Image Index", "Patient ID")
READERS: tuple[tuple[Callable[[Path], Any], int], ...] = (
    (read_grey, MAX_BYTES),
    (lambda path: read_table(path, COLUMNS), MAX_TABLE_BYTES),
    (read_names, MAX_LIST_BYTES),
)


def save(path: Path, pixels: np.ndarray, mode: str | None = None) -> Path:
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)
    return path


def film(side: int = 40) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (side, side), dtype=np.uint8)


def png_with_size(path: Path, width: int, height: int) -> Path:
    """A tiny PNG file whose header claims any size, with correct checksums."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_a_grey_film_reads_the_same_in_every_mode(tmp_path: Path, mode: str) -> None:
    pixels = film()
    read = read_grey(save(tmp_path / "film.png", pixels, mode))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)


def test_alpha_is_dropped_not_blended(tmp_path: Path) -> None:
    pixels = np.dstack([np.full((8, 8), 200, np.uint8)] * 3 + [np.full((8, 8), 3, np.uint8)])
    assert (read_grey(save(tmp_path / "film.png", pixels)) == 200).all()


def test_one_bit_films_are_black_and_white(tmp_path: Path) -> None:
    pixels = np.array([[0, 255], [255, 0]], np.uint8)
    np.testing.assert_array_equal(read_grey(save(tmp_path / "film.png", pixels, "1")), pixels)


def test_sixteen_bit_films_are_scaled_not_clipped(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    read = read_grey(save(tmp_path / "film.png", deep))
    np.testing.assert_allclose(read, deep / 257, atol=0.5 + 1e-9)


@settings(max_examples=50, deadline=None)
@given(share=st.floats(0, 0.99))
def test_no_cut_of_a_png_reads_as_a_film(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    path = save(tmp_path_factory.mktemp("cut") / "film.png", film())
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"film\.png"):
        read_grey(path)


@settings(max_examples=50, deadline=None)
@given(position=st.floats(0.1, 0.9))
def test_a_changed_byte_in_a_png_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, position: float
) -> None:
    path = save(tmp_path_factory.mktemp("flip") / "film.png", film())
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"film\.png: damaged"):
        read_grey(path)


@pytest.mark.parametrize(
    ("width", "height"), [(9000, 9000), (30000, 30000), (2**31 - 1, 2**31 - 1)]
)
def test_a_decompression_bomb_is_refused_before_decoding(
    tmp_path: Path, width: int, height: int
) -> None:
    with pytest.raises(DataError, match="too large"):
        read_grey(png_with_size(tmp_path / "bomb.png", width, height))


@pytest.mark.parametrize("chunks", [MAX_PNG_CHUNKS - 3, MAX_PNG_CHUNKS])
def test_a_png_of_very_many_chunks_is_refused_before_they_are_read(
    tmp_path: Path, chunks: int
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "film.png")
    content = (tmp_path / "film.png").read_bytes()
    end = content.index(b"IEND") - 4
    kind = b"vpAg"  # of which decoders know nothing
    chunk = struct.pack(">I", 0) + kind + struct.pack(">I", zlib.crc32(kind))
    (tmp_path / "film.png").write_bytes(content[:end] + chunks * chunk + content[end:])
    if chunks < MAX_PNG_CHUNKS:
        assert read_grey(tmp_path / "film.png").shape == (8, 8)
    else:
        with pytest.raises(DataError, match=r"film\.png: more than 100000 chunks"):
            read_grey(tmp_path / "film.png")


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "film.jpg"
    Image.new("L", (64, 64)).save(path, progressive=True)
    content = path.read_bytes()
    assert 1 < content.count(JPEG_SCAN) < MAX_JPEG_SCANS / 4
    last = content[content.rindex(JPEG_SCAN) : -2]
    path.write_bytes(content[:-2] + last * MAX_JPEG_SCANS + content[-2:])
    with pytest.raises(DataError, match=r"film\.jpg: more than 40 scans"):
        read_grey(path)


@pytest.mark.parametrize(("reader", "most"), READERS)
def test_a_file_that_is_too_large_for_its_kind_is_refused_unread(
    tmp_path: Path, reader: Callable[[Path], Any], most: int
) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(most + 1)  # holes, which take no room
    with pytest.raises(DataError, match=r"large: too large: \d+ bytes"):
        reader(tmp_path / "large")


def test_an_image_without_pixels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png"):
        read_grey(png_with_size(tmp_path / "none.png", 0, 10))


def test_what_is_no_film_is_named_with_the_reason(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(("reader", "most"), READERS)
def test_a_pipe_where_a_file_belongs_does_not_block(
    tmp_path: Path, reader: Callable[[Path], Any], most: int
) -> None:
    os.mkfifo(tmp_path / "pipe")
    caught: list[Exception] = []

    def read() -> None:
        try:
            reader(tmp_path / "pipe")
        except DataError as error:
            caught.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(timeout=5)
    assert [str(error) for error in caught] == [f"{tmp_path}/pipe: not a regular file"]


def test_a_failing_disk_is_not_blamed_on_the_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> np.ndarray:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(integrity, "_decode", fail)
    with pytest.raises(OSError, match="Input/output") as caught:
        read_grey(tmp_path / "film.png")
    assert not isinstance(caught.value, DataError)


def test_a_file_below_the_root_resolves_to_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "images/a.png")
    real = (tmp_path / "images/a.png").resolve()
    assert resolve_inside(tmp_path, "images/a.png") == real
    assert resolve_inside(tmp_path, "link.png") == real


def test_a_root_that_is_a_link_itself_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.png").touch()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert resolve_inside(tmp_path / "root", "a.png").name == "a.png"


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../evil.png", "images/../../evil.png", "..", "..\\evil.png",
     "C:\\evil.png", "\\\\host\\share\\evil.png", "a\0.png"],
)  # fmt: skip
def test_names_that_could_leave_the_root_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError):
        resolve_inside(tmp_path, name)


def test_links_out_of_the_root_and_loops_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.png").touch()
    (root / "file.png").symlink_to(tmp_path / "secret.png")
    (root / "folder").symlink_to(tmp_path)
    (root / "loop.png").symlink_to(root / "loop.png")
    for name in ("file.png", "folder/secret.png"):
        with pytest.raises(DataError, match="leads out"):
            resolve_inside(root, name)
    with pytest.raises(DataError, match=r"loop\.png"):
        read_grey(resolve_inside(root, "loop.png"))


@settings(max_examples=50, deadline=None)
@given(names=st.lists(st.sampled_from(["..", "a", "b", "", ".", "images"]), max_size=8))
def test_whatever_resolves_lies_inside_the_root(names: list[str]) -> None:
    root = Path("/nowhere/root")
    try:
        path = resolve_inside(root, "/".join(names))
    except DataError:
        return
    assert path.is_relative_to(root)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_tables_are_read_with_or_without_mark_and_carriage_returns(
    tmp_path: Path, mark: str, newline: str
) -> None:
    path = tmp_path / "table.csv"
    lines = [mark + "Image Index, Patient ID ,Note", "a.png,007,", "", ' b.png ,1,"x, y"', ""]
    path.write_bytes(newline.join(lines).encode())
    table = read_table(path, COLUMNS)
    assert table.index.tolist() == [2, 4]
    assert table["Image Index"].tolist() == ["a.png", "b.png"]
    assert table["Patient ID"].tolist() == ["007", "1"]
    assert table["Note"].tolist() == ["", "x, y"]


def test_control_characters_of_a_field_become_escapes(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b'Image Index,Patient ID,Note\n"a\r\nb\x7f.png",1,"x\ny"\n')
    table = read_table(tmp_path / "t.csv", COLUMNS)
    assert table.to_numpy().tolist() == [["a\\x0d\\x0ab\\x7f.png", "1", "x\ny"]]


def test_fields_that_a_row_lacks_are_empty(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Image Index,Patient ID\na.png\nNA,3\n")
    table = read_table(tmp_path / "t.csv", COLUMNS)
    assert table.to_numpy().tolist() == [["a.png", ""], ["NA", "3"]]


def test_a_missing_column_is_named_with_the_file_and_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Image Index;Patient ID\na.png;1\n")
    with pytest.raises(DataError, match=r"t\.csv lacks the column .*'Image Index;Patient ID'"):
        read_table(tmp_path / "t.csv", COLUMNS)


@pytest.mark.parametrize(
    "header",
    ["Image Index, Image Index,Patient ID", "Image Index,Patient ID,Image Index"],
)
def test_a_column_that_stands_there_twice_is_named_with_the_file(
    tmp_path: Path, header: str
) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\na.png,b.png,1\n")
    with pytest.raises(DataError, match=r"t\.csv has the column 'Image Index' twice"):
        read_table(tmp_path / "t.csv", COLUMNS)


def test_columns_that_nobody_asks_for_may_share_a_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Image Index,Note,Patient ID,Note,\na.png,x,1,y,z\n")
    table = read_table(tmp_path / "t.csv", COLUMNS)
    assert table.to_numpy().tolist() == [["a.png", "x", "1", "y", "z"]]


@pytest.mark.parametrize(
    ("columns", "lines"), [(MAX_COLUMNS + 1, 1), (MAX_COLUMNS, MAX_FIELDS // MAX_COLUMNS)]
)
def test_short_rows_under_a_wide_header_are_refused_before_they_are_filled_up(
    tmp_path: Path, columns: int, lines: int
) -> None:
    wide = ",".join(["Image Index", "Patient ID", *("x" * (columns - 2))])
    (tmp_path / "t.csv").write_text(f"{wide}\n" + "a\n" * lines)
    with pytest.raises(DataError, match=rf"t\.csv: too large: {lines + 1} lines of {columns} col"):
        read_table(tmp_path / "t.csv", COLUMNS)


def test_a_packed_table_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Image Index,Patient ID\na.png,1\n")
    with gzip.open(tmp_path / "t.csv.gz", "wb") as file:
        file.write((tmp_path / "t.csv").read_bytes())
    with tarfile.open(tmp_path / "t.csv.tar", "w") as archive:  # is text, unless its name counts
        archive.add(tmp_path / "t.csv", "t.csv")
    with pytest.raises(DataError, match=r"t\.csv\.gz is not UTF-8"):
        read_table(tmp_path / "t.csv.gz", COLUMNS)
    with pytest.raises(DataError, match=r"t\.csv\.tar is malformed"):
        read_table(tmp_path / "t.csv.tar", COLUMNS)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty|lacks the column"),
        (b"Image Index,Patient ID\n", "no rows"),
        (b"Image Index,Patient ID\n\xe9.png,1\n", "not UTF-8"),
        ("Image Index,Patient ID\na,1\n".encode("utf-16"), "not UTF-8"),
        (b"Image Index,Patient ID\na.png,1\nb.png,1,2,3\n", "malformed"),
        (b"Image Index,Patient ID\na.png,1,2,3\nb.png,1,2,3\n", "malformed"),
        (b'Image Index,Patient ID\n"a.png,1\nb.png,2\n', "malformed"),
    ],
)
def test_a_bad_table_is_refused_with_the_reason(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"t\.csv.*({reason})"):
        read_table(tmp_path / "t.csv", COLUMNS)


def test_an_absent_table_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv not found"):
        read_table(tmp_path / "t.csv", COLUMNS)
    with pytest.raises(DataError, match="not a regular file"):
        read_table(tmp_path, COLUMNS)
