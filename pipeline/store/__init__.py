"""The store of artifacts: ``<root>/<step>/<key>/``, immutable, published whole or not at all.

``python -m pipeline.store [--verify | --prune [--yes] | --clean-tmp]`` looks after it.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from pipeline.keys import DigestCache

MANIFEST = "manifest.json"
# Names that need no closer look, of which a manifest may hold 200,000.
_PLAIN = re.compile(r"\w[^/\0]*(/\w[^/\0]*)*")
# What readers of a manifest rely on.
_FIELDS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("step", "key", "label", "code"), str),
    **dict.fromkeys(("key_parts", "files", "provenance"), dict),
    "notes": list,
    "seconds": (int, float),
}
# What a step keeps in its workspace to go on from after a kill; never part of an artifact.
RESUME = "resume"
_PARTIAL = ".partial"
_FOLDER_DIGITS = 24  # of the key's 64: 96 bits, and paths stay readable


@dataclass(frozen=True)
class Artifact:
    """A finished step: its folder and what its manifest says."""

    folder: Path
    manifest: dict[str, Any]


class BrokenArtifactError(ValueError):
    """An artifact whose files are not what its manifest says; the message names the file."""


class LockedError(RuntimeError):
    """Another process is making this artifact."""


def outputs_above(run: Path) -> Path | None:
    """The folder that holds the run (a sweep's run lies deeper) and its store; None without one."""
    return next((folder for folder in run.resolve().parents if (folder / "store").is_dir()), None)


class Store:
    """Artifacts by step and key, under locks that the system releases when a process dies."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.digests = DigestCache(root / "digests.sqlite")

    def folder(self, step: str, key: str) -> Path:
        return self.root / step / key[:_FOLDER_DIGITS]

    def find(self, step: str, key: str) -> Artifact | None:
        """The artifact, or None where it was never published.

        Files are compared with the manifest by digests that were remembered with size and
        modification time: see ``DigestCache``.

        Raises BrokenArtifactError where the manifest cannot be read or a file is absent or differs
        from its digest.
        """
        folder = self.folder(step, key)
        if not folder.exists():
            return None
        manifest = read_manifest(folder)
        if manifest.get("key") != key:
            raise BrokenArtifactError(f"{folder / MANIFEST}: key is not the folder's")
        self.check(folder, manifest)
        return Artifact(folder, manifest)

    def check(self, folder: Path, manifest: dict[str, Any], reread: bool = False) -> None:
        """Compares every file with the manifest; ``reread`` reads them all again.

        Raises BrokenArtifactError where a file is absent or differs from its digest.
        """
        files = manifest["files"]
        try:
            found = self.digests.digests((f"{folder}/{name}" for name in files), reread=reread)
        except OSError as error:
            raise BrokenArtifactError(f"{folder}: {error.filename} cannot be read") from error
        for (name, published), digest in zip(files.items(), found, strict=True):
            if digest != published:
                raise BrokenArtifactError(f"{folder / name}: content is not what was published")

    def folders(self) -> list[Path]:
        """The folders of all artifacts, sound or broken."""
        return [path for path in self._entries() if not path.suffix]

    def artifacts(self) -> list[Artifact]:
        """All artifacts whose manifest can be read, the newest first; files are not looked at."""
        found = []
        for folder in self.folders():
            with suppress(BrokenArtifactError):
                found.append(Artifact(folder, read_manifest(folder)))
        return sorted(found, key=lambda each: -(each.folder / MANIFEST).stat().st_mtime_ns)

    def workspaces(self) -> list[Path]:
        """What interrupted runs left, and what is being made now."""
        return [path for path in self._entries() if path.suffix == _PARTIAL]

    @contextmanager
    def lock(self, step: str, key: str, wait: bool) -> Iterator[None]:
        """Holds the lock of an artifact and its workspace.

        The lock's file stays when it is released: were it removed, a process that waits for it
        and one that comes later would hold two different locks.

        Raises LockedError where another process holds it, unless told to wait.
        """
        path = self.folder(step, key).with_suffix(".lock")
        try:
            lock = FileLock(path).acquire(timeout=-1 if wait else 0)  # makes the folder too
        except Timeout as error:
            raise LockedError(f"{path} is held by another process") from error
        with lock:
            yield

    def workspace(self, step: str, key: str) -> Path:
        """The folder in which the artifact is made; what an interrupted run left is still there.

        Call it with the lock held.
        """
        path = self.folder(step, key).with_suffix(_PARTIAL)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def publish(self, step: str, key: str, manifest: dict[str, Any]) -> Artifact:
        """Writes the manifest with every file's digest, then renames the workspace into place.

        Half-written files (``*.tmp``) and the folder ``RESUME`` are left out. Call it with the
        lock held.
        """
        workspace = self.workspace(step, key)
        paths = sorted(path for path in workspace.rglob("*") if _belongs(path, workspace))
        digests = self.digests.digests(paths)
        names = (path.relative_to(workspace).as_posix() for path in paths)
        manifest = {
            **manifest,
            "step": step,
            "key": key,
            "bytes": sum(path.stat().st_size for path in paths),
            "files": dict(zip(names, digests, strict=True)),
        }
        write_json(workspace / MANIFEST, manifest)
        self.finish_publishing(step, key)
        return Artifact(self.folder(step, key), manifest)

    def finish_publishing(self, step: str, key: str) -> None:
        """Renames a workspace whose manifest is written: after a kill, too, nothing is made again.

        Call it with the lock held.
        """
        folder = self.folder(step, key)
        workspace = folder.with_suffix(_PARTIAL)
        if folder.exists() or not (workspace / MANIFEST).exists():
            return
        for left in [*workspace.rglob("*.tmp"), workspace / RESUME]:
            remove(left)
        os.replace(workspace, folder)
        self.digests.moved(workspace, folder)

    def discard(self, step: str, key: str) -> None:
        """Removes a broken artifact. Call it with the lock held."""
        remove(self.folder(step, key))

    def _entries(self) -> list[Path]:
        return sorted(path for path in self.root.glob("*/*") if path.is_dir())


def _belongs(path: Path, workspace: Path) -> bool:
    parts = path.relative_to(workspace).parts
    scratch = parts[0] == RESUME or any(part.endswith(".tmp") for part in parts)
    return path.is_file() and not scratch and parts != (MANIFEST,)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an artifact's folder.

    Raises BrokenArtifactError where it is absent, cut short or something else.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenArtifactError(f"{path}: cannot be read ({error})") from error
    if not isinstance(manifest, dict):
        raise BrokenArtifactError(f"{path}: is not a manifest")
    for field, kind in _FIELDS.items():
        if not isinstance(manifest.get(field), kind):
            raise BrokenArtifactError(f"{path}: {field} is absent or of another type")
    if not all(isinstance(note, str) for note in manifest["notes"]):
        raise BrokenArtifactError(f"{path}: notes are not texts")
    for name in manifest["files"]:
        if _PLAIN.fullmatch(name):
            continue
        parts = PurePosixPath(name).parts
        if not parts or "\0" in name or ".." in parts or PurePosixPath(name).is_absolute():
            raise BrokenArtifactError(f"{path}: files names {name!r}, which is not inside")
    return manifest


def remove(path: Path) -> None:
    """Removes a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that a reader sees the old file or the whole new one, also after a crash."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=1, sort_keys=True, allow_nan=False)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
