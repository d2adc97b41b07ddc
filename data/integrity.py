"""Reading what users bring: paths and tables, each with an error that says what is wrong."""

import csv
import os
import re
import stat
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import pandas as pd

# Ours: four and seven times the largest official table, NIH's labels; pandas fills up short rows.
MAX_TABLE_BYTES, MAX_FIELDS, MAX_COLUMNS = 32 * 1024**2, 10**7, 1000
_SHOWN = 1000  # characters of a header
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class DataError(ValueError):
    """Input that cannot be used; the message names the file or field and what to do."""


class Problem(NamedTuple):
    """One thing that was skipped or repaired: where, which field, and why."""

    file: str
    field: str
    reason: str


def problem_table(problems: Iterable[Problem]) -> pd.DataFrame:
    """Table of problems with the string columns file, field, reason."""
    return pd.DataFrame(list(problems), columns=list(Problem._fields), dtype=str)


def list_problems(files: pd.Series, field: str, reason: str | pd.Series) -> pd.DataFrame:
    """The same, for many files at once, their names made printable; keeps their index."""
    return pd.DataFrame(
        {"file": files.map(printable), "field": field, "reason": reason}, index=files.index
    )


def row_problems(
    path: Path, names: pd.Series, reasons: pd.Series, usable: pd.Series
) -> pd.DataFrame:
    """Problems of the rows of a table that have a reason, each with its line.

    names, reasons, usable: by line, as indexed by ``read_table``. Raises DataError, with the
    commonest reason, where no row is usable.
    """
    listed = reasons != ""
    problems = list_problems(names[listed], "", reasons[listed])
    problems["field"] = [f"{path.name} line {line}" for line in problems.index]
    if not usable.any():
        raise DataError(f"{path} has no usable row: {commonest(problems)}")
    return problems


def commonest(problems: pd.DataFrame) -> str:
    """Of a table of problems: which one there is most often, how often, and where it is first.

    For errors that say that nothing usable is left: what is listed then is the reason.
    """
    if problems.empty:
        return "no problem was listed"
    reason, count = Counter(problems["reason"]).most_common(1)[0]
    first = problems[problems["reason"] == reason].iloc[0]
    where = ", ".join(text for text in (first["file"], first["field"]) if text)
    return f"{reason} ({count} of {len(problems)} problems; the first: {where})"


def printable(name: str) -> str:
    """The name with control characters, and bytes that are not UTF-8, written as escapes, so that
    it can go into a table: a carriage return would end its row."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def reason_alone(error: DataError, path: Path) -> str:
    """What an error of reading the file says, without the path that it begins with."""
    return str(error).removeprefix(f"{printable(str(path))}: ")


def resolve_inside(root: Path, name: str) -> Path:
    """Absolute path of ``name`` below ``root``.

    Raises DataError for an empty or absolute name, ``..``, and links that lead out of the root.
    """
    shown = printable(name)
    if not name or "\0" in name:
        raise DataError(f"{shown!r} is not a file name")
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
        raise DataError(f"{shown!r} is an absolute path: give it relative to {root}")
    if ".." in PurePosixPath(name.replace("\\", "/")).parts:
        raise DataError(f"{shown!r} contains '..' and could leave {root}")
    try:
        path, base = (root / name).resolve(), root.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise DataError(f"{shown!r} cannot be resolved below {root}: {error}") from error
    if not path.is_relative_to(base):
        raise DataError(f"{shown!r} is a link that leads out of {root}, to {path}: copy it inside")
    return path


def resolve_film(root: Path, path: str) -> Path:
    """The same of a film or folder found below ``root``, of which a folder elsewhere is a part if
    a link right below ``root`` leads to it: somebody made that, to keep films on another disk.

    Below such a folder, too, links that lead out of it are refused, as are links to single files.
    """
    first, _, rest = path.partition("/")
    if first and is_linked_folder(root, first):
        return resolve_inside(root / first, rest or ".")
    return resolve_inside(root, path)


def is_linked_folder(root: Path, name: str) -> bool:
    """Whether ``name``, right below ``root``, is a link to a folder that neither lies in ``root``
    nor holds it."""
    link = root / name
    if "/" in name or not (link.is_symlink() and link.is_dir()):
        return False
    base, target = root.resolve(), link.resolve()
    return not target.is_relative_to(base) and not base.is_relative_to(target)


def check_file(path: Path, most: int) -> int:
    """Its size in bytes. Not opened, for a pipe would block and a device never end.

    Raises DataError, which does not name the file, where it is not regular or over ``most`` bytes.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DataError("not a regular file")
    if status.st_size > most:
        raise DataError(f"too large: {status.st_size} bytes, at most {most} are read")
    return status.st_size


def read_table(path: Path, columns: Collection[str], separator: str = ",") -> pd.DataFrame:
    """A csv file as strings, all its columns, indexed by line number (header = 1).

    Accepts a byte-order mark, CRLF, blank lines, and spaces around the values of ``columns``, whose
    control characters become escapes; a field that a row lacks is "". Raises DataError if the file
    is absent, no regular file, too large, empty, not UTF-8, malformed, or has one of ``columns``
    not once.
    """
    try:
        check_file(path, MAX_TABLE_BYTES)
        with path.open(encoding="utf-8-sig", newline="") as file:
            width = len(next(csv.reader(file, delimiter=separator), []))
            lines = 1 + sum(1 for _ in file)
        if width > MAX_COLUMNS or lines * width > MAX_FIELDS:
            raise DataError(
                f"too large: {lines} lines of {width} columns, at most {MAX_COLUMNS} columns and "
                f"{MAX_FIELDS} fields are read"
            )
        table = pd.read_csv(
            path,
            sep=separator,
            encoding="utf-8-sig",
            header=None,  # pandas would give a column that stands there twice another name
            dtype=object,
            na_filter=False,
            skip_blank_lines=False,
            compression=None,
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path} not found") from None
    except PermissionError:
        raise DataError(f"{path} cannot be read: permission denied") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8") from error
    except (pd.errors.ParserError, csv.Error) as error:
        raise DataError(f"{path} is malformed: {error}") from error
    header = [name.strip() for name in table.iloc[0]]
    missing = [column for column in columns if column not in header]
    if missing:
        others = [mark for mark in ",;\t" if mark != separator and mark in "".join(header)]
        raise DataError(
            f"{path} lacks the column {', '.join(map(repr, missing))}; "
            f"it has {', '.join(map(repr, header))[:_SHOWN]}"
            + (f": separate columns by {separator!r}, not {others[0]!r}" if others else "")
        )
    doubled = [column for column in columns if header.count(column) > 1]
    if doubled:
        raise DataError(f"{path} has the column {', '.join(map(repr, doubled))} twice: leave one")
    table = table.iloc[1:].set_axis(header, axis="columns")
    table.index = pd.RangeIndex(2, len(table) + 2, name="line")
    table = table[(table.to_numpy() != "").any(axis=1)]
    for column in columns:  # Python's strings: many times faster than pandas' .str on 112,120 rows
        stripped = [
            value if value.isprintable() else printable(value)
            for value in map(str.strip, table[column])
        ]
        table[column] = pd.Series(stripped, index=table.index, dtype=object)
    if table.empty:
        raise DataError(f"{path} has a header but no rows")
    return table
