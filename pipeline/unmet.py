"""Which numbers are of a method whose operating point did not meet its rule: they bear a dagger."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evaluation.method_names import method_label
from pipeline.config import PipelineConfig
from pipeline.task import DETECTORS, FINDINGS, LESIONS, SEVERITY, THREES
from pipeline.tasks import TABLE3_METHOD

TABLE = "operating_points"
MULTILAYER = "multilayer_iba"  # stands where its layers stand
DAGGER = "†"


@dataclass(frozen=True)
class Unmet:
    """``pairs``: (model, method) without an operating point that meets the method's rule. By task:
    ``explained``, the model that is explained, and ``datasets``, what tables call its films."""

    pairs: frozenset[tuple[str, str]]
    explained: Mapping[str, str]
    datasets: Mapping[str, str]

    @classmethod
    def read(cls, tables: Path, config: PipelineConfig, datasets: Mapping[str, str]) -> "Unmet":
        """From the folder of a run's tables; a run whose betas were given has no such pair."""
        classifier = f"{FINDINGS} {config.train.primary.value}"
        detectors = f"{DETECTORS} {config.brixia.detector.primary.value}"
        explained = {
            FINDINGS: classifier,
            LESIONS: classifier,
            DETECTORS: detectors,
            THREES: detectors,
            SEVERITY: SEVERITY,
        }
        pairs: set[tuple[str, str]] = set()
        if (path := tables / f"{TABLE}.csv").exists():
            table = pd.read_csv(path)
            failed = table[~table["met"]]
            pairs = set(zip(failed["model"], failed["method"], strict=True))
            layers = config.attribution.multilayer_iba.layers
            pairs |= {(model, MULTILAYER) for model, method in pairs if method in layers}
        return cls(frozenset(pairs), explained, datasets)

    def rows(self, table: pd.DataFrame, tasks: Iterable[str]) -> list[bool]:
        """Which rows of a table are of such a method.

        A row's task is told by its column task or dataset; else it is one of ``tasks``. A
        comparison is of the methods in its columns better and worse, in any task.
        """
        return [self._row(row, tasks) for row in table.to_dict("records")]

    def named(self, methods: Iterable[str], tasks: Iterable[str]) -> list[str]:
        """Those of ``methods`` that are such a method in one of ``tasks``."""
        models = [self.explained[task] for task in tasks]
        return [name for name in methods if any((model, name) in self.pairs for model in models)]

    def sentence(self) -> str:
        """All of them in a sentence; empty without any."""
        if not self.pairs:
            return ""
        said = ", ".join(
            f"{method_label(method)} ({model})" for model, method in sorted(self.pairs)
        )
        return (
            f"Operating points that do not meet their rule: {said}. Their numbers bear a {DAGGER}."
        )

    def _row(self, row: Mapping[Any, Any], tasks: Iterable[str]) -> bool:
        if "loss" in row:  # Table 3
            return (f"{FINDINGS} {row['loss']}", TABLE3_METHOD) in self.pairs
        if "task" in row:
            tasks = [str(row["task"])]
        elif place := row.get("dataset"):
            tasks = [task for task, name in self.datasets.items() if place == name]
        elif "better" in row:
            tasks = self.explained
        for side in ("method", "better", "worse"):
            method, _, loss = str(row.get(side, "")).partition("@")
            if (f"{FINDINGS} {loss}", method) in self.pairs or self.named([method], tasks):
                return True
        return False
