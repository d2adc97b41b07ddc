"""Tables for spreadsheets, which would compute a cell that looks like a formula.

Names of films and texts of label files come from outside (without control characters, see
``data/integrity.py``). The store keeps them as they are; the run's folder gets them inert.
"""

import re
import shutil
from pathlib import Path

import pandas as pd

from pipeline.pseudonyms import pseudonymise

_NUMBER = re.compile(r"[+-](\d+\.?\d*|\.\d+)(e[+-]?\d+)?|-inf", re.IGNORECASE)
# Where a cell begins, for spreadsheets that are set to another separator than the comma.
_CELLS = re.compile(r"([;|\t\r\n])")
# Blanks and quotes in front are dropped by some; Excel computes full-width signs, too.
_FORMULA = re.compile(r"[\s\"]*[=@+\-＝＠＋－]")


def inert(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` with an apostrophe before each text that begins with ``=``, ``@``, ``+`` or ``-``
    and is no number, in each part between ``;``, ``|`` and tabs; spreadsheets then show it."""
    return table.map(_inert)


def copy_table(source: Path, target: Path, salt: bytes | None) -> None:
    """Copies a csv file, inert, and with a salt under pseudonyms; nothing else changes."""
    table = pd.read_csv(source, dtype=str, keep_default_na=False)
    changed = inert(table if salt is None else pseudonymise(table, salt))
    if changed.equals(table):
        shutil.copyfile(source, target)
    else:
        changed.to_csv(target, index=False, lineterminator="\n")


def _inert(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    return "".join(f"'{part}" if _is_formula(part) else part for part in _CELLS.split(cell))


def _is_formula(text: str) -> bool:
    return _FORMULA.match(text) is not None and _NUMBER.fullmatch(text) is None
