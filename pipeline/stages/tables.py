"""tables: the contract tables, with the per-sample rows that each number comes from."""

from pathlib import Path

import pandas as pd

from evaluation.own_metrics import OWN_METRICS
from pipeline.config import PipelineConfig
from pipeline.graph import Stage, Task
from pipeline.stages.attribute import NAMES, read_samples
from pipeline.stages.classification import dataset_name
from pipeline.stages.localization import read_curves
from pipeline.stages.sample_tables import (
    Methods,
    SampleTables,
    measured_inputs,
    samples_csv,
    shard_samples,
    table_settings,
)


def stage(
    config: PipelineConfig,
    select: Stage,
    classification: dict[str, Stage],
    attribute: dict[str, Stage],
    measured: dict[str, dict[str, Stage]],
    table3: Stage | None,
    brixia: Stage | None,
) -> Stage:
    """``brixia``: the tables of the films with zone scores, which join these."""
    measured = measured | {"diagnostics": attribute}
    methods = {metric: tuple(stages) for metric, stages in measured.items()}
    return Stage(
        name="tables",
        version=2,
        settings=table_settings(config, dataset_name(config), methods),
        inputs={
            "select": select,
            **{f"classification_{loss}": stage for loss, stage in classification.items()},
            **measured_inputs(measured),
            **({"table3": table3} if table3 else {}),
            **({"brixia": brixia} if brixia else {}),
        },
        run=lambda task: run(task, tuple(classification), methods),
        sources=(
            "evaluation/tables.py",
            "evaluation/metric_tables.py",
            "evaluation/bootstrap.py",
            "evaluation/paper_values.csv",
        ),
    )


def run(task: Task, losses: tuple[str, ...], methods: Methods) -> None:
    from evaluation import metric_tables

    config, bootstrap = task.config, task.config.evaluation.bootstrap
    _join_classification(task, losses)

    tables = SampleTables(task, methods)
    rows, write = tables.rows, tables.write

    metrics = rows("localization", samples_csv)
    if len(metrics):
        table, samples = _table1(task, methods["localization"])
        others = metric_tables.rule_table(metrics, bootstrap, config.seed)
        write("table1", samples, lambda: pd.concat([table, others]))
        metrics = metrics.melt(id_vars=["method", *NAMES], var_name="metric")
    write("localization", metrics)

    known = rows("truth", samples_csv)
    if len(known):
        known = known.melt(id_vars=["method", "truth", *NAMES], var_name="metric")
    known = pd.concat([known, rows("twins", shard_samples)], ignore_index=True)
    write("truth", known, lambda: metric_tables.against_random(known, bootstrap, config.seed))

    tables.write_insertion_deletion(dataset_name(config))
    tables.write_sensitivity_n("sensitivity_n")
    removed = rows("equal_area", shard_samples)
    write("equal_area", removed)
    checks = pd.concat([rows("sanity", _sanity_samples), rows("road", shard_samples)])
    write("sanity", checks)
    for metric in OWN_METRICS:
        own = rows(metric, shard_samples)
        write(f"own_{metric}", own)

    tables.write_diagnostics("diagnostics")
    if "table3" in task.inputs:
        compared = pd.read_csv(task.inputs["table3"] / "samples.csv")
        write("table3", compared, lambda: metric_tables.table3(compared, bootstrap, config.seed))

    if "brixia" in task.inputs:
        for path in sorted(task.inputs["brixia"].glob("*.csv")):
            _append(path, task.folder / path.name)


def _append(rows: Path, table: Path) -> None:
    """Adds the rows of one csv to another of the same columns, or makes it."""
    text = rows.read_text(encoding="utf-8")
    if table.exists():
        header, text = text.split("\n", 1)
        own = table.read_text(encoding="utf-8")
        if own.split("\n", 1)[0] != header:
            raise ValueError(f"{table.name}: the two data sets have other columns")
        text = own + text
    table.write_text(text, encoding="utf-8")


def _table1(task: Task, methods: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cross-fitted rows: shares of the maximum, and bits/pixel for maps in that unit."""
    from evaluation.localization import BITS_PER_PIXEL, threshold_grid
    from evaluation.tables import table1

    config, localization = task.config, task.config.evaluation.localization
    folders = {method: task.inputs[f"localization_{method}"] for method in methods}
    in_bits = {m: f for m, f in folders.items() if (f / "curves_bits.npy").exists()}
    parts = []
    for rule, of_rule, name, grid in (
        ("cross_fitted", folders, "curves", threshold_grid(localization.thresholds)),
        ("cross_fitted_bits", in_bits, "curves_bits", BITS_PER_PIXEL),
    ):
        if of_rule:
            curves = {method: read_curves(folder, name) for method, folder in of_rule.items()}
            parts.append(
                table1(
                    read_samples(task.inputs["select"]),
                    curves,
                    grid,
                    localization,
                    config.evaluation.bootstrap,
                    config.seed,
                    rule,
                )
            )
    tables = pd.concat([table for table, _ in parts])
    return tables, parts[0][1]


def _join_classification(task: Task, losses: tuple[str, ...]) -> None:
    for name in ("classification.csv", "classification_samples.csv"):
        for loss in losses:
            _append(task.inputs[f"classification_{loss}"] / name, task.folder / name)


def _sanity_samples(folder: Path) -> pd.DataFrame:
    alike = pd.read_csv(folder / "input_independence.csv", dtype={"image": str})
    return pd.concat([shard_samples(folder), alike])
