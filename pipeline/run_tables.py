"""Tables as a run's folder hands them on: to spreadsheets, which compute formulas.

Names of films and texts of label files come from outside (without control characters, see
``data/integrity.py``). The store keeps them as they are, and every stage reads them there.
"""

import re
import shutil
from pathlib import Path

import pandas as pd

from pipeline.pseudonyms import pseudonymise

_NUMBER = re.compile(r"[+-](\d+\.?\d*|\.\d+)(e[+-]?\d+)?|-inf", re.IGNORECASE)


def inert(table: pd.DataFrame) -> pd.DataFrame:
    """``table`` of strings with an apostrophe before each that begins with ``=``, ``@``, ``+`` or
    ``-`` and is no number; spreadsheets then show it as text."""
    return table.map(lambda cell: f"'{cell}" if _is_formula(cell) else cell)


def copy_table(source: Path, target: Path, salt: bytes | None) -> None:
    """Copies a csv file, inert, with ids under other names if there is a salt; the letters of
    everything else stay."""
    table = pd.read_csv(source, dtype=str, keep_default_na=False)
    changed = inert(table if salt is None else pseudonymise(table, salt))
    if changed.equals(table):
        shutil.copyfile(source, target)
    else:
        changed.to_csv(target, index=False, lineterminator="\n")


def _is_formula(cell: object) -> bool:
    if not isinstance(cell, str) or cell[:1] not in tuple("=@+-"):
        return False
    return _NUMBER.fullmatch(cell) is None
