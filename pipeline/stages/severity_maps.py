"""evaluate: one method's maps on the regressor against the severity of the zones (PCC)."""

from pathlib import Path
from typing import Any

import numpy as np

from data.brixia_score import ZONES
from pipeline.graph import Stage, Task
from pipeline.stages.attribute import map_shards, read_samples
from pipeline.stages.zone_localization import LUNG_MASK
from pipeline.stages.zones import read_zones

MEAN_SEVERITY = "mean_severity"
SEVERITY_PRIORS = (LUNG_MASK, MEAN_SEVERITY)
_NAMES = ["sample", "image", "patient"]


def stage(method: str, select: Stage, zones: Stage, maps: Stage | None) -> Stage:
    return Stage(
        name="evaluate",
        version=1,
        settings={"metric": "severity_maps", **({"prior": method} if maps is None else {})},
        inputs={"select": select, "zones": zones, **({"maps": maps} if maps else {})},
        run=lambda task: run(task, method),
        sources=("evaluation/correlation.py",),
        variant=f"severity_maps {method}",
    )


def run(task: Task, method: str) -> None:
    from evaluation.correlation import mean_severity, pcc_samples

    samples = read_samples(task.inputs["select"])
    zones = read_zones(task.inputs["zones"])
    labels = zones.of(samples["image"].tolist())
    there = np.flatnonzero(labels.any(axis=(1, 2)))
    labels, samples = labels[there], samples.iloc[there].reset_index(drop=True)
    scores = samples[list(ZONES)].to_numpy()
    if method == LUNG_MASK:
        maps = (labels > 0).astype(np.float64)
    elif method == MEAN_SEVERITY:
        maps = mean_severity(labels, scores, samples["patient"].to_numpy())
    else:
        maps = np.concatenate(list(map_shards(task.inputs["maps"])))[there]
    named = samples[_NAMES].assign(severity=samples["score"])
    frame, sums = pcc_samples(named, maps, labels, scores)
    frame.to_csv(task.folder / "samples.csv", index=False)
    stored: dict[str, Any] = dict(sums)
    np.savez(task.folder / "sums.npz", **stored)


def read_sums(folder: Path) -> dict[str, np.ndarray]:
    """Moments (N, 6) of ``film`` and ``lungs``: see ``evaluation.correlation.moments``."""
    with np.load(folder / "sums.npz") as stored:
        return {name: stored[name] for name in stored.files}
