"""Per-sample rows that evaluate stages left, and the contract tables made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.graph import Task
from pipeline.shards import read_shard_tables

Methods = Mapping[str, tuple[str, ...]]
"""Metric -> the methods that it was measured for."""

NAMES = ["sample", "image", "patient", "finding"]


def shard_samples(folder: Path) -> pd.DataFrame:
    return read_shard_tables(folder, "samples.csv")


def samples_csv(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "samples.csv", dtype={"image": str})


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
        config = self.task.config
        write_csv(samples, self.task.folder / f"{name}_samples.csv")
        if table is None:
            by = ["method", "metric"]
            made = mean_table(samples, by, config.evaluation.bootstrap, config.seed)
        else:
            made = table()
        write_csv(made, self.task.folder / f"{name}.csv")
