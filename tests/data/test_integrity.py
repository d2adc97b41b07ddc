"""Reading users' paths and tables: what is accepted, and how the rest is refused."""

import gzip
import os
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config import user_path
from data.dicom import read_dicom
from data.image_files import MAX_BYTES, read_grey
from data.integrity import (
    MAX_COLUMNS,
    MAX_FIELDS,
    MAX_TABLE_BYTES,
    DataError,
    read_table,
    resolve_inside,
)
from data.nih_files import MAX_LIST_BYTES, read_names

COLUMNS = ("Image Index", "Patient ID")
READERS: tuple[tuple[Callable[[Path], Any], int], ...] = (
    (read_dicom, MAX_BYTES),
    (read_grey, MAX_BYTES),
    (lambda path: read_table(path, COLUMNS), MAX_TABLE_BYTES),
    (read_names, MAX_LIST_BYTES),
)


@pytest.mark.parametrize(("reader", "most"), READERS)
def test_a_file_that_is_too_large_for_its_kind_is_refused_unread(tmp_path, reader, most):
    with (tmp_path / "large").open("wb") as file:
        file.truncate(most + 1)  # holes, which take no room
    with pytest.raises(DataError, match=r"large: too large: \d+ bytes"):
        reader(tmp_path / "large")


@pytest.mark.parametrize(("reader", "most"), READERS)
def test_a_pipe_where_a_file_belongs_does_not_block(tmp_path, reader, most):
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


def test_a_file_below_the_root_resolves_to_its_real_path(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "images/a.png")
    real = (tmp_path / "images/a.png").resolve()
    assert resolve_inside(tmp_path, "images/a.png") == real
    assert resolve_inside(tmp_path, "link.png") == real


def test_a_root_that_is_a_link_itself_is_fine(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.png").touch()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert resolve_inside(tmp_path / "root", "a.png").name == "a.png"


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../evil.png", "images/../../evil.png", "..", "..\\evil.png",
     "C:\\evil.png", "\\\\host\\share\\evil.png", "a\0.png"],
)  # fmt: skip
def test_names_that_could_leave_the_root_are_refused(tmp_path, name):
    with pytest.raises(DataError):
        resolve_inside(tmp_path, name)


def test_links_out_of_the_root_and_loops_are_refused(tmp_path):
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
def test_whatever_resolves_lies_inside_the_root(names):
    root = Path("/nowhere/root")
    try:
        path = resolve_inside(root, "/".join(names))
    except DataError:
        return
    assert path.is_relative_to(root)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_tables_are_read_with_or_without_mark_and_carriage_returns(tmp_path, mark, newline):
    path = tmp_path / "table.csv"
    lines = [mark + "Image Index, Patient ID ,Note", "a.png,007,", "", ' b.png ,1,"x, y"', ""]
    path.write_bytes(newline.join(lines).encode())
    table = read_table(path, COLUMNS)
    assert table.index.tolist() == [2, 4]
    assert table["Image Index"].tolist() == ["a.png", "b.png"]
    assert table["Patient ID"].tolist() == ["007", "1"]
    assert table["Note"].tolist() == ["", "x, y"]


def test_control_characters_of_a_field_become_escapes(tmp_path):
    (tmp_path / "t.csv").write_bytes(b'Image Index,Patient ID,Note\n"a\r\nb\x7f.png",1,"x\ny"\n')
    table = read_table(tmp_path / "t.csv", COLUMNS)
    assert table.to_numpy().tolist() == [["a\\x0d\\x0ab\\x7f.png", "1", "x\ny"]]


def test_fields_that_a_row_lacks_are_empty(tmp_path):
    (tmp_path / "t.csv").write_text("Image Index,Patient ID\na.png\nNA,3\n")
    table = read_table(tmp_path / "t.csv", COLUMNS)
    assert table.to_numpy().tolist() == [["a.png", ""], ["NA", "3"]]


def test_a_missing_column_is_named_with_the_file_and_what_it_has(tmp_path):
    (tmp_path / "t.csv").write_text("Image Index;Patient ID\na.png;1\n")
    with pytest.raises(DataError, match=r"t\.csv lacks the column .*'Image Index;Patient ID'"):
        read_table(tmp_path / "t.csv", COLUMNS)


@pytest.mark.parametrize(
    "header",
    ["Image Index, Image Index,Patient ID", "Image Index,Patient ID,Image Index"],
)
def test_a_column_that_stands_there_twice_is_named_with_the_file(tmp_path, header):
    (tmp_path / "t.csv").write_text(f"{header}\na.png,b.png,1\n")
    with pytest.raises(DataError, match=r"t\.csv has the column 'Image Index' twice"):
        read_table(tmp_path / "t.csv", COLUMNS)


def test_columns_that_nobody_asks_for_may_share_a_name(tmp_path):
    (tmp_path / "t.csv").write_text("Image Index,Note,Patient ID,Note,\na.png,x,1,y,z\n")
    table = read_table(tmp_path / "t.csv", COLUMNS)
    assert table.to_numpy().tolist() == [["a.png", "x", "1", "y", "z"]]


@pytest.mark.parametrize(
    ("columns", "lines"), [(MAX_COLUMNS + 1, 1), (MAX_COLUMNS, MAX_FIELDS // MAX_COLUMNS)]
)
def test_short_rows_under_a_wide_header_are_refused_before_they_are_filled_up(
    tmp_path, columns, lines
):
    wide = ",".join(["Image Index", "Patient ID", *("x" * (columns - 2))])
    (tmp_path / "t.csv").write_text(f"{wide}\n" + "a\n" * lines)
    with pytest.raises(DataError, match=rf"t\.csv: too large: {lines + 1} lines of {columns} col"):
        read_table(tmp_path / "t.csv", COLUMNS)


def test_a_packed_table_is_not_unpacked(tmp_path):
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
def test_a_bad_table_is_refused_with_the_reason(tmp_path, content, reason):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"t\.csv.*({reason})"):
        read_table(tmp_path / "t.csv", COLUMNS)


def test_an_absent_table_or_a_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv not found"):
        read_table(tmp_path / "t.csv", COLUMNS)
    with pytest.raises(DataError, match="not a regular file"):
        read_table(tmp_path, COLUMNS)


def test_a_tilde_is_the_home_folder_and_only_at_the_front(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/films") == tmp_path / "films"
    assert user_path("~") == tmp_path
    assert str(user_path("/data/~old/a~")) == "/data/~old/a~"


def test_the_home_of_nobody_is_refused_and_no_folder_of_that_name_is_meant():
    with pytest.raises(ValueError, match="~nobody-of-here/films: no home folder is known"):
        user_path("~nobody-of-here/films")
