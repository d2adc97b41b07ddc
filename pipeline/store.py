"""The store of artifacts: ``<root>/<stage>/<key>/``, immutable, published whole or not at all."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.keys import DigestCache

MANIFEST = "manifest.json"
_FOLDER_DIGITS = 24  # of the key's 64: 96 bits, and paths stay readable


@dataclass(frozen=True)
class Artifact:
    """A finished stage: its folder and what its manifest says."""

    folder: Path
    manifest: dict[str, Any]


class BrokenArtifactError(ValueError):
    """An artifact whose files are not what its manifest says; the message names the file."""


class Store:
    """Artifacts by stage and key, under locks that the system releases when a process dies."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.digests = DigestCache(root / "digests.sqlite")

    def folder(self, stage: str, key: str) -> Path:
        return self.root / stage / key[:_FOLDER_DIGITS]

    def find(self, stage: str, key: str) -> Artifact | None:
        """The artifact, or None where it was never published.

        Raises
        ------
        BrokenArtifactError
            Where the manifest cannot be read or a file is absent or differs from its digest.
        """
        folder = self.folder(stage, key)
        if not folder.exists():
            return None
        manifest = self._read_manifest(folder)
        if manifest["key"] != key:
            raise BrokenArtifactError(f"{folder / MANIFEST}: key is not the folder's")
        names = list(manifest["files"])
        try:
            found = self.digests.digests(folder / name for name in names)
        except OSError as error:
            raise BrokenArtifactError(f"{folder}: {error.filename} cannot be read") from error
        for name, digest in zip(names, found, strict=True):
            if digest != manifest["files"][name]:
                raise BrokenArtifactError(f"{folder / name}: content is not what was published")
        return Artifact(folder, manifest)

    @contextmanager
    def lock(self, stage: str, key: str) -> Iterator[bool]:
        """Holds the artifact's lock; yields whether another process held it first."""
        path = self.folder(stage, key).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        waited = False
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waited = True
            lock.acquire()
        try:
            yield waited
        finally:
            lock.release()

    def workspace(self, stage: str, key: str) -> Path:
        """The folder in which the artifact is made; what an interrupted run left is still there.

        Call it with the lock held.
        """
        path = self.folder(stage, key).with_suffix(".partial")
        path.mkdir(parents=True, exist_ok=True)
        return path

    def publish(self, stage: str, key: str, manifest: dict[str, Any]) -> Artifact:
        """Writes the manifest with every file's digest, then renames the workspace into place."""
        workspace = self.workspace(stage, key)
        folder = self.folder(stage, key)
        for left in list(workspace.rglob("*.tmp")):  # half-written by a run that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        paths = sorted(
            path for path in workspace.rglob("*") if path.is_file() and path.name != MANIFEST
        )
        digests = self.digests.digests(paths)
        names = (path.relative_to(workspace).as_posix() for path in paths)
        manifest = {
            **manifest,
            "stage": stage,
            "key": key,
            "bytes": sum(path.stat().st_size for path in paths),
            "files": dict(zip(names, digests, strict=True)),
        }
        write_json(workspace / MANIFEST, manifest)
        os.replace(workspace, folder)
        self.digests.moved(workspace, folder)
        return Artifact(folder, manifest)

    def discard(self, stage: str, key: str) -> None:
        """Removes a broken artifact. Call it with the lock held."""
        shutil.rmtree(self.folder(stage, key))

    def _read_manifest(self, folder: Path) -> dict[str, Any]:
        path = folder / MANIFEST
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BrokenArtifactError(f"{path}: cannot be read ({error})") from error
        if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
            raise BrokenArtifactError(f"{path}: is not a manifest")
        return manifest


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that a reader sees the old file or the whole new one, also after a crash."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=1, sort_keys=True, allow_nan=False)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
