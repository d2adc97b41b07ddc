"""Contract tables made of per-sample rows: means over samples with intervals over patients.

Each row counts what it rests on: ``n`` samples of ``n_patients``, and ``n_nan`` samples for which
the metric is not defined, which are left out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from evaluation.bootstrap import (
    UNDEFINED,
    patient_bootstrap,
    patient_counts,
    patient_index,
    percentile_interval,
)
from evaluation.config import BootstrapConfig
from evaluation.correlation import pooled_correlation
from evaluation.paired_tests import paired_difference
from evaluation.paper_tables import paper_value

PAPERS_PCC = "mean_film"


def interval_columns(
    name: str,
    values: ArrayLike,
    patients: ArrayLike,
    bootstrap: BootstrapConfig,
    seed: int,
) -> dict[str, float | int]:
    """``name`` (the mean), ci_low, ci_high, n, n_patients, n_nan of values (N,)."""
    numbers = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(numbers)
    numbers, owners = numbers[known], np.asarray(patients)[known]
    interval = patient_bootstrap(numbers, owners, bootstrap, seed) if len(numbers) else UNDEFINED
    return {
        name: float(numbers.mean()) if len(numbers) else np.nan,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "n": len(numbers),
        "n_patients": len(np.unique(owners)),
        "n_nan": int((~known).sum()),
    }


def mean_table(
    samples: pd.DataFrame,
    by: Sequence[str],
    bootstrap: BootstrapConfig,
    seed: int,
    value: str = "value",
) -> pd.DataFrame:
    """A row for each group of ``samples``, in order of first appearance: mean, interval, counts.

    ``samples``: the columns ``by``, patient and ``value``. With by=(method, metric) this is
    localization.csv, sanity.csv, zones.csv or equal_area.csv. ValueError for no rows.
    """
    if samples.empty:
        raise ValueError(f"a table by {', '.join(by)} needs one per-sample row at least, got none")
    rows = []
    for keys, group in samples.groupby(list(by), sort=False, dropna=False):
        columns = interval_columns(value, group[value], group["patient"], bootstrap, seed)
        rows.append(dict(zip(by, keys, strict=True)) | columns)
    return pd.DataFrame(rows)


def spread_table(samples: pd.DataFrame, bootstrap: BootstrapConfig, seed: int) -> pd.DataFrame:
    """zone_drops.csv: ``mean_table`` per method and metric, with sd, the deviation over films."""
    table = mean_table(samples, by := ["method", "metric"], bootstrap, seed)
    spread = samples.groupby(by, sort=False)["value"].std().rename("sd").reset_index()
    return table.merge(spread, on=by, validate="one_to_one")


def against_random(samples: pd.DataFrame, bootstrap: BootstrapConfig, seed: int) -> pd.DataFrame:
    """truth.csv: means per method, truth and metric, and their paired difference from a random map.

    ``samples``: method, truth, metric, sample, patient, value; ``difference`` is NaN where the
    method random was not run.
    """
    table = mean_table(samples, ["truth", "metric", "method"], bootstrap, seed)
    control = samples[samples["method"] == "random"]
    rows = []
    for (truth, metric, _), group in samples.groupby(["truth", "metric", "method"], sort=False):
        of_random = control[(control["truth"] == truth) & (control["metric"] == metric)]
        both = group.merge(of_random[["sample", "value"]], on="sample", suffixes=("", "_random"))
        found = paired_difference(both["value"], both["value_random"], both["patient"])
        low, high = found.interval(bootstrap.confidence)
        columns = {"difference": found.value, "difference_ci_low": low, "difference_ci_high": high}
        rows.append(columns)
    return table.join(pd.DataFrame(rows))


def rule_table(samples: pd.DataFrame, bootstrap: BootstrapConfig, seed: int) -> pd.DataFrame:
    """Rows of table1.csv under the rules that fit no threshold, beside those of ``tables.table1``.

    ``samples``: method, patient, finding and the iou_<rule> columns of ``localization_metrics``.
    """
    rules = [str(name) for name in samples if str(name).startswith("iou_")]
    rows = []
    for method, group in samples.groupby("method", sort=False):
        for column in rules:
            rule, _, threshold = column.removeprefix("iou_").partition("_")
            fixed = rule == "fixed"
            row = {
                "method": method,
                "rule": rule if fixed else column.removeprefix("iou_"),
                "threshold": float(threshold) if fixed else np.nan,
                "paper": np.nan,
            }
            row |= interval_columns("iou", group[column], group["patient"], bootstrap, seed)
            row |= {"primary": False, "iou_macro": group.groupby("finding")[column].mean().mean()}
            rows.append(row)
    if not rows:
        raise ValueError("no rule to make rows of: give per-sample rows with iou_<rule> columns")
    return pd.DataFrame(rows).drop(columns="n_nan")


def fig2_table(samples: pd.DataFrame, bootstrap: BootstrapConfig, seed: int) -> pd.DataFrame:
    """fig2.csv of rows of ``insertion_deletion.insertion_deletion_samples`` with dataset, method
    and baseline: both areas, and both relative to the drop from film to blank, with intervals.

    ``score`` and ``blank`` are the means over all films, of which there are ``n``; the relative
    areas are over the ``n_drop`` films whose score falls far enough.
    """
    by = ["dataset", "method", "baseline"]
    counts = ["n", "n_patients", "n_nan"]
    table = samples.groupby(by, sort=False)[["score", "blank"]].mean().reset_index()
    for value in ("insertion_auc", "deletion_auc", "insertion_relative", "deletion_relative"):
        stem = value.removesuffix("_auc")
        means = mean_table(samples, by, bootstrap, seed, value).rename(
            columns={"ci_low": f"{stem}_ci_low", "ci_high": f"{stem}_ci_high"}
        )
        if value == "deletion_relative":
            means = means.rename(columns={"n": "n_drop"}).drop(columns=counts[1:])
        elif value != "deletion_auc":
            means = means.drop(columns=counts)
        table = table.merge(means, on=by, validate="one_to_one")
    return table[[name for name in table if name not in counts] + counts]


def sensitivity_n_table(
    samples: pd.DataFrame, bootstrap: BootstrapConfig, seed: int
) -> pd.DataFrame:
    """sensitivity_n.csv or fig3b.csv of rows of ``sensitivity_n.sensitivity_n_samples`` with
    method. ``n`` is the number of pixels; ``n_samples`` those with a defined correlation.
    """
    renamed = samples.rename(columns={"n": "pixels"})
    table = mean_table(renamed, ["method", "pixels", "fraction"], bootstrap, seed, "correlation")
    return table.rename(columns={"n": "n_samples", "pixels": "n"})


def table3(samples: pd.DataFrame, bootstrap: BootstrapConfig, seed: int) -> pd.DataFrame:
    """Table 3 per loss and rule: each pathology, Mean (over boxes, as the paper's) and MacroMean.

    ``samples``: loss, rule, seed (of training), sample, patient, finding, iou; every seed has the
    same samples. A box counts with its mean over the seeds, so that intervals are over patients;
    ``seeds`` counts them. A resample without one of the pathologies takes MacroMean over the rest.
    ValueError where the seeds of a loss and rule differ in their samples.
    """
    rows = []
    for (loss, rule), runs in samples.groupby(["loss", "rule"], sort=False):
        seeds = runs["seed"].nunique()
        boxes = runs.groupby("sample")[["patient", "finding", "iou"]].agg(
            {"patient": "first", "finding": "first", "iou": "mean"}
        )
        if len(runs) != seeds * len(boxes):
            raise ValueError(f"the {seeds} seeds of {loss}, {rule} do not hold the same samples")
        groups = {name: group for name, group in boxes.groupby("finding")}
        for name, group in [*groups.items(), ("Mean", boxes)]:
            columns = interval_columns("iou", group["iou"], group["patient"], bootstrap, seed)
            rows.append({"loss": loss, "pathology": name, "rule": rule} | columns)
        macro = _macro_columns(boxes, bootstrap, seed)
        rows.append({"loss": loss, "pathology": "MacroMean", "rule": rule} | macro)
        for row in rows[-len(groups) - 2 :]:
            row["seeds"] = seeds
    if not rows:
        raise ValueError("table 3 needs one loss at least, got none")
    table = pd.DataFrame(rows).drop(columns="n_nan")
    paper = [
        paper_value("table3", str(loss), str(pathology))
        for loss, pathology in zip(table["loss"], table["pathology"], strict=True)
    ]
    table.insert(3, "paper", paper)
    return table


def _macro_columns(
    boxes: pd.DataFrame, bootstrap: BootstrapConfig, seed: int
) -> dict[str, float | int]:
    index, num_patients = patient_index(boxes["patient"])
    kinds, kind = np.unique(boxes["finding"], return_inverse=True)
    sums, sizes = np.zeros((2, num_patients, len(kinds)))
    np.add.at(sums, (index, kind), boxes["iou"].to_numpy())
    np.add.at(sizes, (index, kind), 1)
    counts = patient_counts(num_patients, bootstrap.resamples, seed)
    with np.errstate(invalid="ignore"):
        draws = np.nanmean((counts @ sums) / (counts @ sizes), axis=1)
    interval = percentile_interval(draws, bootstrap.confidence, num_patients)
    value = (sums.sum(axis=0) / sizes.sum(axis=0)).mean()
    columns = {"iou": float(value), "ci_low": interval.low, "ci_high": interval.high}
    return columns | {"n": len(boxes), "n_patients": num_patients}


def pcc_table(
    samples: pd.DataFrame,
    sums: Mapping[str, Mapping[str, NDArray[np.float64]]],
    bootstrap: BootstrapConfig,
    seed: int,
) -> pd.DataFrame:
    """pcc.csv: mean over films and pooled over pixels, with (film) and without (lungs) background.

    ``samples``: rows of ``correlation.pcc_samples`` with method. ``sums``: method -> film and lungs
    -> the moments (N, 6) of that method's rows, in their order.
    """
    rows = []
    for method, group in samples.groupby("method", sort=False):
        for area, moments in sums[str(method)].items():
            mean = interval_columns("pcc", group[f"pcc_{area}"], group["patient"], bootstrap, seed)
            rows.append({"method": method, "variant": f"mean_{area}"} | mean)
            value, interval = pooled_correlation(
                moments, group["patient"].to_numpy(), bootstrap, seed
            )
            pooled = {"pcc": value, "ci_low": interval.low, "ci_high": interval.high}
            counts = {"n": len(group), "n_patients": group["patient"].nunique(), "n_nan": 0}
            rows.append({"method": method, "variant": f"pooled_{area}"} | pooled | counts)
    table = pd.DataFrame(rows)
    # The paper averages over films whose background counts as 0; no other variant is its number.
    values = [paper_value("pcc", str(method), "pcc") for method in table["method"]]
    papers = table["variant"] == PAPERS_PCC
    table.insert(2, "paper", np.where(papers, values, np.nan))
    return table
