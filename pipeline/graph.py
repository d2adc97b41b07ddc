"""The stages of a run and what each depends on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import PipelineConfig
from pipeline.keys import DigestCache, content_key

if TYPE_CHECKING:
    from pipeline.executors.base import Executor

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class WorkerTask:
    """What computing a shard is given: plain values, which go to other processes and machines."""

    inputs: Mapping[str, Path]
    config: PipelineConfig


@dataclass(frozen=True)
class Task(WorkerTask):
    """What a stage's function is given.

    It writes its files into ``folder``, which may hold what an interrupted run left. ``note``
    states a fact on screen, in the log and in the manifest, where later runs find it again.
    """

    folder: Path
    progress: Progress
    note: Callable[[str], None]
    executor: "Executor"


@dataclass(frozen=True)
class RawFolder:
    """Files of the user's, known by their content and not by where they lie."""

    folder: Path
    key: str

    @classmethod
    def scan(
        cls, folder: Path, files: list[Path], digests: DigestCache, progress: Progress | None = None
    ) -> "RawFolder":
        """Digests ``files``, all of them below ``folder``."""
        names = [path.relative_to(folder).as_posix() for path in files]
        content = sorted(zip(names, digests.digests(files, progress), strict=True))
        return cls(folder, content_key(content))


@dataclass(frozen=True)
class Stage:
    """One step: its name, everything that can change its result, and the function that runs it.

    ``version`` is bumped by hand when the code's result changes; ``sources`` are the project
    files behind it, so that a status can tell results of older code. ``variant`` tells stages of
    one name apart on screen and is in no key.
    """

    name: str
    version: int
    settings: Mapping[str, Any]
    inputs: Mapping[str, "Stage | RawFolder"]
    run: Callable[[Task], None]
    sources: tuple[str, ...]
    variant: str = ""
    raw: Mapping[str, str] = field(default_factory=dict)  # digests of single raw files

    @cached_property
    def key_parts(self) -> dict[str, Any]:
        """What the key is the sha256 of."""
        return {
            "stage": self.name,
            "version": self.version,
            "settings": dict(self.settings),
            "inputs": {role: source.key for role, source in self.inputs.items()},
            "raw": dict(self.raw),
        }

    @cached_property
    def key(self) -> str:
        return content_key(self.key_parts)

    @property
    def title(self) -> str:
        return f"{self.name} {self.variant}".strip()
