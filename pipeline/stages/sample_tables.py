"""Per-sample rows that evaluate stages left, and the contract tables made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from evaluation.config import BootstrapConfig
from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.shards import read_shard_tables
from pipeline.stages.attribute import NAMES, read_samples

Methods = Mapping[str, tuple[str, ...]]
"""Metric -> the methods that it was measured for."""


def shard_samples(folder: Path) -> pd.DataFrame:
    return read_shard_tables(folder, "samples.csv")


def samples_csv(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "samples.csv", dtype={"image": str})


def table_settings(config: PipelineConfig, dataset: str, methods: Methods) -> dict[str, Any]:
    return {
        "localization": section(config.evaluation.localization),
        "bootstrap": section(config.evaluation.bootstrap),
        "seed": config.seed,
        "dataset": dataset,
        "methods": methods,
    }


def measured_inputs(measured: Mapping[str, Mapping[str, Stage]]) -> dict[str, Stage]:
    return {
        f"{metric}_{method}": stage
        for metric, stages in measured.items()
        for method, stage in stages.items()
    }


@dataclass(frozen=True)
class SampleTables:
    """The task's inputs are ``<metric>_<method>``; tables go into its folder."""

    task: Task
    methods: Methods

    def rows(self, metric: str, read: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
        """Per-sample rows of all methods, by method; none where the metric was not asked for."""
        frames = []
        for method in self.methods.get(metric, ()):
            frame = read(self.task.inputs[f"{metric}_{method}"])
            frame.insert(0, "method", method)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def write(
        self, name: str, samples: pd.DataFrame, table: Callable[[], pd.DataFrame] | None = None
    ) -> None:
        """``name``.csv, by default the means by method and metric, and its samples; nothing where
        there are no samples."""
        from evaluation.metric_tables import mean_table
        from evaluation.tables import write_csv

        if not len(samples):
            return
        write_csv(samples, self.task.folder / f"{name}_samples.csv")
        if table is None:
            by = ["method", "metric"]
            made = mean_table(samples, by, *self._resampling)
        else:
            made = table()
        write_csv(made, self.task.folder / f"{name}.csv")

    def write_insertion_deletion(self, dataset: str) -> None:
        from evaluation.metric_tables import fig2_table

        bootstrap, seed = self._resampling
        curves = self.rows("insertion_deletion", shard_samples).assign(dataset=dataset)
        self.write("fig2", curves, lambda: fig2_table(curves, bootstrap, seed))

    def write_sensitivity_n(self, name: str) -> None:
        from evaluation.metric_tables import sensitivity_n_table

        bootstrap, seed = self._resampling
        rows = self.rows("sensitivity_n", samples_csv)
        self.write(name, rows, lambda: sensitivity_n_table(rows, bootstrap, seed))

    def write_diagnostics(self, name: str) -> None:
        """What each method says of itself, for the samples of the task's ``select`` input."""
        named = read_samples(self.task.inputs["select"])[NAMES]

        def read(folder: Path) -> pd.DataFrame:
            said = named.merge(read_shard_tables(folder, "diagnostics.csv"))
            return said.melt(id_vars=NAMES, var_name="metric")

        self.write(name, self.rows("diagnostics", read))

    @property
    def _resampling(self) -> tuple[BootstrapConfig, int]:
        return self.task.config.evaluation.bootstrap, self.task.config.seed
