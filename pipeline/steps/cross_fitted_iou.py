"""Tables 1 and 2: IoU at thresholds that were chosen on other patients."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from evaluation.config import BootstrapConfig, LocalizationConfig
from pipeline.steps.localization import read_curves
from pipeline.steps.truth import BOX


def table1(
    samples: pd.DataFrame,
    folders: Mapping[str, Path],
    metrics: pd.DataFrame,
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
            method: read_curves(folder, name)[BOX]
            for method, folder in folders.items()
            if (folder / f"{name}.npz").exists()
        }
        if curves:
            parts.append(
                paper_tables.table1(samples, curves, grid, localization, bootstrap, seed, rule)
            )
    others = rule_table(metrics, bootstrap, seed)
    return pd.concat([*(table for table, _ in parts), others]), parts[0][1]


def table2(
    samples: pd.DataFrame,
    folders: Mapping[str, Path],
    localization: LocalizationConfig,
    bootstrap: BootstrapConfig,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Table 2, its samples, and what has too few patients for it."""
    from evaluation import paper_tables
    from evaluation.localization import threshold_grid

    curves = {method: read_curves(folder) for method, folder in folders.items()}
    grid = threshold_grid(localization.thresholds)
    return paper_tables.table2(samples, curves, grid, localization, bootstrap, seed)
