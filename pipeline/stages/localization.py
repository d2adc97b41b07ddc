"""evaluate: IoU of one method's maps, or of a prior, with each box at every threshold."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.config import PRIORS, PipelineConfig
from pipeline.graph import Stage, Task
from pipeline.stages.attribute import map_shards, read_samples

_ROWS = 64  # prior maps held at a time


def stage(config: PipelineConfig, method: str, select: Stage, maps: Stage | None) -> Stage:
    return Stage(
        name="evaluate",
        version=1,
        settings={
            "metric": "localization",
            "thresholds": config.evaluation.localization.thresholds,
            "box_rounding": config.evaluation.localization.box_rounding.value,
            # Maps arrive at this side; the priors are made at it.
            **({"prior": method, "side": config.dataset.side} if maps is None else {}),
        },
        inputs={"select": select, **({"maps": maps} if maps else {})},
        run=lambda task: run(task, method),
        sources=("evaluation/localization.py", "evaluation/priors.py"),
        variant=f"localization {method}",
    )


def run(task: Task, method: str) -> None:
    from evaluation import localization, priors

    config = task.config.evaluation.localization
    samples = read_samples(task.inputs["select"])
    masks = localization.box_masks(samples, task.config.dataset.side, config.box_rounding)
    thresholds = localization.threshold_grid(config.thresholds)

    def batches() -> Iterator[np.ndarray]:
        if method in PRIORS:
            patients, findings = samples["patient"].to_numpy(), samples["finding"].to_numpy()
            for start in range(0, len(samples), _ROWS):
                rows = slice(start, start + _ROWS)
                yield priors.PRIORS[method](masks, patients, findings, rows)
        else:
            yield from map_shards(task.inputs["maps"])

    curves: list[np.ndarray] = []
    done = 0
    for maps in batches():
        rows = slice(done, done + len(maps))
        names = [
            f"{image} {finding}"
            for image, finding in zip(samples["image"][rows], samples["finding"][rows], strict=True)
        ]
        curves.append(localization.iou_curve(maps, masks[rows], thresholds, names))
        done += len(maps)
        task.progress(done, len(samples))
    np.save(task.folder / "curves.npy", np.concatenate(curves))


def read_curves(folder: Path) -> np.ndarray:
    """float64 IoU (N, T) of a finished stage, per sample and threshold."""
    return np.asarray(np.load(folder / "curves.npy"))
