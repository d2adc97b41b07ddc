"""figures: the pictures of the films with zone scores."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from data.brixia_score import ZONES
from pipeline.config import PipelineConfig
from pipeline.evaluated_films import EvaluatedFilms
from pipeline.graph import Stage, Task
from pipeline.stages.attribute import read_samples
from pipeline.stages.figures import DRAWN_BY, Gallery
from pipeline.stages.predict import read_logits
from pipeline.stages.zones import read_zones

if TYPE_CHECKING:
    from evaluation.overlays import Example

DETECTOR_OF_THREES = "Detector3"
FIG3A_METHOD = "regression_iba_dv"  # paper


def stage(
    config: PipelineConfig,
    tables: Stage,
    trainings: dict[str, Stage],
    pack: Stage,
    zones: Stage,
    of_detectors: Mapping[str, Stage],
    of_severity: Mapping[str, Stage],
) -> Stage:
    """``of_detectors``, ``of_severity``: the stages select, predict and maps_<method> of each."""
    return Stage(
        name="figures",
        version=3,
        settings={"trainings": list(trainings), "hash_ids": config.report.hash_ids},
        inputs={
            "tables": tables,
            "pack": pack,
            "zones": zones,
            **{f"train_{name}": stage for name, stage in trainings.items()},
            **{f"detectors_{role}": stage for role, stage in of_detectors.items()},
            **{f"severity_{role}": stage for role, stage in of_severity.items()},
        },
        run=lambda task: run(task, tuple(trainings)),
        sources=DRAWN_BY,
        variant="brixia",
    )


def run(task: Task, trainings: Sequence[str]) -> None:
    from evaluation.classification_figures import precision_recall_figure, roc_figure
    from evaluation.examples import SCORED_RULE
    from evaluation.paper_figures import FIG1_METHODS, fig1_row

    gallery, tables = Gallery(task.folder), task.inputs["tables"]
    for name in trainings:
        gallery.add_training(task.inputs[f"train_{name}"], name)
    if (tables / "fig3b.csv").exists():
        table = pd.read_csv(tables / "fig3b.csv", na_values=["n/a"])
        gallery.add_sensitivity_n("fig3b", table)
    films = pd.read_csv(tables / "detectors_samples.csv")
    gallery.add("roc_detectors", roc_figure(films), "True over false positive rate, by detector.")
    alt = "Precision over recall, by detector."
    gallery.add("precision_recall_detectors", precision_recall_figure(films), alt)
    if _has_maps(task, "detectors", FIG1_METHODS, "1"):
        if (example := _detected(task, FIG1_METHODS)) is not None:
            gallery.add_films("fig1_scored", [fig1_row([example])], SCORED_RULE)
        else:
            task.note("no figure 1: no explained film has zones of score 3 and others")
    if _has_maps(task, "severity", [FIG3A_METHOD], "3a"):
        if (example := _severity(task, [FIG3A_METHOD])) is not None:
            gallery.add_films("fig3a", [example], SCORED_RULE, severity=True)
        else:
            task.note("no figure 3a: no explained film has zones of score 3 and others")
    gallery.close()


def _has_maps(task: Task, model: str, methods: Sequence[str], figure: str) -> bool:
    absent = [method for method in methods if f"{model}_maps_{method}" not in task.inputs]
    if absent:
        task.note(f"no figure {figure}: the run has no map of {', '.join(absent)}")
    return not absent


def _folders(task: Task, model: str) -> dict[str, Path]:
    """``select``, ``predict`` and ``maps_...`` of a model, with what all models share."""
    own = {
        role.removeprefix(f"{model}_"): folder
        for role, folder in task.inputs.items()
        if role.startswith(f"{model}_")
    }
    return {**own, "pack": task.inputs["pack"], "tables": task.inputs["tables"]}


def _detected(task: Task, methods: Sequence[str]) -> "Example | None":
    """The film of Fig. 1 with its scored zones, or None."""
    evaluated = EvaluatedFilms.read(task.config, _folders(task, "detectors"))
    of_threes = evaluated.samples["finding"] == DETECTOR_OF_THREES
    return _scored(task, evaluated, np.flatnonzero(of_threes), methods, marked=3)


def _severity(task: Task, methods: Sequence[str]) -> "Example | None":
    """The film of Fig. 3a with its scored zones and predicted severity, or None."""
    folders = _folders(task, "severity")
    samples = read_samples(folders["select"])
    evaluated = EvaluatedFilms.of(task.config, folders, samples, None)
    example = _scored(task, evaluated, np.arange(len(samples)), methods, marked=None)
    if example is None:
        return None
    names, outputs = read_logits(folders["predict"])
    image = samples["image"][samples["sample"] == example.sample].iloc[0]
    return replace(example, severity=float(outputs[names.index(image), 0]))


def _scored(
    task: Task,
    evaluated: EvaluatedFilms,
    among: np.ndarray,
    methods: Sequence[str],
    marked: int | None,
) -> "Example | None":
    from evaluation.examples import choose_scored
    from evaluation.overlays import ScoredZones

    samples, zones = evaluated.samples, read_zones(task.inputs["zones"])
    among = among[np.isin(samples["image"].to_numpy()[among], zones.images)]
    chosen = choose_scored(samples[list(ZONES)].to_numpy()[among])
    if chosen is None:
        return None
    position = int(among[chosen])
    example = evaluated.examples([position], methods)[0]
    numbers = np.arange(1, len(ZONES) + 1)[:, None, None]
    masks = zones.of([samples["image"].iloc[position]]) == numbers
    scores = samples[list(ZONES)].iloc[position].to_numpy(int)
    return replace(example, zones=ScoredZones(masks, scores, marked))
