"""evaluate: one method's maps of every loss's model against the boxes, by each rule of Table 3."""

import numpy as np

from pipeline.config import PipelineConfig
from pipeline.graph import Stage, Task
from pipeline.stages.attribute import map_shards, read_samples
from pipeline.stages.localization import batch_names, box_masks_of


def stage(config: PipelineConfig, select: Stage, maps: dict[str, Stage]) -> Stage:
    """``maps``: loss -> the attribute stage of its model."""
    localization = config.evaluation.localization
    return Stage(
        name="evaluate",
        version=1,
        settings={
            "metric": "table3",
            "thresholds": localization.thresholds,
            "box_rounding": localization.box_rounding.value,
            "fold_seed": localization.fold_seed,
            "seed": config.seed,
            "losses": list(maps),
        },
        inputs={"select": select, **{f"maps_{loss}": stage for loss, stage in maps.items()}},
        run=lambda task: run(task, tuple(maps)),
        sources=("evaluation/loss_comparison.py", "evaluation/localization.py"),
        variant="table3",
    )


def run(task: Task, losses: tuple[str, ...]) -> None:
    from evaluation.localization import iou_curve, threshold_grid
    from evaluation.localization_metrics import RankedHits
    from evaluation.loss_comparison import BITS_PER_PIXEL, RULES, TIMES_MEAN, table3_samples

    config = task.config.evaluation.localization
    samples = read_samples(task.inputs["select"])
    truth = box_masks_of(task, samples)
    relative = threshold_grid(config.thresholds)
    curves: dict[str, dict[str, np.ndarray]] = {rule: {} for rule in RULES}
    precision = {}
    for loss in losses:
        folder = task.inputs[f"maps_{loss}"]
        mean = float(np.mean(np.concatenate([m.mean(axis=(1, 2)) for m in map_shards(folder)])))
        grids = {
            "threshold_per_model": (relative, None),
            "shared_threshold": (BITS_PER_PIXEL, 1.0),
            "matched_bits": (TIMES_MEAN, mean),
        }
        parts: dict[str, list[np.ndarray]] = {rule: [] for rule in grids}
        ranked, done = [], 0
        for maps in map_shards(folder):
            rows = slice(done, done + len(maps))
            names = batch_names(samples, rows)
            for rule, (grid, scale) in grids.items():
                parts[rule].append(iou_curve(maps, truth[rows], grid, names, scale))
            ranked += [
                RankedHits.of(m.ravel(), t.ravel()).average_precision()
                for m, t in zip(maps, truth[rows], strict=True)
            ]
            done += len(maps)
        for rule, chunks in parts.items():
            curves[rule][loss] = np.concatenate(chunks)
        precision[loss] = np.array(ranked)
    frame = table3_samples(samples, curves, relative, precision, config.fold_seed, task.config.seed)
    frame.to_csv(task.folder / "samples.csv", index=False)
