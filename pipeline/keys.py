"""Content keys: a step's result is named by everything that can change it."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20
_AT_A_TIME = 512  # files: so many are read again at most after a kill


def canonical_json(value: Any) -> str:
    """JSON with one spelling per value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_key(value: Any) -> str:
    """sha256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def sample_seeds(seed: int, images: Iterable[str], findings: Iterable[str]) -> list[int]:
    """``sample_seed`` of each (image, finding)."""
    return [sample_seed(seed, *names) for names in zip(images, findings, strict=True)]


def sample_seed(seed: int, *names: str) -> int:
    """A 63-bit seed for one item (an image, a sample), independent of order and of shards."""
    digest = hashlib.sha256(canonical_json([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class DigestCache:
    """sha256 of files, remembered by path, size and modification time.

    A file is read again only after one of the three changed, so that asking for 112,120 films
    costs one ``stat`` each after the first time. A change that keeps both size and time goes
    unnoticed until ``reread``. The file of the cache may be deleted: all it holds can be computed.
    It holds digests of paths, no path, for those of films may name patients.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = _open(path)
        except sqlite3.OperationalError:
            raise  # locked or unreadable, which a new file would not mend
        except sqlite3.DatabaseError:  # damaged
            path.unlink()
            self._database = _open(path)

    def close(self) -> None:
        self._database.close()

    def digests(
        self,
        paths: Iterable[Path | str],
        progress: Callable[[int, int], None] | None = None,
        reread: bool = False,
    ) -> list[str]:
        """The sha256 of each file, in the order given; ``reread`` trusts nothing remembered.

        Raises
        ------
        OSError
            Where a file cannot be read.
        """
        # Strings and one query for many: of 200,000 files, paths and queries are most of the time.
        folder = os.getcwd()
        wanted = [os.path.join(folder, path) for path in paths]
        results: list[str] = []
        for start in range(0, len(wanted), _AT_A_TIME):
            block = [(path, _path_digest(path)) for path in wanted[start : start + _AT_A_TIME]]
            remembered = {} if reread else self._remembered([known for _, known in block])
            new: list[tuple[bytes, int, int, str]] = []
            try:
                for path, known in block:
                    stat = os.stat(path)
                    size, time_ns, digest = remembered.get(known, (-1, -1, ""))
                    if (size, time_ns) != (stat.st_size, stat.st_mtime_ns):
                        digest = file_sha256(Path(path))
                        new.append((known, stat.st_size, stat.st_mtime_ns, digest))
                    results.append(digest)
                    if progress:
                        progress(len(results), len(wanted))
            finally:
                if new:
                    self._remember(new)
        return results

    def moved(self, old: Path, new: Path) -> None:
        """Keeps what is known of the files of a folder that was renamed."""
        files = [path.relative_to(new) for path in new.rglob("*") if path.is_file()]
        with self._database:
            self._database.executemany(
                "UPDATE OR REPLACE files SET path = ? WHERE path = ?",
                [
                    (_path_digest(new.absolute() / name), _path_digest(old.absolute() / name))
                    for name in files
                ],
            )

    def _remembered(self, known: list[bytes]) -> dict[bytes, tuple[int, int, str]]:
        """Digest of a path -> size, modification time, sha256, of those that are known."""
        marks = ",".join("?" * len(known))
        rows = self._database.execute(
            f"SELECT path, size, mtime_ns, sha256 FROM files WHERE path IN ({marks})", known
        )
        return {path: (size, time_ns, digest) for path, size, time_ns, digest in rows}

    def _remember(self, rows: list[tuple[bytes, int, int, str]]) -> None:
        # Written in one short transaction: another process that digests meanwhile must not wait.
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)


def _path_digest(path: str | Path) -> bytes:
    """``path`` is absolute. Its digest, for its name may be a person's."""
    return hashlib.sha256(os.fsencode(path)).digest()


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=60)
    try:
        if database.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError(f"{path} is damaged")
        database.execute(
            "CREATE TABLE IF NOT EXISTS files"
            " (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, sha256 TEXT)"
        )
    except BaseException:
        database.close()
        raise
    return database


def file_sha256(path: Path) -> str:
    """sha256 of one file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
