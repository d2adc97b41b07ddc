"""Pseudonyms for films and patients in a run's folder (``report.hash_ids``).

The salt stays in the store; only a run's folder is shared. An id has the same pseudonym in all runs
of a store, so that they can still be compared sample by sample.
"""

import hmac
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

import pandas as pd

SALT = "salt"
COLUMNS = ("image", "patient", "file")  # of tables, wherever they occur
FIELD = "field"  # of problems
_LINE = re.compile(r" line \d+")
_DIGITS = 16  # of 64: two of 112,120 films share a name once in three billion stores


def read_salt(store: Path) -> bytes:
    """32 random bytes, drawn on first use; deleting them changes all pseudonyms."""
    path = store / SALT
    if not path.exists():
        temporary = path.with_name(f"{SALT}.{os.getpid()}.tmp")
        temporary.touch(mode=0o600)
        temporary.write_bytes(secrets.token_bytes(32))
        with suppress(FileExistsError):  # another run was faster
            os.link(temporary, path)
        temporary.unlink()
    return path.read_bytes()


def pseudonymise(table: pd.DataFrame, salt: bytes) -> pd.DataFrame:
    """``table``, all strings, with a pseudonym for every id in ``COLUMNS``; "" stays.

    Line numbers of problems go, because they could be looked up in the label file.
    """
    changed = table.copy()
    for column in table.columns.intersection(list(COLUMNS)):
        changed[column] = table[column].map(lambda name: _pseudonym(name, salt))
    if FIELD in table.columns:
        changed[FIELD] = table[FIELD].str.replace(_LINE, "", regex=True)
    return changed


def _pseudonym(name: str, salt: bytes) -> str:
    return name and hmac.digest(salt, name.encode(), "sha256").hex()[:_DIGITS]
