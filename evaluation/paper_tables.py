"""The contract tables: our numbers with the paper's beside them, and how they are written."""

import csv
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from evaluation.bootstrap import cross_fit_bootstrap
from evaluation.config import BootstrapConfig, LocalizationConfig
from evaluation.localization import cross_fitted_samples

CROSS_FITTED, INTERSECTION = "cross_fitted", "intersection"
_PAPERS_RULE = {"multilayer_iba": INTERSECTION}
PAPER_VALUES = Path(__file__).with_name("paper_values.csv")


@cache
def _paper_values() -> dict[str, dict[tuple[str, str], float]]:
    tables: dict[str, dict[tuple[str, str], float]] = {}
    with PAPER_VALUES.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            tables.setdefault(line["table"], {})[line["row"], line["column"]] = float(line["value"])
    return tables


def paper_value(table: str, row: str, column: str) -> float:
    """A published number, under this project's names; NaN where none was published.

    ``paper_values.csv`` says of each whether the paper prints it (``paper``) or a log of the
    published code (``published_log``). Tables: table1 (method, iou), table2 (detector, method),
    table3 (loss, pathology or Mean), classification (loss/class, auc or ap), pcc (method, pcc).
    ValueError for a table that does not exist.
    """
    tables = _paper_values()
    if table not in tables:
        raise ValueError(f"{PAPER_VALUES.name} has no table {table!r}, only {', '.join(tables)}")
    return tables[table].get((row, column), np.nan)


def papers_rule(method: str) -> str:
    """The rule under which a method's IoU is what the paper prints: for Multi-layer IBA the binary
    intersection of Eq. 7, which no threshold follows."""
    return _PAPERS_RULE.get(method, CROSS_FITTED)


def table1(
    samples: pd.DataFrame,
    curves: Mapping[str, NDArray[np.floating]],
    thresholds: ArrayLike,
    localization: LocalizationConfig,
    bootstrap: BootstrapConfig,
    seed: int,
    rule: str = CROSS_FITTED,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table 1, a row per method in the order of ``curves``, and the per-sample rows behind it.

    ``samples``: sample, image, patient, finding. ``curves``: method -> IoU (N, T), a row per sample
    (``localization.iou_curve``). ``iou`` is the mean over boxes of the per-sample ``iou``, as in
    the paper; ``iou_macro`` the mean over findings of their means. ``threshold_a`` (``_b``) was
    chosen on the other fold and applied to fold a (b); ``threshold`` is the mean over the samples
    of the one applied. The interval is over patients, thresholds chosen anew in each resample, the
    same resamples for every method. ``rule`` says what the thresholds are: shares of the maximum
    (cross_fitted) or bits/pixel (cross_fitted_bits). ``primary`` marks, and ``paper`` stands
    beside, the row of ``papers_rule``. The second frame: method, sample, image, patient, finding,
    fold, threshold, iou.
    """
    rows, frames = [], []
    for method, curve in curves.items():
        frame = cross_fitted_samples(samples, curve, thresholds, localization.fold_seed)
        interval = cross_fit_bootstrap(
            curve, frame["patient"].to_numpy(), frame["fold"].to_numpy(dtype=str), bootstrap, seed
        )
        is_papers = rule == papers_rule(method)
        applied = frame.groupby("fold")["threshold"].first()
        rows.append(
            {
                "method": method,
                "rule": rule,
                "threshold": frame["threshold"].mean(),
                "paper": paper_value("table1", method, "iou") if is_papers else np.nan,
                "iou": frame["iou"].mean(),
                "ci_low": interval.low,
                "ci_high": interval.high,
                "n": len(frame),
                "n_patients": frame["patient"].nunique(),
                "primary": is_papers,
                "iou_macro": frame.groupby("finding")["iou"].mean().mean(),
                "threshold_a": applied["a"],
                "threshold_b": applied["b"],
            }
        )
        frame.insert(0, "method", method)
        frames.append(frame)
    if not rows:
        raise ValueError("table 1 needs one method at least, got none")
    return pd.DataFrame(rows), pd.concat(frames, ignore_index=True)


def table2(
    samples: pd.DataFrame,
    curves: Mapping[str, Mapping[str, NDArray[np.floating]]],
    thresholds: ArrayLike,
    localization: LocalizationConfig,
    bootstrap: BootstrapConfig,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Table 2: for each detector and place, a row per method, as ``table1``; and its samples.

    ``samples``: sample, image, patient, finding (the detector). ``curves``: method -> place
    (``<region>_<lungs>``) -> IoU (N, T), NaN in the rows of samples that have no zone there; these
    are left out, and ``n`` counts the others. ``primary`` is the row of ``papers_rule`` at the
    paper's place, the first one. The third: what could not be judged, for fewer than two patients
    have a sample there.
    """
    tables, frames, left_out = [], [], []
    first = next(iter(curves.values()))
    paper = next(iter(first))
    for detector in sorted(samples["finding"].unique()):
        of_detector = (samples["finding"] == detector).to_numpy()
        for place, of_first in first.items():
            region, lungs = place.split("_")
            rows = np.flatnonzero(of_detector & ~np.isnan(of_first).any(axis=1))
            here = samples.iloc[rows]
            if here["patient"].nunique() < 2:
                left_out.append(f"{detector}, {place}")
                continue
            of_place = {method: places[place][rows] for method, places in curves.items()}
            table, fitted = table1(here, of_place, thresholds, localization, bootstrap, seed)
            table["primary"] &= place == paper
            values = [paper_value("table2", detector, method) for method in table["method"]]
            table["paper"] = np.where(table["primary"], values, np.nan)
            first_columns = {
                "detector": detector,
                "method": table["method"],
                "region": region,
                "lungs": lungs,
            }
            table = pd.DataFrame(first_columns).join(table.drop(columns=["method", "iou_macro"]))
            tables.append(table)
            frames.append(fitted.assign(region=region, lungs=lungs, primary=place == paper))
    if not tables:
        raise ValueError("table 2 needs a detector with samples of two patients, and has none")
    return pd.concat(tables, ignore_index=True), pd.concat(frames, ignore_index=True), left_out


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write ``frame`` without its index: 6 significant digits, ``n/a`` for NaN, ``\\n`` line ends.

    The same frame gives the same bytes; the file appears whole or not at all.
    """
    partial = path.with_name(f"{path.name}.tmp")
    frame.to_csv(partial, index=False, float_format="%.6g", na_rep="n/a", lineterminator="\n")
    os.replace(partial, path)
