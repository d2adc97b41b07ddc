"""The judge of a refactoring names every table that two runs do not share to the byte."""

from pathlib import Path

import pytest

from tests.campaigns.equal_tables import main

BEFORE = {"table1.csv": b"method,iou\niba,0.1\n", "pcc.csv": b"method\n", "notes.txt": b"seen"}


def run(folder: Path, tables: dict[str, bytes]) -> str:
    (folder / "tables").mkdir(parents=True)
    for name, content in tables.items():
        (folder / "tables" / name).write_bytes(content)
    return str(folder)


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({}, 0, []),
        ({"notes.txt": b"other"}, 0, []),
        ({"rows.csv": b"value\n"}, 0, ["added: rows.csv"]),
        ({"pcc.csv": None}, 1, ["missing: pcc.csv"]),
        ({"table1.csv": b"method,iou\niba,0.10\n"}, 1, ["differs: table1.csv, from line 2"]),
        ({"table1.csv": b"method,iou\niba,0.1\r\n"}, 1, ["differs: table1.csv, from line 2"]),
        ({"pcc.csv": b"method\niba\n"}, 1, ["differs: pcc.csv, from line 2"]),
        ({"pcc.csv": b""}, 1, ["differs: pcc.csv, from line 1"]),
    ],
)
def test_what_was_added_is_missing_or_differs_is_listed(tmp_path, capsys, changed, code, said):
    after = {
        name: content for name, content in {**BEFORE, **changed}.items() if content is not None
    }
    assert main([run(tmp_path / "a", BEFORE), run(tmp_path / "b", after)]) == code
    assert capsys.readouterr().out.splitlines() == [*said, f"{2 - code} of 2 tables are equal"]


def test_folders_without_tables_are_not_equal(tmp_path, capsys):
    assert main([run(tmp_path / "a", {}), run(tmp_path / "b", BEFORE)]) == 1
    assert main([run(tmp_path / "c", BEFORE), str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().out.count("has no tables/*.csv") == 2
