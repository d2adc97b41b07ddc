"""evaluate: IoU of one method's maps, or of a prior, with each box at every threshold."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import PRIORS, PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.stages.attribute import NAMES, map_shards, read_samples

_ROWS = 64  # maps of a prior held at a time


def stage(config: PipelineConfig, method: str, select: Stage, maps: Stage | None) -> Stage:
    return Stage(
        name="evaluate",
        version=4,
        settings={
            "metric": "localization",
            "thresholds": config.evaluation.localization.thresholds,
            "box_rounding": config.evaluation.localization.box_rounding.value,
            "metrics": section(config.evaluation.localization_metrics),
            # Maps arrive at this side; the priors are made at it.
            **({"prior": method, "side": config.dataset.side} if maps is None else {}),
        },
        inputs={"select": select, **({"maps": maps} if maps else {})},
        run=lambda task: run(task, method),
        sources=(
            "evaluation/localization.py",
            "evaluation/localization_metrics.py",
            "evaluation/priors.py",
        ),
        variant=f"localization {method}",
    )


def run(task: Task, method: str) -> None:
    from evaluation import localization, priors
    from evaluation.localization_metrics import localization_metrics
    from evaluation.overlays import IN_BITS

    config = task.config.evaluation
    samples = read_samples(task.inputs["select"])
    thresholds = localization.threshold_grid(config.localization.thresholds)

    def masks_of(rows: np.ndarray) -> np.ndarray:
        return box_masks_of(task, samples.iloc[rows])

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Maps and box masks of the next samples."""
        if method in PRIORS:
            maps_of = priors.PRIORS[method](masks_of, samples["patient"], samples["finding"])
            for start in range(0, len(samples), _ROWS):
                rows = np.arange(start, min(start + _ROWS, len(samples)))
                yield maps_of(rows), masks_of(rows)
        else:
            start = 0
            for maps in map_shards(task.inputs["maps"]):
                yield maps, box_masks_of(task, samples[start : start + len(maps)])
                start += len(maps)

    grids: dict[str, tuple[np.ndarray, float | None]] = {"curves": (thresholds, None)}
    if method in IN_BITS:
        grids["curves_bits"] = (localization.BITS_PER_PIXEL, 1.0)
    curves: dict[str, list[np.ndarray]] = {name: [] for name in grids}
    metrics: list[pd.DataFrame] = []
    done = 0
    for maps, masks in batches():
        rows = slice(done, done + len(maps))
        names = batch_names(samples, rows)
        for name, (grid, scale) in grids.items():
            curves[name].append(localization.iou_curve(maps, masks, grid, names, scale))
        metrics.append(localization_metrics(maps, masks, config.localization_metrics, names))
        done += len(maps)
        task.progress(done, len(samples))
    for name, parts in curves.items():
        np.save(task.folder / f"{name}.npy", np.concatenate(parts))
    named = samples[NAMES]
    named.join(pd.concat(metrics, ignore_index=True)).to_csv(
        task.folder / "samples.csv", index=False
    )


def box_masks_of(task: Task, samples: pd.DataFrame) -> np.ndarray:
    """Boxes of the samples as masks, bool (N, side, side)."""
    from evaluation.localization import box_masks

    rounding = task.config.evaluation.localization.box_rounding
    return box_masks(samples, task.config.dataset.side, rounding)


def batch_names(samples: pd.DataFrame, rows: slice) -> list[str]:
    """What errors call these samples."""
    pairs = zip(samples["image"][rows], samples["finding"][rows], strict=True)
    return [f"{image} {finding}" for image, finding in pairs]


def read_curves(folder: Path, name: str = "curves") -> np.ndarray:
    """float64 IoU (N, T) of a finished stage, per sample and threshold."""
    return np.asarray(np.load(folder / f"{name}.npy"))
