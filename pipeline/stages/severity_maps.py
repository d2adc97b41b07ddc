"""evaluate: one method's maps on the regressor against the severity of the zones (PCC)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.brixia_score import ZONES
from pipeline.graph import Stage, Task
from pipeline.stages.attribute import map_shards, read_samples
from pipeline.stages.zone_localization import LUNG_MASK
from pipeline.stages.zones import FilmZones, read_zones

MEAN_SEVERITY = "mean_severity"
SEVERITY_PRIORS = (LUNG_MASK, MEAN_SEVERITY)
_ROWS = 32  # maps of a prior held at a time
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
    from evaluation.correlation import pcc_samples

    samples = read_samples(task.inputs["select"])
    zones = read_zones(task.inputs["zones"])
    frames: list[pd.DataFrame] = []
    sums: dict[str, list[np.ndarray]] = {}
    for rows, labels, maps in _batches(task, method, samples, zones):
        asked = samples.iloc[rows]
        named = asked[_NAMES].assign(severity=asked["score"])
        frame, of_part = pcc_samples(named, maps, labels, asked[list(ZONES)].to_numpy())
        frames.append(frame)
        for place, values in of_part.items():
            sums.setdefault(place, []).append(values)
        task.progress(int(rows[-1]) + 1, len(samples))
    pd.concat(frames).to_csv(task.folder / "samples.csv", index=False)
    stored: dict[str, Any] = {place: np.concatenate(parts) for place, parts in sums.items()}
    np.savez(task.folder / "sums.npz", **stored)


def _batches(
    task: Task, method: str, samples: pd.DataFrame, zones: FilmZones
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows of the next samples whose zones are known, the zones, and the method's maps."""
    from evaluation.correlation import mean_severity, severity_maps

    there = np.flatnonzero(samples["image"].isin(zones.images))
    images = samples["image"].to_numpy()
    if method in SEVERITY_PRIORS:
        known = samples.iloc[there]
        scores = known[list(ZONES)].to_numpy()
        if method == MEAN_SEVERITY:
            scores = mean_severity(scores, known["patient"])
        for start in range(0, len(there), _ROWS):
            part = slice(start, start + _ROWS)
            labels = zones.of(images[there[part]].tolist())
            if method == LUNG_MASK:
                yield there[part], labels, (labels > 0).astype(np.float64)
            else:
                yield there[part], labels, severity_maps(labels, scores[part])
        return
    done = 0
    for maps in map_shards(task.inputs["maps"]):
        rows = there[(there >= done) & (there < done + len(maps))]
        if len(rows):
            yield rows, zones.of(images[rows].tolist()), maps[rows - done]
        done += len(maps)


def read_sums(folder: Path) -> dict[str, np.ndarray]:
    """Moments (N, 6) of ``film`` and ``lungs``: see ``evaluation.correlation.moments``."""
    with np.load(folder / "sums.npz") as stored:
        return {name: stored[name] for name in stored.files}
