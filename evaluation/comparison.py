"""Runs side by side: which settings differ, every table beside each other, paired differences.

A difference is paired: the same sample's value in the other run less that in the first, with an
interval over patients. Runs that differ in the seed alone are one setting seen several times: their
mean and deviation stand in its column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from evaluation.config import BootstrapConfig
from evaluation.paired_tests import paired_difference
from evaluation.sample_means import table3

ITEM = ["image", "finding"]
"""What a per-sample row is of, beside what its table is keyed by."""


@dataclass(frozen=True)
class TableShape:
    """What names a row of a contract table, its value, and the value's name per sample."""

    keys: tuple[str, ...]
    value: str
    per_sample: str | None = None  # None: no per-sample rows to pair


SHAPES = {
    "table1": TableShape(("method", "rule", "threshold"), "iou"),
    "table3": TableShape(("loss", "pathology", "rule"), "iou"),
    "classification": TableShape(("dataset", "model", "class"), "auc"),
    "localization": TableShape(("method", "metric"), "value", "value"),
    "truth": TableShape(("truth", "metric", "method"), "value", "value"),
    "table1_findings": TableShape(("finding", "method", "rule"), "iou"),
    "all_regions": TableShape(("method", "metric"), "value", "value"),
    "zone_drops": TableShape(("method", "metric"), "value", "value"),
    "fig2": TableShape(("dataset", "method", "baseline"), "insertion_auc", "insertion_auc"),
    "sensitivity_n": TableShape(("method", "n"), "correlation", "correlation"),
    "equal_area": TableShape(("method", "metric"), "value", "value"),
    "sanity": TableShape(("method", "metric"), "value", "value"),
    "diagnostics": TableShape(("method", "metric"), "value", "value"),
    "claims": TableShape(("number", "claim"), "difference"),
}


def config_differences(configs: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Columns setting and one per run: the settings in which the runs (name -> nested) differ."""
    flat = {run: _flat(config) for run, config in configs.items()}
    names = dict.fromkeys(name for settings in flat.values() for name in settings)
    rows = [
        {"setting": name, **{run: str(settings.get(name)) for run, settings in flat.items()}}
        for name in names
        if len({str(settings.get(name)) for settings in flat.values()}) > 1
    ]
    return pd.DataFrame(rows, columns=["setting", *flat])


def seed_groups(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Runs of one setting but for the seed, by the name of the first of them."""
    groups: dict[str, list[str]] = {}
    settings: dict[str, dict[str, str]] = {}
    for run, config in configs.items():
        own = {k: str(v) for k, v in _flat(config).items() if k not in ("seed", "name")}
        first = next((name for name, other in settings.items() if other == own), run)
        settings.setdefault(first, own)
        groups.setdefault(first, []).append(run)
    return groups


def claims_side_by_side(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The twelve claims, a column a run (run -> claims.csv): the verdict, and the difference or the
    reason that there is none."""
    first = next(iter(tables.values()))
    columns = {}
    for run, table in tables.items():
        of_run = table.set_index("number").reindex(first["number"])
        columns[run] = [
            f"{verdict} ({reason})" if np.isnan(difference) else f"{verdict} ({difference:+.3g})"
            for verdict, reason, difference in zip(
                of_run["verdict"], of_run["reason"], of_run["difference"], strict=True
            )
        ]
    return first[["number", "claim"]].assign(**columns)


def side_by_side(
    shape: TableShape, tables: Mapping[str, pd.DataFrame], groups: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """A row per row of any run; per group its value, with several seeds the mean and ``<run> sd``.

    ``tables``: run -> contract table. Rows keep the order of the first run that has them.
    """
    shape, tables = _by_task(shape, tables)
    parts = []
    for run, table in tables.items():
        keyed = _keyed(shape, table)
        parts.append(keyed[[*shape.keys, shape.value]].assign(run=run))
    long = pd.concat(parts, ignore_index=True)
    order = long.drop_duplicates(list(shape.keys))[list(shape.keys)]
    columns = [order]
    for first, runs in groups.items():
        of_group = long[long["run"].isin(runs)].groupby(list(shape.keys), sort=False)[shape.value]
        values = of_group.agg(["mean", "std"]) if len(runs) > 1 else of_group.agg(["mean"])
        renamed = values.rename(columns={"mean": first, "std": f"{first} sd"}).reset_index()
        columns.append(
            order.merge(renamed, on=list(shape.keys), how="left")[
                renamed.columns[len(shape.keys) :]
            ]
        )
    return pd.concat([columns[0].reset_index(drop=True), *columns[1:]], axis="columns")


def paired_differences(
    shape: TableShape,
    samples: Mapping[str, pd.DataFrame],
    confidence: float,
) -> pd.DataFrame:
    """Per run but the first and per key: the mean of its value less the first run's, per sample.

    ``samples``: run -> per-sample rows with the keys, image, finding, patient and the value.
    Columns: the keys, run, difference, ci_low, ci_high, p, n, n_patients. Only samples that both
    runs have count; a key that has none is left out.
    """
    if shape.per_sample is None:
        raise ValueError("this table has no per-sample rows to pair")
    shape, samples = _by_task(shape, samples)
    keys = list(shape.keys)
    (_, base), *others = samples.items()
    rows = []
    for run, own in others:
        both = own.merge(
            base[[*keys, *ITEM, shape.per_sample]], on=[*keys, *ITEM], suffixes=("", "_first")
        )
        for key, group in both.groupby(keys, sort=False):
            found = paired_difference(
                group[shape.per_sample], group[f"{shape.per_sample}_first"], group["patient"]
            )
            low, high = found.interval(confidence)
            named = dict(zip(keys, key, strict=True))
            columns = {"difference": found.value, "ci_low": low, "ci_high": high, "p": found.p}
            counts = {"n": found.n, "n_patients": found.n_patients}
            rows.append({**named, "run": run, **columns, **counts})
    return pd.DataFrame(rows)


def table3_over_seeds(
    samples: Sequence[pd.DataFrame], bootstrap: BootstrapConfig, seed: int
) -> pd.DataFrame:
    """Table 3 of several trainings: a box counts with its mean over the seeds; ``seed_sd`` is the
    deviation of the row's IoU between seeds. ``samples``: the table3_samples.csv of each run.

    Boxes that not every run evaluated are left out. ValueError where two runs have one seed.
    """
    seeds = [int(frame["seed"].iloc[0]) for frame in samples]
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"runs of Table 3 must differ in the seed, got {seeds}")
    items = [frame.drop_duplicates(["patient", "finding", "sample"]) for frame in samples]
    common = set.intersection(
        *(set(zip(i["sample"], i["patient"], i["finding"], strict=True)) for i in items)
    )
    if not common:
        raise ValueError("the runs evaluated no box in common: set evaluation.max_images to null")
    kept = [
        frame[
            [
                row in common
                for row in zip(frame["sample"], frame["patient"], frame["finding"], strict=True)
            ]
        ]
        for frame in samples
    ]
    table = table3(pd.concat(kept, ignore_index=True), bootstrap, seed)
    means = pd.concat(
        [
            table3(frame, BootstrapConfig(resamples=1), seed)[["loss", "pathology", "rule", "iou"]]
            for frame in kept
        ]
    )
    spread = (
        means.groupby(["loss", "pathology", "rule"])["iou"].std().rename("seed_sd").reset_index()
    )
    return table.merge(spread, on=["loss", "pathology", "rule"], how="left")


def _by_task(
    shape: TableShape, tables: Mapping[str, pd.DataFrame]
) -> tuple[TableShape, Mapping[str, pd.DataFrame]]:
    """Where a run's table holds several tasks, these are a key of every run's; a table without the
    column is of findings alone."""
    if not any("task" in table for table in tables.values()):
        return shape, tables
    named = {
        run: table if "task" in table else table.assign(task="findings")
        for run, table in tables.items()
    }
    return replace(shape, keys=("task", *shape.keys)), named


def _keyed(shape: TableShape, table: pd.DataFrame) -> pd.DataFrame:
    """Rows whose keys name them: Table 1's threshold is a key only where the rule fixes it."""
    if "threshold" not in shape.keys:
        return table
    fixed = table["rule"] == "fixed"
    return table.assign(threshold=np.where(fixed, table["threshold"].astype(str), ""))


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
