"""Where the official NIH files lie below a root: the tables, the lists, and the films themselves.

Source: Wang et al., CVPR 2017, https://nihcc.app.box.com/v/ChestXray-NIHCC
"""

import os
import re
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from data.integrity import (
    DataError,
    Problem,
    check_file,
    is_linked_folder,
    list_problems,
    printable,
    problem_table,
    resolve_film,
    resolve_inside,
)

LABEL_FILES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
BOX_FILE = "BBox_List_2017.csv"
TRAIN_VAL_LIST, TEST_LIST = "train_val_list.txt", "test_list.txt"
SOURCE = "https://nihcc.app.box.com/v/ChestXray-NIHCC"
MAX_LIST_BYTES = 4 * 1024**2  # ours: nearly three times the longest official list
IMAGES = (".png", ".jpg", ".jpeg", ".dcm", ".tif", ".tiff", ".bmp", ".gif", ".jp2", ".webp")
_LEADS_OUT = "a link that leads out of the folder: not followed"
_BETWEEN = re.compile(r"[\s,;\"']+")  # fields of a line
_FOLDER = re.compile(r".*[/\\]")
# Of the phantoms: PNGs, but no films.
TRUTH_FOLDERS = ("changes", "lesions", "marks", "masks", "planted")


def official_file(root: Path, *names: str) -> Path:
    """The first of ``names`` that ``root`` holds; DataError saying what to put where if none, and
    for a link that leads out."""
    if not root.exists():
        raise DataError(f"the folder {root} does not exist: set paths.nih to the NIH files")
    if not root.is_dir():
        raise DataError(f"{root} is a file: set paths.nih to the folder with the NIH files")
    for name in names:
        if (root / name).is_file():
            resolve_inside(root, name)
            return root / name
    content = "is empty" if not any(root.iterdir()) else f"holds no {' or '.join(names)}"
    raise DataError(
        f"{root} {content}: put {names[0]} there, beside the images folder (from {SOURCE})"
    )


def find_films(
    root: Path, suffixes: tuple[str, ...] = (".png",), folder: str = ""
) -> tuple[pd.Series, pd.DataFrame]:
    """Films below ``folder`` of ``root``: paths relative to ``root``, by file name; and problems.

    Hidden entries and the phantoms' truth are left out, images of another kind are listed. A name
    that occurs again keeps the first path in sorted order. Links that lead out of the root are not
    followed, but for those of whole folders right below it: see ``resolve_film``.
    """
    found: list[tuple[str, str]] = []
    problems: list[Problem] = []
    folders = [folder]
    if folder and _leaves(root, folder):
        problems.append(Problem(folder, "link", _LEADS_OUT))
        folders = []
    wanted = " or ".join(suffixes)
    while folders:
        folder = folders.pop()
        try:
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(Problem(folder, "folder", f"cannot be read: {error.strerror}"))
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            is_film = entry.name.lower().endswith(suffixes)
            if entry.name.startswith(".") or path in TRUTH_FOLDERS:
                continue
            if printable(path) != path:
                problems.append(Problem(printable(path), "file name", "not UTF-8 text: skipped"))
            elif entry.is_symlink() and not os.path.exists(entry.path):
                problems.append(Problem(path, "link", "leads to nothing: is its disk there?"))
            elif entry.is_symlink() and (is_film or entry.is_dir()) and _leaves(root, path):
                problems.append(Problem(path, "link", _LEADS_OUT))
            elif entry.is_dir(follow_symlinks=False) or (
                entry.is_symlink() and is_linked_folder(root, path)
            ):
                folders.append(path)
            elif is_film and entry.is_file():
                found.append((entry.name, path))
            elif entry.name.lower().endswith(IMAGES) and entry.is_file():
                problems.append(Problem(path, "file name", f"not a {wanted} file: not read"))
    found.sort()
    films: dict[str, str] = {}
    for name, path in found:
        if films.setdefault(name, path) != path:
            reason = "the name occurs again: the first path in sorted order is used"
            problems.append(Problem(path, "file name", reason))
    return pd.Series(films, dtype=object), problem_table(problems)


def _leaves(root: Path, path: str) -> bool:
    try:
        resolve_film(root, path)
    except DataError:
        return True
    return False


def read_names(path: Path) -> tuple[pd.Series, pd.DataFrame]:
    """File names of a list, one per line; and problems (names that occur again).

    Raises DataError if the file is absent, no regular file, over 4 MB, not UTF-8, or holds no
    name.
    """
    try:
        check_file(path, MAX_LIST_BYTES)
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    names = pd.Series([line.strip() for line in lines if line.strip()], dtype=object)
    if names.empty:
        raise DataError(f"{path} holds no file names")
    again = names.duplicated()
    return names[~again], list_problems(names[again], path.name, "occurs again in the list")


def films_named(lines: pd.Series, films: Collection[str]) -> pd.Series:
    """Each line of a list as the name of the film that it names, where only one of ``films`` can be
    meant: with a folder in front of it, without its .png, or among other fields, as labels."""
    known = set(films)

    def name(line: str) -> str:
        if line in known:
            return line
        ends = [_FOLDER.sub("", field) for field in (line, *_BETWEEN.split(line))]
        meant = known.intersection(ends) or known.intersection(f"{end}.png" for end in ends)
        return meant.pop() if len(meant) == 1 else line

    return lines.map(name)
