"""Tables: the contract tables, with the per-sample rows that each number comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from attribution.config import Score
from evaluation.config import BootstrapConfig, LocalizationConfig
from pipeline.step import Source, Step, Work
from pipeline.steps.cross_fitted_iou import (
    by_finding,
    scores_behind,
    table1,
    table2,
    with_behind,
)
from pipeline.steps.operating_points import operating_points_table
from pipeline.steps.rows import diagnostics, long_rows, measured, write_rows
from pipeline.steps.samples import NAMES, read_samples
from pipeline.steps.severity_results import pcc, predicted_severity, zone_rows

_TABLES: dict[str, str | dict[str, str]] = {
    "diagnostics": {"findings": "diagnostics", "detectors": "brixia_diagnostics"},
    "equal_area": "equal_area",
    "insertion_deletion": "fig2",
    "localization": {"findings": "localization", "detectors": "zone_localization"},
    "road": "sanity",
    "sanity": "sanity",
    "sensitivity_n": {"findings": "sensitivity_n", "severity": "fig3b"},
    "severity": "zones",
    "truth": "truth",
    "one_spread": "truth",
    "all_regions": "all_regions",
    "zone_drops": "zone_drops",
}
"""Metric -> its table, of all tasks or by task. A user's own metric has ``own_<metric>``."""
MULTILAYER = "multilayer_iba"  # whose maps Eq. 7 intersects
_DERIVED = {"table1", "table2", "pcc"}  # of one task each, beside the metric's own table
_COLUMNS = ["method", *NAMES, "metric", "value"]
_WIDE = ("fig2", "fig3b", "sensitivity_n", "zones")  # tables whose samples are as steps left them

Folders = Mapping[str, Path]
"""Method -> its finished step."""


@dataclass(frozen=True)
class Tables(Step):
    """All tables of what was measured, ``rows.csv`` with each number of each sample, and a
    scoreboard of each task's methods.

    ``measured``: task (findings, detectors, severity) -> metric -> method -> step. Diagnostics are
    told by each method's maps; classification is by model. ``samples``, and ``datasets``, what
    tables call the films, are by task, as are ``intersections``, Multi-layer IBA's binary maps
    against the truth. ``score``: what maps of classifiers explain. ``severity``: what the regressor
    predicts for the films of ``test_index``; it learnt on those of ``index``.
    """

    version: ClassVar = 6
    code: ClassVar = (
        "evaluation/paper_tables.py",
        "evaluation/sample_means.py",
        "evaluation/scoreboard.py",
        "evaluation/severity.py",
        "evaluation/bootstrap.py",
        "evaluation/correlation.py",
        "evaluation/localization.py",
        "evaluation/paper_values.csv",
    )
    measured: Mapping[str, Mapping[str, Mapping[str, Source]]]
    samples: Mapping[str, Source]
    datasets: Mapping[str, str]
    intersections: Mapping[str, Source]
    score: Score
    loss_comparison: Source | None
    operating_points: Mapping[str, Mapping[str, Source]]  # task and loss -> method
    severity: Source | None
    index: Source | None
    test_index: Source | None
    second_reader: bool
    localization: LocalizationConfig
    bootstrap: BootstrapConfig
    seed: int

    def run(self, work: Work) -> None:
        rows: list[pd.DataFrame] = []
        tables: dict[str, dict[str, pd.DataFrame]] = {}  # name -> task -> samples
        for task, metrics in self.measured.items():
            for metric, sources in metrics.items():
                folders = {method: work[source] for method, source in sources.items()}
                name = _table(task, metric)
                if name is None:
                    continue
                if metric == "diagnostics":
                    frame = diagnostics(folders, read_samples(work[self.samples[task]]))
                else:
                    frame = measured(folders)
                if not len(frame):
                    continue
                if metric == "localization":
                    rows.append(self._cross_fitted(work, task, folders, frame))
                if metric == "severity":
                    rows.append(self._correlation(work, folders, frame))
                    frame = zone_rows(frame)
                rows.append(long_rows(frame).assign(task=task, table=name))
                if name == "fig2":
                    frame = frame.assign(dataset=self.datasets[task])
                by_task = tables.setdefault(name, {})
                parts = [by_task.get(task), _samples(name, frame)]
                by_task[task] = pd.concat(parts, ignore_index=True)
        for name, by_task in tables.items():
            self._means(work, name, by_task)
        self._classification(work)
        self._severity(work)
        self._losses(work)
        self._operating_points(work)
        self._scoreboards(work)
        write_rows(rows, work.folder)

    def _cross_fitted(
        self, work: Work, task: str, folders: Folders, metrics: pd.DataFrame
    ) -> pd.DataFrame:
        """Writes Table 1 and its findings, or Table 2; the rows of its IoU."""
        from evaluation.paper_tables import write_csv

        samples = read_samples(work[self.samples[task]])
        binary = None
        if source := self.intersections.get(task):
            binary = measured({MULTILAYER: work[source]})
        maps = {method: work[each] for method, each in self.measured[task]["diagnostics"].items()}
        behind = scores_behind(diagnostics(maps, samples), self.score)
        how = (binary, self.localization, self.bootstrap, self.seed)
        place: Any = metrics["place"].iloc[0]
        if task == "findings":
            name, by = "table1", ["method"]
            table, fitted = table1(samples, folders, metrics, *how)
            findings = by_finding(fitted, binary, self.bootstrap, self.seed)
            write_csv(findings, work.folder / "table1_findings.csv")
        else:
            name, by = "table2", ["finding", "method", "region", "lungs"]
            table, fitted, left_out = table2(samples, folders, *how)
            place = fitted["region"] + "_" + fitted["lungs"]
            if left_out:
                work.note(f"too few patients for Table 2: {'; '.join(left_out)}")
            table = table.rename(columns={"detector": "finding"})
        table = with_behind(table, fitted, behind, by)
        _write(work, name, table.rename(columns={"finding": "detector"}), fitted)
        rows = [fitted.assign(metric="iou", place=place)]
        if binary is not None:
            rows.append(binary.assign(metric="iou_intersection"))
        ious = pd.concat(rows).rename(columns={"iou": "value"})
        return ious.assign(task=task, table=name)

    def _correlation(self, work: Work, folders: Folders, frame: pd.DataFrame) -> pd.DataFrame:
        """Writes pcc.csv; its rows."""
        table, samples = pcc(frame, folders, self.bootstrap, self.seed)
        _write(work, "pcc", table, samples)
        return long_rows(samples).assign(task="severity", table="pcc")

    def _means(self, work: Work, name: str, samples: Mapping[str, pd.DataFrame]) -> None:
        """Writes a table of ``samples``, by task; a column says which where there are several."""
        from evaluation import sample_means

        make = {
            "fig2": sample_means.fig2_table,
            "fig3b": sample_means.sensitivity_n_table,
            "sensitivity_n": sample_means.sensitivity_n_table,
            "truth": sample_means.against_random,
            "zone_drops": sample_means.spread_table,
        }.get(name, partial(sample_means.mean_table, by=["method", "metric"]))
        tables = {
            task: make(frame, bootstrap=self.bootstrap, seed=self.seed)
            for task, frame in samples.items()
        }
        if len(samples) > 1 and name != "fig2":  # which names the data set
            for frames in (tables, samples):
                for task, frame in frames.items():
                    frame.insert(0, "task", task)
        _write(work, name, pd.concat(tables.values()), pd.concat(samples.values()))

    def _classification(self, work: Work) -> None:
        from evaluation.paper_tables import write_csv

        tables = []
        for task, name, types in (
            # As text, with every digit of the logits, which claims resample.
            ("findings", "classification_samples", str),
            ("detectors", "detectors_samples", {"image": str}),
        ):
            models = self.measured.get(task, {}).get("classification", {})
            folders = [work[source] for source in models.values()]
            if folders:
                tables += [_read(folder / "classification.csv", str) for folder in folders]
                films = [_read(folder / "classification_samples.csv", types) for folder in folders]
                write_csv(pd.concat(films), work.folder / f"{name}.csv")
        if tables:
            write_csv(pd.concat(tables), work.folder / "classification.csv")

    def _severity(self, work: Work) -> None:
        if self.severity is None:
            return
        assert self.index is not None
        assert self.test_index is not None
        table, films = predicted_severity(
            self.datasets["severity"],
            work[self.severity],
            work[self.index],
            work[self.test_index],
            self.second_reader,
            self.bootstrap,
            self.seed,
        )
        _write(work, "severity", table, films)

    def _losses(self, work: Work) -> None:
        from evaluation.sample_means import table3

        if self.loss_comparison is not None:
            samples = pd.read_csv(work[self.loss_comparison] / "samples.csv")
            _write(work, "table3", table3(samples, self.bootstrap, self.seed), samples)

    def _operating_points(self, work: Work) -> None:
        from evaluation.paper_tables import write_csv

        folders = {
            model: {method: work[source] for method, source in sources.items()}
            for model, sources in self.operating_points.items()
        }
        if folders:
            write_csv(operating_points_table(folders), work.folder / "operating_points.csv")

    def _scoreboards(self, work: Work) -> None:
        """Each task's methods beside each other, of the tables that the task is in."""
        from evaluation.paper_tables import write_csv
        from evaluation.scoreboard import METRICS, SOURCES, scoreboard

        for task in METRICS.keys() & self.measured.keys():
            own = {_table(task, metric) for metric in self.measured[task]} | _DERIVED
            paths = {name: work.folder / f"{name}.csv" for name in SOURCES}
            tables = {
                name: pd.read_csv(path, na_values=["n/a"])
                for name, path in paths.items()
                if path.exists() and name.removesuffix("_samples") in own
            }
            board = scoreboard(task, tables, self.datasets[task], self.bootstrap, self.seed)
            if len(board):
                write_csv(board, work.folder / f"scoreboard_{task}.csv")


def _table(task: str, metric: str) -> str | None:
    if metric == "classification":
        return None  # of models, not of methods
    table = _TABLES.get(metric, f"own_{metric}")
    return table if isinstance(table, str) else table.get(task)


def _samples(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """What steps measured, as ``<name>_samples.csv`` has it."""
    if name in _WIDE:
        return frame
    rows = long_rows(frame)
    if name == "truth":
        return rows.rename(columns={"place": "truth"})[["method", "truth", *_COLUMNS[1:]]]
    return rows[_COLUMNS]


def _read(path: Path, types: Any) -> pd.DataFrame:
    return pd.read_csv(path, dtype=types, na_values=["n/a"], keep_default_na=False)


def _write(work: Work, name: str, table: pd.DataFrame, samples: pd.DataFrame) -> None:
    from evaluation.paper_tables import write_csv

    write_csv(table, work.folder / f"{name}.csv")
    write_csv(samples, work.folder / f"{name}_samples.csv")
