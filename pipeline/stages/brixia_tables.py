"""tables: those of the films with zone scores: Table 2, severity, PCC, zones, Fig. 2 and 3b."""

import numpy as np
import pandas as pd

from data.config import TestFilms
from models.config import Loss
from pipeline.config import PipelineConfig
from pipeline.graph import Stage, Task
from pipeline.stages.attribute import NAMES, read_samples
from pipeline.stages.finetune import train_mean
from pipeline.stages.predict import read_logits
from pipeline.stages.sample_tables import (
    Methods,
    SampleTables,
    measured_inputs,
    samples_csv,
    table_settings,
)
from pipeline.stages.scored_films import dataset_name
from pipeline.stages.severity_maps import read_sums
from pipeline.stages.zone_localization import read_zone_curves


def stage(
    config: PipelineConfig,
    index: Stage,
    test_index: Stage,
    select: Stage,
    classification: dict[Loss, Stage],
    predict_severity: Stage,
    measured: dict[str, dict[str, Stage]],
) -> Stage:
    """``measured``: metric -> method -> its evaluate stage; for diagnostics its attribute stage."""
    methods = {metric: tuple(stages) for metric, stages in measured.items()}
    return Stage(
        name="tables",
        version=2,
        settings=table_settings(config, dataset_name(config), methods),
        inputs={
            "index": index,
            "test_index": test_index,
            "select": select,
            "severity": predict_severity,
            **{f"classification_{loss.value}": stage for loss, stage in classification.items()},
            **measured_inputs(measured),
        },
        run=lambda task: run(task, tuple(classification), methods),
        sources=(
            "evaluation/tables.py",
            "evaluation/metric_tables.py",
            "evaluation/severity.py",
            "evaluation/bootstrap.py",
            "evaluation/classification.py",
            "evaluation/correlation.py",
            "evaluation/localization.py",
            "evaluation/paper_values.csv",
        ),
        variant="brixia",
    )


def run(task: Task, losses: tuple[Loss, ...], methods: Methods) -> None:
    from evaluation import metric_tables
    from evaluation.tables import write_csv

    config, bootstrap = task.config, task.config.evaluation.bootstrap
    for name, table in (
        ("classification", "classification"),
        ("classification_samples", "detectors_samples"),
    ):
        parts = [task.inputs[f"classification_{loss.value}"] / f"{name}.csv" for loss in losses]
        frames = [pd.read_csv(p, na_values=["n/a"], keep_default_na=False) for p in parts]
        write_csv(pd.concat(frames), task.folder / f"{table}.csv")
    _severity(task)
    _table2(task, methods["zone_localization"])

    tables = SampleTables(task, methods)
    rows, write = tables.rows, tables.write

    tables.write_insertion_deletion(dataset_name(config))
    tables.write_sensitivity_n("fig3b")

    severity = rows("severity_maps", samples_csv)
    sums = {m: read_sums(task.inputs[f"severity_maps_{m}"]) for m in methods["severity_maps"]}
    zone_metrics = [str(name) for name in severity if str(name).startswith(("zone_", "relative_"))]
    write(
        "pcc",
        severity.drop(columns=zone_metrics),
        lambda: metric_tables.pcc_table(severity, sums, bootstrap, config.seed),
    )
    zones = severity.melt(
        id_vars=["method", "sample", "image", "patient", "severity"],
        value_vars=zone_metrics,
        var_name="metric",
    )
    write("zones", zones)

    others = rows("zone_localization", samples_csv)
    others = others.melt(id_vars=["method", *NAMES], var_name="metric")
    write("zone_localization", others)
    tables.write_diagnostics("brixia_diagnostics")


def _severity(task: Task) -> None:
    """The regressor, what needs no film, and another radiologist where there is one."""
    from evaluation.severity import severity_table
    from evaluation.tables import write_csv

    config = task.config
    names, outputs = read_logits(task.inputs["severity"])
    films = pd.read_csv(task.inputs["test_index"] / "images.csv", dtype={"image": str})
    films = films.set_index("image").loc[names]
    predictions = {
        "regressor": outputs[:, 0].astype(np.float64),
        "constant": np.full(len(names), train_mean(task.inputs["index"])),
    }
    if config.brixia.test is TestFilms.cohen:
        predictions["second_reader"] = films["other_score"].to_numpy(np.float64)
    truth, patients = films["score"].to_numpy(), films["patient"].to_numpy()
    bootstrap = config.evaluation.bootstrap
    where = dataset_name(config)
    table = severity_table(where, predictions, truth, patients, bootstrap, config.seed)
    write_csv(table, task.folder / "severity.csv")
    samples = pd.DataFrame({"image": names, "patient": patients, "score": truth, **predictions})
    write_csv(samples, task.folder / "severity_samples.csv")


def _table2(task: Task, methods: tuple[str, ...]) -> None:
    from evaluation.localization import threshold_grid
    from evaluation.tables import table2, write_csv

    config, localization = task.config, task.config.evaluation.localization
    table, samples, left_out = table2(
        read_samples(task.inputs["select"]),
        {
            method: read_zone_curves(task.inputs[f"zone_localization_{method}"])
            for method in methods
        },
        threshold_grid(localization.thresholds),
        localization,
        config.evaluation.bootstrap,
        config.seed,
    )
    if left_out:
        task.note(f"too few patients for Table 2: {'; '.join(left_out)}")
    write_csv(table, task.folder / "table2.csv")
    write_csv(samples, task.folder / "table2_samples.csv")
