"""A finished run read back: its configuration, and its artifacts in the store."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config import PipelineConfig, open_schema
from pipeline.runner import RECORD
from pipeline.steps.explainer import Explainer, found_beta
from pipeline.steps.maps import STATISTICS
from pipeline.store import Artifact, Store, outputs_above

_STEP, _KEY = re.compile(r"\w+", re.ASCII), re.compile(r"[0-9a-f]{64}")  # no paths


class RunError(ValueError):
    """A folder that is no finished run, or lacks a result."""


@dataclass(frozen=True)
class FinishedRun:
    """``name`` as ``<date>/<time>``; ``outputs`` is the folder that holds the run and its store."""

    name: str
    outputs: Path
    config: PipelineConfig  # without paths, which a record does not hold
    steps: Mapping[str, Mapping[str, Any]]  # title -> step, key, ...

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
            steps = dict(record["steps"])
            for title, made in steps.items():
                if not (_STEP.fullmatch(made["step"]) and _KEY.fullmatch(made["key"])):
                    raise ValueError(f"steps: {title} is no step and key")
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
        return cls(folder.resolve().relative_to(outputs).as_posix(), outputs, config, steps)

    def artifact(self, title: str) -> Path:
        """Folder of a step's result, as ``artifacts``. RunError where the run had no such step."""
        if title not in self.steps:
            raise RunError(f"the run {self.name} made no {title}; it made {', '.join(self.steps)}")
        return self.artifacts([title])[title].folder

    def explainer(self, method: str) -> Explainer:
        """Of the findings, each beta that is auto as the run found it, else RunError."""
        config = self.config.attribution
        explainer = Explainer.of(method, config, config.score, self.config.dataset.side)
        betas = {}
        for name in explainer.to_find:
            title = f"operating_point findings {name}"
            if title not in self.steps:
                raise RunError(
                    f"the run {self.name} has no beta of {name}, which is auto: a run with"
                    f" attribution.{name}.beta=<number>, or with {name} among its methods, has one"
                )
            betas[name] = found_beta(self.artifact(title))
        return explainer.at(betas)

    def statistics(self, taps: Sequence[str]) -> dict[str, Path]:
        """Files of the findings' feature statistics by tap. RunError where the run made none."""
        if not taps:
            return {}
        folder = self.artifact("statistics findings")
        files = {tap: folder / STATISTICS.format(tap=tap) for tap in taps}
        missing = [tap for tap, path in files.items() if not path.is_file()]
        if missing:
            raise RunError(
                f"the run {self.name} made no statistics at {', '.join(missing)}: none of its"
                " methods looks there"
            )
        return files

    def artifacts(self, titles: Iterable[str]) -> dict[str, Artifact]:
        """Results of steps by title, checked against their manifests.

        Raises RunError where the store has lost one.
        """
        store, found = Store(self.outputs / "store"), {}
        with closing(store.digests):
            for title in titles:
                step, key = self.steps[title]["step"], self.steps[title]["key"]
                artifact = store.find(step, key)
                if artifact is None:
                    raise RunError(
                        f"the {title} of run {self.name} is no longer in the store: the run's own"
                        " command makes it again"
                    )
                found[title] = artifact
        return found
