"""evaluate: one method's maps against what truly changes the film, which is known of phantoms."""

import numpy as np
import pandas as pd

from pipeline.config import PipelineConfig, section
from pipeline.graph import Stage, Task
from pipeline.stages.attribute import NAMES, map_shards, read_samples
from pipeline.stages.localization import batch_names

TRUTHS = ("causal", "planted")
"""causal: pixels that change when the finding is taken away. planted: the token that goes with the
label, on the films that hold it (dataset=phantom_planted)."""


def stage(
    config: PipelineConfig, method: str, phantoms: Stage, select: Stage, maps: Stage
) -> Stage:
    return Stage(
        name="evaluate",
        version=1,
        settings={
            "metric": "truth",
            "side": config.dataset.side,
            "metrics": section(config.evaluation.localization_metrics),
        },
        inputs={"phantoms": phantoms, "select": select, "maps": maps},
        run=run,
        sources=("evaluation/localization_metrics.py", "data/phantom/counterfactual.py"),
        variant=f"truth {method}",
    )


def run(task: Task) -> None:
    from evaluation.localization_metrics import localization_metrics

    samples = read_samples(task.inputs["select"])
    settings = task.config.evaluation.localization_metrics
    named = samples[NAMES]
    frames, done = [], 0
    for maps in map_shards(task.inputs["maps"]):
        rows = slice(done, done + len(maps))
        for truth in TRUTHS:
            masks = _masks(task, truth, samples.iloc[rows])
            there = np.flatnonzero(masks.any(axis=(1, 2)))
            if len(there):
                of_rows = named.iloc[rows].iloc[there].reset_index(drop=True)
                metrics = localization_metrics(
                    maps[there], masks[there], settings, batch_names(of_rows, slice(None))
                )
                frames.append(of_rows.assign(truth=truth).join(metrics))
        done += len(maps)
        task.progress(done, len(samples))
    pd.concat(frames).to_csv(task.folder / "samples.csv", index=False)


def _masks(task: Task, truth: str, samples: pd.DataFrame) -> np.ndarray:
    """bool (n, side, side); empty where a film has no such truth."""
    from data.integrity import read_grey
    from data.packing import resize_mask
    from data.phantom.counterfactual import read_pair
    from data.phantom.markers import PLANTED_FINDING
    from data.phantom.nih_layout import PLANTED

    folder, side = task.inputs["phantoms"], task.config.dataset.side
    masks = np.zeros((len(samples), side, side), dtype=bool)
    for mask, image, finding in zip(masks, samples["image"], samples["finding"], strict=True):
        if truth == "causal":
            whole = read_pair(folder, image, finding).causal
        else:
            path = folder / PLANTED / image
            if finding != PLANTED_FINDING or not path.exists():
                continue
            whole = read_grey(path) >= 128
        mask[:] = resize_mask(whole, side)
    return masks
