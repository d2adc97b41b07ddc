"""A step of a run: a frozen dataclass whose fields are its key.

What can change a result is a field: a plain value, a settings dataclass, another step, or files of
the user's. ``run`` sees nothing else, so nothing can be forgotten in the key. A field that changes
no result is made by ``unkeyed``, one that came later by ``added``: there is no other way out of the
key.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Union

from models.config import LoggerName
from pipeline.keys import DigestCache, content_key

if TYPE_CHECKING:
    from pipeline.executors.base import Executor

Progress = Callable[[int, int], None]
"""(done, total): called while a step works."""


def unkeyed(**how: Any) -> Any:
    """A dataclass field that changes no result, such as a number of loader workers."""
    return field(**how, metadata={"keyed": False})


def added(default: Any) -> Any:
    """A dataclass field that came when results were stored already. At ``default``, which computes
    as before, it is in no key, so that they are still found."""
    return field(default=default, metadata={"unkeyed_at": default})


@dataclass(frozen=True)
class UserFiles:
    """A file or folder of the user's, identified by its content and not by its path."""

    path: Path
    key: str

    @classmethod
    def scan(
        cls, folder: Path, files: list[Path], digests: DigestCache, progress: Progress | None = None
    ) -> "UserFiles":
        """Digests ``files``, all of them below ``folder``."""
        names = [path.relative_to(folder).as_posix() for path in files]
        content = sorted(zip(names, digests.digests(files, progress), strict=True))
        return cls(folder, content_key(content))


Source = Union["Step", UserFiles]
"""What a step can read."""


@dataclass(frozen=True)
class Machine:
    """How this machine works. None of it changes a result."""

    outputs: Path
    device: str = "auto"  # auto | cpu | cuda | mps
    logger: LoggerName = LoggerName.csv


@dataclass(frozen=True)
class Inputs:
    """The folders of a step's inputs. Plain values, which can be sent to other processes."""

    folders: Mapping[str, Path]  # by key
    machine: Machine

    def __getitem__(self, source: Source) -> Path:
        """The folder of an input. KeyError for what is not a field of the step."""
        return self.folders[source.key]


@dataclass(frozen=True)
class Work(Inputs):
    """What a step's ``run`` is given.

    It writes its files into ``folder``, which may hold what an interrupted run left. ``note``
    prints and logs a fact and keeps it in the manifest, from which later runs repeat it.
    """

    folder: Path
    progress: Progress
    note: Callable[[str], None]
    executor: "Executor"

    @property
    def inputs(self) -> Inputs:
        """The same with absolute paths, for other processes."""
        folders = {key: folder.absolute() for key, folder in self.folders.items()}
        return Inputs(folders, self.machine)


@dataclass(frozen=True)
class Step:
    """A unit of a run whose result is stored.

    ``version`` is bumped by hand when the code's result changes. ``code`` names the project files
    behind it, so that a status can tell results of older code.
    """

    version: ClassVar[int]
    code: ClassVar[tuple[str, ...]]
    label: str = field(default="", kw_only=True, metadata={"keyed": False})
    """Tells steps of one name apart on screen."""

    def run(self, work: Work) -> None:
        """Writes the step's files into ``work.folder``."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """Of its folder in the store: the class's, in snake case."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    @property
    def title(self) -> str:
        return f"{self.name} {self.label}".strip()

    @cached_property
    def inputs(self) -> dict[str, Source]:
        """What it reads, by the name of the field: ``maps``, or ``maps.iba`` of a mapping."""
        return self._parts[1]

    @cached_property
    def key_parts(self) -> dict[str, Any]:
        """What the key is the sha256 of."""
        return {
            "step": self.name,
            "version": self.version,
            "settings": self._parts[0],
            "inputs": {role: source.key for role, source in self.inputs.items()},
        }

    @cached_property
    def key(self) -> str:
        return content_key(self.key_parts)

    @cached_property
    def _parts(self) -> tuple[dict[str, Any], dict[str, Source]]:
        settings: dict[str, Any] = {}
        inputs: dict[str, Source] = {}
        for name, value in _keyed(self):
            plain = _plain(name, value, inputs)
            if plain is not _IS_INPUT:
                settings[name] = plain
        return settings, inputs


_IS_INPUT = object()


def _keyed(value: Any) -> list[tuple[str, Any]]:
    found = [(each, getattr(value, each.name)) for each in fields(value)]
    return [
        (each.name, now)
        for each, now in found
        if each.metadata.get("keyed", True) and now != each.metadata.get("unkeyed_at", _IS_INPUT)
    ]


def _plain(path: str, value: Any, inputs: dict[str, Source]) -> Any:
    """A field as plain JSON values; what of it is a step or files is entered into ``inputs``."""
    if isinstance(value, Step | UserFiles):
        inputs[path] = value
        return _IS_INPUT
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        # Order may decide the order of rows, and JSON forgets it.
        parts: dict[str, Any] = {"order": list(value)} if len(value) > 1 else {}
        items = list(value.items())
    elif is_dataclass(value):
        parts = {"type": type(value).__name__}
        items = _keyed(value)
    elif isinstance(value, list | tuple):
        plain = [_plain(f"{path}.{number}", each, inputs) for number, each in enumerate(value)]
        return [None if each is _IS_INPUT else each for each in plain]
    else:
        raise TypeError(f"{path}: a {type(value).__name__} cannot be part of a key")
    for name, each in items:
        plain = _plain(f"{path}.{name}", each, inputs)
        if plain is not _IS_INPUT:
            parts[name] = plain
    return parts
