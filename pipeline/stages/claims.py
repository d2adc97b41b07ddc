"""claims: a verdict on every claim of the paper that this run has measured."""

import pandas as pd

from models.config import Loss
from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.stages.classification import dataset_name
from pipeline.stages.localization import read_curves


def stage(config: PipelineConfig, tables: Stage, localization: dict[str, Stage]) -> Stage:
    return Stage(
        name="claims",
        version=1,
        settings={
            "claims": section(config.evaluation.claims),
            "bootstrap": section(config.evaluation.bootstrap),
            "fold_seed": config.evaluation.localization.fold_seed,
            "seed": config.seed,
            "dataset": dataset_name(config),
            "model": config.train.primary.value,
            "methods": list(localization),
        },
        inputs={
            "tables": tables,
            **{f"localization_{method}": stage for method, stage in localization.items()},
        },
        run=lambda task: run(task, tuple(localization)),
        sources=(
            "evaluation/claims.py",
            "evaluation/verdicts.py",
            "evaluation/bootstrap.py",
        ),
    )


def run(task: Task, methods: tuple[str, ...]) -> None:
    from evaluation.tables import write_csv
    from evaluation.verdicts import claims_table, compare_losses, compare_methods

    config = task.config
    settings, where = config.evaluation.claims, dataset_name(config)
    model = config.train.primary.value
    curves = {(where, model, m): read_curves(task.inputs[f"localization_{m}"]) for m in methods}
    findings, left_out = compare_methods(
        observations(task, where, model),
        curves,
        config.evaluation.localization.fold_seed,
        settings,
        config.seed,
    )
    table3 = task.inputs["tables"] / "table3_samples.csv"
    if table3.exists():
        films = pd.read_csv(task.inputs["tables"] / "classification_samples.csv")
        weighted, plain = (
            films[films["model"] == loss.value] for loss in (Loss.weighted_bce, Loss.bce)
        )
        scores = [str(name) for name in films if str(name).startswith("logit_")]
        classes = [name.removeprefix("logit_") for name in scores]
        findings += compare_losses(
            pd.read_csv(table3),
            weighted,
            plain,
            classes,
            where,
            settings,
            config.evaluation.bootstrap,
            config.seed,
        )
    write_csv(claims_table(findings, settings), task.folder / "claims.csv")
    write_csv(left_out, task.folder / "claims_left_out.csv")


def observations(task: Task, where: str, model: str) -> pd.DataFrame:
    """Long rows of everything measured per sample that a claim may compare."""
    from evaluation.verdicts import OBSERVED, observe

    folder = task.inputs["tables"]

    def read(name: str) -> pd.DataFrame | None:
        path = folder / f"{name}_samples.csv"
        return pd.read_csv(path, na_values=["n/a"]) if path.exists() else None

    def wide(frame: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
        index = ["method", "sample", "patient"]
        return frame.pivot(index=index, columns=column, values=value).reset_index()

    parts = []
    if (frame := read("table1")) is not None:
        parts.append(observe(frame, ["iou"], where, model))
    for name in ("localization", "equal_area"):
        if (frame := read(name)) is not None:
            metrics = frame["metric"].unique().tolist()
            parts.append(observe(wide(frame, "metric", "value"), metrics, where, model))
    if (frame := read("truth")) is not None:
        twins = frame[frame["truth"] == "twins"].rename(columns={"value": "weaker_share"})
        parts.append(observe(twins, ["weaker_share"], where, model))
    if (frame := read("fig2")) is not None:
        for game in ("insertion_auc", "deletion_auc"):
            named = frame.assign(baseline=game + "_" + frame["baseline"])
            games = named["baseline"].unique().tolist()
            parts.append(observe(wide(named, "baseline", game), games, where, model))
    if (frame := read("sensitivity_n")) is not None:
        keys = ["method", "sample", "patient"]
        means = frame.groupby(keys, sort=False)["correlation"].mean().reset_index()
        means = means.rename(columns={"correlation": "sensitivity_n"})
        parts.append(observe(means, ["sensitivity_n"], where, model))
    if not parts:
        return pd.DataFrame(columns=[*OBSERVED, "severity"])
    return pd.concat(parts, ignore_index=True)
