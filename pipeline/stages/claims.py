"""claims: a verdict on every claim of the paper that this run has measured."""

import numpy as np
import pandas as pd

from models.config import Loss
from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.stages import scored_films
from pipeline.stages.classification import dataset_name
from pipeline.stages.finetune import DETECTOR, SEVERITY
from pipeline.stages.localization import read_curves
from pipeline.stages.zone_localization import read_zone_curves


def stage(
    config: PipelineConfig,
    tables: Stage,
    localization: dict[str, Stage],
    zone_localization: dict[str, Stage],
) -> Stage:
    """``zone_localization``: of the films with zone scores, if there are any."""
    scored = bool(zone_localization)
    return Stage(
        name="claims",
        version=2,
        settings={
            "claims": section(config.evaluation.claims),
            "bootstrap": section(config.evaluation.bootstrap),
            "fold_seed": config.evaluation.localization.fold_seed,
            "seed": config.seed,
            "dataset": dataset_name(config),
            "model": config.train.primary.value,
            "methods": list(localization),
            **(
                {
                    "brixia": scored_films.dataset_name(config),
                    "zone_methods": list(zone_localization),
                }
                if scored
                else {}
            ),
        },
        inputs={
            "tables": tables,
            **{f"localization_{method}": stage for method, stage in localization.items()},
            **{f"zones_{method}": stage for method, stage in zone_localization.items()},
        },
        run=lambda task: run(task, tuple(localization), tuple(zone_localization)),
        sources=(
            "evaluation/claims.py",
            "evaluation/verdicts.py",
            "evaluation/bootstrap.py",
        ),
    )


def run(task: Task, methods: tuple[str, ...], zone_methods: tuple[str, ...]) -> None:
    from evaluation.tables import write_csv
    from evaluation.verdicts import claims_table, compare_losses, compare_methods

    config = task.config
    settings, where = config.evaluation.claims, dataset_name(config)
    model = config.train.primary.value
    curves = {(where, model, m): read_curves(task.inputs[f"localization_{m}"]) for m in methods}
    observed = observations(task, where, model)
    if zone_methods:
        scored = scored_films.dataset_name(config)
        observed = pd.concat([observed, scored_observations(task, scored)], ignore_index=True)
        curves |= _zone_curves(task, scored, zone_methods)
    findings, left_out = compare_methods(
        observed,
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
    """Long rows of everything measured per sample on NIH that a claim may compare."""
    from evaluation.verdicts import OBSERVED, observe

    parts = []
    if (frame := _read(task, "table1")) is not None:
        parts.append(observe(frame, ["iou"], where, model))
    for name in ("localization", "equal_area"):
        if (frame := _read(task, name)) is not None:
            metrics = frame["metric"].unique().tolist()
            parts.append(observe(_wide(frame, "metric", "value"), metrics, where, model))
    if (frame := _read(task, "truth")) is not None:
        twins = frame[frame["truth"] == "twins"].rename(columns={"value": "weaker_share"})
        parts.append(observe(twins, ["weaker_share"], where, model))
    parts += _perturbed(task, where, model)
    parts += _sensitivity_n(task, "sensitivity_n", where, model)
    if not parts:
        return pd.DataFrame(columns=[*OBSERVED, "severity"])
    return pd.concat(parts, ignore_index=True)


def scored_observations(task: Task, where: str) -> pd.DataFrame:
    """The same of the films with zone scores: IoU for each detector, the rest over all of them."""
    from evaluation.verdicts import observe

    parts = []
    ious, others = _read(task, "table2"), _read(task, "zone_localization")
    assert ious is not None  # Table 2 is always made of zones
    assert others is not None
    ious = ious[ious["primary"]]
    for detector in sorted(ious["finding"].unique()):
        place = f"{where} {detector}"
        parts.append(observe(ious[ious["finding"] == detector], ["iou"], place, DETECTOR))
        of_detector = others[others["finding"] == detector]
        metrics = of_detector["metric"].unique().tolist()
        parts.append(observe(_wide(of_detector, "metric", "value"), metrics, place, DETECTOR))
    parts += _perturbed(task, where, DETECTOR)
    parts += _sensitivity_n(task, "fig3b", where, SEVERITY)
    if (frame := _read(task, "pcc")) is not None:
        parts.append(observe(frame, ["pcc_film", "pcc_lungs"], where, SEVERITY))
    if (frame := _read(task, "zones")) is not None:
        ranks = frame[frame["metric"] == "zone_spearman"].rename(columns={"value": "zone_spearman"})
        parts.append(observe(ranks, ["zone_spearman"], where, SEVERITY))
    return pd.concat(parts, ignore_index=True)


def _zone_curves(
    task: Task, where: str, methods: tuple[str, ...]
) -> dict[tuple[str, str, str], np.ndarray]:
    """IoU curves of each detector at the place that stands for the paper's."""
    frame = _read(task, "table2")
    assert frame is not None
    frame = frame[frame["primary"]]
    curves = {}
    for (detector, method), rows in frame.groupby(["finding", "method"]):
        if method in methods:
            place = f"{rows['region'].iloc[0]}_{rows['lungs'].iloc[0]}"
            of_method = read_zone_curves(task.inputs[f"zones_{method}"])[place]
            samples = rows["sample"].to_numpy()
            curves[f"{where} {detector}", DETECTOR, str(method)] = of_method[samples]
    return curves


def _perturbed(task: Task, where: str, model: str) -> list[pd.DataFrame]:
    from evaluation.verdicts import observe

    frame = _read(task, "fig2")
    if frame is None:
        return []
    frame = frame[frame["dataset"] == where]
    parts = []
    for game in ("insertion_auc", "deletion_auc"):
        named = frame.assign(baseline=game + "_" + frame["baseline"])
        games = named["baseline"].unique().tolist()
        parts.append(observe(_wide(named, "baseline", game), games, where, model))
    return parts


def _sensitivity_n(task: Task, table: str, where: str, model: str) -> list[pd.DataFrame]:
    from evaluation.verdicts import observe

    frame = _read(task, table)
    if frame is None:
        return []
    keys = ["method", "sample", "patient"]
    means = frame.groupby(keys, sort=False)["correlation"].mean().reset_index()
    means = means.rename(columns={"correlation": "sensitivity_n"})
    return [observe(means, ["sensitivity_n"], where, model)]


def _read(task: Task, name: str) -> pd.DataFrame | None:
    path = task.inputs["tables"] / f"{name}_samples.csv"
    return pd.read_csv(path, na_values=["n/a"]) if path.exists() else None


def _wide(frame: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    index = ["method", "sample", "patient"]
    return frame.pivot(index=index, columns=column, values=value).reset_index()
