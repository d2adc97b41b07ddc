"""Tables 1 and 2: IoU at thresholds that were chosen on other patients, and of Eq. 7's binary map.

``intersections``, where there are any: method, sample, patient, finding, place, iou of each sample.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from attribution.config import Score
from evaluation.config import BootstrapConfig, LocalizationConfig
from pipeline.steps.localization import read_curves


def table1(
    samples: pd.DataFrame,
    folders: Mapping[str, Path],
    metrics: pd.DataFrame,
    intersections: pd.DataFrame | None,
    localization: LocalizationConfig,
    bootstrap: BootstrapConfig,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Table 1 and its samples. ``folders``: of each method's localization; ``metrics``: their rows.

    Thresholds are shares of a map's maximum, of maps in bits also bits/pixel; rules that choose
    none follow.
    """
    from evaluation import paper_tables
    from evaluation.localization import BITS_PER_PIXEL, threshold_grid
    from evaluation.sample_means import rule_table

    parts = []
    for rule, name, grid in (
        ("cross_fitted", "curves", threshold_grid(localization.thresholds)),
        ("cross_fitted_bits", "curves_bits", BITS_PER_PIXEL),
    ):
        curves = {
            method: next(iter(read_curves(folder, name).values()))  # of the truth's only place
            for method, folder in folders.items()
            if (folder / f"{name}.npz").exists()
        }
        if curves:
            parts.append(
                paper_tables.table1(samples, curves, grid, localization, bootstrap, seed, rule)
            )
    tables = [table for table, _ in parts]
    if intersections is not None:
        rows = _intersected(intersections, ["method"], bootstrap, seed)
        macro = intersections.groupby(["method", "finding"])["iou"].mean().groupby("method").mean()
        values = [paper_tables.paper_value("table1", method, "iou") for method in rows["method"]]
        rows = rows.assign(paper=values, primary=True, iou_macro=macro[rows["method"]].to_numpy())
        tables.append(rows)
    tables.append(rule_table(metrics, bootstrap, seed))
    return pd.concat(tables, ignore_index=True), parts[0][1]


def by_finding(
    fitted: pd.DataFrame,
    intersections: pd.DataFrame | None,
    bootstrap: BootstrapConfig,
    seed: int,
) -> pd.DataFrame:
    """table1_findings.csv: Table 1 of each finding alone, at the thresholds of all together."""
    from evaluation.paper_tables import CROSS_FITTED, INTERSECTION
    from evaluation.sample_means import mean_table

    parts = [fitted.assign(rule=CROSS_FITTED)]
    if intersections is not None:
        parts.append(intersections.assign(rule=INTERSECTION))
    samples = pd.concat(parts).sort_values("finding", kind="stable")
    table = mean_table(samples, ["finding", "method", "rule"], bootstrap, seed, "iou")
    return table.drop(columns="n_nan")


def table2(
    samples: pd.DataFrame,
    folders: Mapping[str, Path],
    intersections: pd.DataFrame | None,
    localization: LocalizationConfig,
    bootstrap: BootstrapConfig,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Table 2, its samples, and what has too few patients for it."""
    from evaluation import paper_tables
    from evaluation.localization import threshold_grid

    curves = {method: read_curves(folder) for method, folder in folders.items()}
    grid = threshold_grid(localization.thresholds)
    how = (localization, bootstrap, seed)
    table, fitted, left_out = paper_tables.table2(samples, curves, grid, *how)
    if intersections is not None:
        judged = intersections[intersections["finding"].isin(table["detector"])]
        rows = _intersected(judged, ["finding", "place", "method"], bootstrap, seed)
        rows[["region", "lungs"]] = rows["place"].str.split("_", expand=True)
        primary = rows["place"] == next(iter(next(iter(curves.values()))))
        values = [
            paper_tables.paper_value("table2", detector, method)
            for detector, method in zip(rows["finding"], rows["method"], strict=True)
        ]
        rows = rows.assign(primary=primary, paper=np.where(primary, values, np.nan))
        rows = rows.rename(columns={"finding": "detector"}).drop(columns="place")
        table = pd.concat([table, rows]).sort_values("detector", kind="stable", ignore_index=True)
    return table, fitted, left_out


def with_behind(
    table: pd.DataFrame, samples: pd.DataFrame, behind: pd.DataFrame, by: list[str]
) -> pd.DataFrame:
    """``table`` with the mean probability of the films, ``score``, and behind each method's
    bottleneck, ``score_behind``, over the ``samples`` of each row, which is named ``by``.

    ``behind``: method, sample, score, score_behind; NaN for a method that has none.
    """
    known = samples[[*by, "sample"]].merge(behind, on=["method", "sample"], how="left")
    means = known.groupby(by, sort=False)[["score", "score_behind"]].mean().reset_index()
    return table.merge(means, on=by, how="left", validate="many_to_one")


def scores_behind(diagnostics: pd.DataFrame, score: Score) -> pd.DataFrame:
    """Probability of each film, and behind the bottleneck, of ``rows.diagnostics``: method, sample,
    score, score_behind. A bottleneck says the mean of its noise samples in the unit of ``score``,
    of which the probability is taken then.
    """
    from scipy.special import expit

    named = {"score": "score", "bottleneck_score": "score_behind"}
    rows = diagnostics[diagnostics["metric"].isin(named)]
    values = rows["value"] if score is Score.sigmoid else expit(rows["value"])
    rows = rows.assign(value=values, metric=rows["metric"].map(named))
    wide = rows.pivot(index=["method", "sample"], columns="metric", values="value")
    return wide.reindex(columns=list(named.values())).reset_index()


def _intersected(
    samples: pd.DataFrame, by: list[str], bootstrap: BootstrapConfig, seed: int
) -> pd.DataFrame:
    from evaluation.paper_tables import INTERSECTION
    from evaluation.sample_means import mean_table

    rows = mean_table(samples, by, bootstrap, seed, "iou").drop(columns="n_nan")
    return rows.assign(rule=INTERSECTION, threshold=np.nan)
