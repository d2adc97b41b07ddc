"""evaluate: IoU of one method's maps on the detectors with the zones that they look for."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from data.brixia_score import ZONES, zones_of
from pipeline.config import PRIORS, PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.stages.attribute import NAMES, map_shards, read_samples
from pipeline.stages.localization import batch_names
from pipeline.stages.zones import FilmZones, read_zones

if TYPE_CHECKING:
    from evaluation.priors import Masks

LUNG_MASK = "lung_mask"
SCORED_PRIORS = (*PRIORS, LUNG_MASK)
REGIONS = ("mask", "box")
_ROWS = 32  # masks and maps held at a time


def stage(
    config: PipelineConfig,
    method: str,
    select: Stage,
    zones: dict[str, Stage],
    maps: Stage | None,
) -> Stage:
    """``zones``: lungs (predicted, true) -> their zones; the first is the paper's."""
    return Stage(
        name="evaluate",
        version=1,
        settings={
            "metric": "zone_localization",
            "thresholds": config.evaluation.localization.thresholds,
            "metrics": section(config.evaluation.localization_metrics),
            "lungs": list(zones),
            **({"prior": method} if maps is None else {}),
        },
        inputs={
            "select": select,
            **{f"zones_{lungs}": stage for lungs, stage in zones.items()},
            **({"maps": maps} if maps else {}),
        },
        run=lambda task: run(task, method, tuple(zones)),
        sources=(
            "evaluation/localization.py",
            "evaluation/localization_metrics.py",
            "evaluation/priors.py",
            "data/brixia_score.py",
        ),
        variant=f"zone_localization {method}",
    )


def run(task: Task, method: str, lungs: tuple[str, ...]) -> None:
    from evaluation.localization import iou_curve, threshold_grid
    from evaluation.localization_metrics import localization_metrics

    samples, config = read_samples(task.inputs["select"]), task.config.evaluation
    thresholds = threshold_grid(config.localization.thresholds)
    curves: dict[str, Any] = {}
    metrics: list[pd.DataFrame] = []
    for of_lungs in lungs:
        zones = read_zones(task.inputs[f"zones_{of_lungs}"])
        for region in REGIONS:
            truth_of = partial(zone_masks, samples, zones, region)
            there = _with_a_zone(truth_of, len(samples))
            place = np.full((len(samples), len(thresholds)), np.nan)
            for rows, maps in _maps(task, method, samples, truth_of, zones, there):
                names, truth = batch_names(samples.iloc[rows], slice(None)), truth_of(rows)
                place[rows] = iou_curve(maps, truth, thresholds, names)
                if not curves:  # the first place, which is the paper's
                    settings = config.localization_metrics
                    frame = localization_metrics(maps, truth, settings, names)
                    metrics.append(frame.set_index(rows))
            curves[f"{region}_{of_lungs}"] = place
            task.progress(len(curves), len(lungs) * len(REGIONS))
    np.savez(task.folder / "curves.npz", **curves)
    measured = samples[NAMES].join(pd.concat(metrics), how="inner")
    measured.to_csv(task.folder / "samples.csv", index=False)


def zone_masks(
    samples: pd.DataFrame, zones: FilmZones, region: str, rows: np.ndarray
) -> np.ndarray:
    """Truth bool (n, side, side) of the samples in ``rows`` (n,).

    It is empty where the lungs, or the one that shows what the detector looks for, were not found.
    """
    asked = samples.iloc[rows]
    scores = asked[list(ZONES)].to_numpy()
    wanted = np.stack(
        [zones_of(detector, row) for detector, row in zip(asked["finding"], scores, strict=True)]
    )
    return zones.union(asked["image"].tolist(), wanted, region)


def _with_a_zone(truth_of: "Masks", count: int) -> np.ndarray:
    """The rows whose truth is not empty."""
    parts = (np.arange(start, min(start + _ROWS, count)) for start in range(0, count, _ROWS))
    there = np.concatenate([rows[truth_of(rows).any(axis=(1, 2))] for rows in parts])
    if not len(there):
        raise ValueError("no sample has a zone to be compared with: see the lungs' problems.csv")
    return there


def _maps(
    task: Task,
    method: str,
    samples: pd.DataFrame,
    truth_of: "Masks",
    zones: FilmZones,
    there: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of ``samples``, and the method's maps of them, for all rows that are ``there``."""
    from evaluation import priors

    if method in PRIORS:
        patients, findings = (samples[name].to_numpy()[there] for name in ("patient", "finding"))
        maps_of = priors.PRIORS[method](lambda part: truth_of(there[part]), patients, findings)
        for start in range(0, len(there), _ROWS):
            part = np.arange(start, min(start + _ROWS, len(there)))
            yield there[part], maps_of(part)
    elif method == LUNG_MASK:
        images = samples["image"].to_numpy()
        for start in range(0, len(there), _ROWS):
            rows = there[start : start + _ROWS]
            yield rows, (zones.of(images[rows].tolist()) > 0).astype(np.float32)
    else:
        done = 0
        for maps in map_shards(task.inputs["maps"]):
            rows = there[(there >= done) & (there < done + len(maps))]
            if len(rows):
                yield rows, maps[rows - done]
            done += len(maps)


def read_zone_curves(folder: Path) -> dict[str, np.ndarray]:
    """IoU (N, T) by ``<region>_<lungs>``; NaN in the rows of samples without a zone there."""
    with np.load(folder / "curves.npz") as stored:
        return {name: stored[name] for name in stored.files}
