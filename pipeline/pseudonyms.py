"""Films and patients in a run's folder under names of its store's own (``report.hash_ids``).

The salt lies in the store, which stays; what is handed on is a run's folder. Equal ids get equal
names in all runs of a store, so that they can still be compared sample by sample.
"""

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

import pandas as pd

SALT = "salt"
COLUMNS = ("image", "patient", "file")  # of tables, wherever they occur
_DIGITS = 16  # of 64: two of 112,120 films share a name once in three billion stores


def read_salt(store: Path) -> bytes:
    """32 random bytes, drawn when first asked for; once they are deleted, names are new."""
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
    """``table``, all strings, with another name for every id in ``COLUMNS``; "" stays."""
    changed = table.copy()
    for column in table.columns.intersection(list(COLUMNS)):
        changed[column] = table[column].map(lambda name: _pseudonym(name, salt))
    return changed


def _pseudonym(name: str, salt: bytes) -> str:
    return name and hmac.digest(salt, name.encode(), "sha256").hex()[:_DIGITS]
