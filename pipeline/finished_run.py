"""A finished run as others find it: its configuration, and its artifacts in the store."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config import PipelineConfig, open_schema
from pipeline.runner import RECORD
from pipeline.store import Store, outputs_above

_STAGE, _KEY = re.compile(r"\w+", re.ASCII), re.compile(r"[0-9a-f]{64}")  # no paths


class RunError(ValueError):
    """A folder that is no finished run, or one that lacks what is asked of it."""


@dataclass(frozen=True)
class FinishedRun:
    """``name`` as ``<date>/<time>``; ``outputs`` is the folder that holds the run and its store."""

    name: str
    outputs: Path
    config: PipelineConfig  # without paths, which a record does not hold
    stages: Mapping[str, Mapping[str, Any]]  # title -> stage, key, ...

    @classmethod
    def read(cls, folder: Path) -> "FinishedRun":
        """Raises RunError, which says what is missing."""
        path = folder / RECORD
        if not path.is_file():
            raise RunError(f"{folder} is no finished run: there is no {RECORD} in it")
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if "${" in json.dumps(record["config"]):  # would look up what this machine knows
                raise ValueError("config refers to something outside the record")
            merged = OmegaConf.merge(open_schema(), record["config"])
            config = cast(PipelineConfig, OmegaConf.to_object(merged))
            stages = dict(record["stages"])
            for title, made in stages.items():
                if not (_STAGE.fullmatch(made["stage"]) and _KEY.fullmatch(made["key"])):
                    raise ValueError(f"stages: {title} is no stage and key")
        except (
            *(ValueError, KeyError, TypeError, AttributeError, RecursionError),
            OmegaConfBaseException,
        ) as error:
            raise RunError(
                f"{path} is not a record of this version of the project ({error}): run it anew"
            ) from error
        outputs = outputs_above(folder)
        if outputs is None:
            raise RunError(f"{folder}: no folder above it holds its store/, with the trained model")
        return cls(folder.resolve().relative_to(outputs).as_posix(), outputs, config, stages)

    def artifact(self, title: str) -> Path:
        """Folder of a stage's result, checked against its manifest.

        Raises RunError where the run had no such stage or the store has lost its result.
        """
        if title not in self.stages:
            raise RunError(f"the run {self.name} made no {title}; it made {', '.join(self.stages)}")
        stage, key = self.stages[title]["stage"], self.stages[title]["key"]
        store = Store(self.outputs / "store")
        try:
            artifact = store.find(stage, key)
        finally:
            store.digests.close()
        if artifact is None:
            raise RunError(
                f"{store.folder(stage, key)} is gone, the {title} of run {self.name}: "
                "the run's own command makes it again"
            )
        return artifact.folder
