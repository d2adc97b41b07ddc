"""Scoreboards: one row a method, one column a metric, from the tables that a run has made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from evaluation.config import BootstrapConfig
from evaluation.sample_means import PAPERS_PCC, mean_table

BASELINE = "blur"  # the paper's, of insertion and deletion
SECONDS = "seconds"  # differ between equal runs: in no table, the report adds them
_RANDOMISED = "spearman_"  # likeness to the map of a model with random weights, by layer


@dataclass(frozen=True)
class Metric:
    """A column. ``higher``: the best is the highest; False: the lowest; None: methods aim at
    different values, so that none is best."""

    label: str
    higher: bool | None
    table: str = ""  # that has it; "": none
    value: str = "value"  # column of the table
    bounds: str | None = ""  # what stands before ci_low and ci_high; None: no interval is known
    where: Mapping[str, object] = field(default_factory=dict)  # column -> what its rows have there


def _maps(table: str) -> dict[str, Metric]:
    labels = {"average_precision": "AP", "mass_in_box": "mass inside", "pointing": "pointing"}
    return {
        name: Metric(label, True, table, where={"metric": name}) for name, label in labels.items()
    }


_PRIMARY = {"primary": True}
_REMOVAL = {
    name: Metric(name, higher, "fig2", f"{name}_auc", f"{name}_", {"baseline": BASELINE})
    for name, higher in (("insertion", True), ("deletion", False))
}
_LIKE_RANDOM = Metric("like random weights", False, "sanity_samples")
_SECONDS = {SECONDS: Metric("seconds a film", False)}


def _behind(table: str) -> Metric:
    return Metric("score behind", None, table, "score_behind", None, _PRIMARY)


def _sensitivity(table: str) -> Metric:
    return Metric("Sensitivity-N", True, table, "correlation")


METRICS = {
    "findings": {
        "iou": Metric("IoU", True, "table1", "iou", where=_PRIMARY),
        **_maps("localization"),
        **_REMOVAL,
        "sensitivity_n": _sensitivity("sensitivity_n_samples"),
        "sanity": _LIKE_RANDOM,
        "score_behind": _behind("table1"),
        **_SECONDS,
    },
    "detectors": {
        **{
            f"iou_{name}": Metric(
                f"IoU {name}", True, "table2", "iou", where={**_PRIMARY, "detector": name}
            )
            for name in ("Detector01", "Detector2", "Detector3")
        },
        **_maps("zone_localization"),
        **_REMOVAL,
        "sanity": _LIKE_RANDOM,
        "score_behind": _behind("table2"),
        **_SECONDS,
    },
    "severity": {
        "pcc_film": Metric("PCC, film", True, "pcc", "pcc", where={"variant": PAPERS_PCC}),
        "pcc_lungs": Metric("PCC, lungs", True, "pcc", "pcc", where={"variant": "mean_lungs"}),
        **{
            f"{what}_spearman": Metric(
                f"{label} Spearman", True, table, where={"metric": f"{what}_spearman"}
            )
            for what, label, table in (("zone", "zone", "zones"), ("drops", "drop", "zone_drops"))
        },
        "sensitivity_n": _sensitivity("fig3b_samples"),
        **_SECONDS,
    },
}
"""Task -> its metrics in their order."""
SOURCES = frozenset(each.table for metrics in METRICS.values() for each in metrics.values()) - {""}
"""Names of the tables that ``scoreboard`` reads."""


def scoreboard(
    task: str,
    tables: Mapping[str, pd.DataFrame],
    dataset: str,
    bootstrap: BootstrapConfig,
    seed: int,
) -> pd.DataFrame:
    """Columns method and, of each of the task's ``METRICS``, its value, ``<metric>_ci_low``,
    ``<metric>_ci_high`` and ``<metric>_n``, the number of samples.

    ``tables``: of ``SOURCES`` those that the run made; a metric that is in none of them has no
    columns. ``dataset``: what tables call the task's films. Sensitivity-N is the mean over the
    numbers of pixels; sanity the mean rank correlation with the maps of models whose weights are
    random down to each layer.
    """
    columns: dict[str, pd.DataFrame] = {}
    for name, metric in METRICS[task].items():
        if metric.table not in tables:
            continue
        rows = tables[metric.table]
        for column, wanted in {"task": task, "dataset": dataset, **metric.where}.items():
            rows = rows[rows[column] == wanted] if column in rows else rows
        if metric.table.endswith("_samples"):
            rows = _mean_over_runs(rows, metric.value, bootstrap, seed)
        if len(rows := rows[rows[metric.value].notna()]):
            columns[name] = _values(rows, metric)
    methods = list(dict.fromkeys(each for rows in columns.values() for each in rows.index))
    return pd.concat(
        [
            pd.DataFrame({"method": methods}, index=methods),
            *(rows.reindex(methods).add_prefix(name) for name, rows in columns.items()),
        ],
        axis=1,
    ).reset_index(drop=True)


def _mean_over_runs(
    samples: pd.DataFrame, value: str, bootstrap: BootstrapConfig, seed: int
) -> pd.DataFrame:
    """A row per method of samples that were measured several times, each time in a row."""
    if "metric" in samples:
        samples = samples[samples["metric"].str.startswith(_RANDOMISED)]
    means = samples.groupby(["method", "sample", "patient"], sort=False)[value].mean()
    if means.empty:
        return pd.DataFrame({"method": [], value: []})
    return mean_table(means.reset_index(), ["method"], bootstrap, seed, value)


def _values(rows: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """By method: "" (the value), _ci_low, _ci_high, _n. Several rows of a method are pooled."""
    if metric.bounds is None:
        weighted = rows.assign(**{metric.value: rows[metric.value] * rows["n"]})
        rows = weighted.groupby("method", sort=False)[[metric.value, "n"]].sum().reset_index()
        rows[metric.value] /= rows["n"]
        rows = rows.assign(ci_low=np.nan, ci_high=np.nan)
    bounds = [f"{metric.bounds or ''}ci_{end}" for end in ("low", "high")]
    values = rows.set_index("method")[[metric.value, *bounds, "n"]].astype({"n": "Int64"})
    return values.set_axis(["", "_ci_low", "_ci_high", "_n"], axis=1)
