"""Table 3: one method's maps of models trained with different losses, under fair thresholds.

Weighting positives shifts the logits, and with them the bits of every map. A rule that favours the
model of more bits says nothing about where its features lie, so four rules must agree.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation.localization import BITS_PER_PIXEL, cross_fit

RULES = {
    "threshold_per_model": "each map over its maximum, a threshold for each model",
    "shared_threshold": "one threshold in bits/pixel for all models",
    "matched_bits": "maps over their model's mean bits/pixel, one threshold for all models",
    "average_precision": "no threshold: average precision of the pixels, not an IoU",
}

TIMES_MEAN = np.logspace(-2, 2, 101)
"""Thresholds of matched_bits, in units of the model's mean bits/pixel."""


def table3_samples(
    samples: pd.DataFrame,
    curves: Mapping[str, Mapping[str, NDArray[np.floating]]],
    relative_thresholds: NDArray[np.floating],
    average_precision: Mapping[str, NDArray[np.floating]],
    fold_seed: int,
    seed: int,
) -> pd.DataFrame:
    """Rows for ``sample_means.table3``, and the threshold that each was judged at.

    ``samples`` (N rows): sample, patient, finding. ``curves``: rule -> loss -> IoU (N, T) at
    ``relative_thresholds``, BITS_PER_PIXEL and TIMES_MEAN. ``average_precision``: loss -> (N,).
    Thresholds are cross-fitted over patients; a shared one is chosen on the maps of all losses.
    ``seed`` is the training's.
    """
    named = samples[["sample", "patient", "finding"]].reset_index(drop=True)
    grids = {
        "threshold_per_model": relative_thresholds,
        "shared_threshold": BITS_PER_PIXEL,
        "matched_bits": TIMES_MEAN,
    }
    frames = []
    for rule, grid in grids.items():
        of_loss = curves[rule]
        together = (
            [(loss,) for loss in of_loss] if rule == "threshold_per_model" else [tuple(of_loss)]
        )
        for losses in together:
            patients = np.tile(samples["patient"].to_numpy(), len(losses))
            stacked = np.concatenate([of_loss[loss] for loss in losses])
            fitted = cross_fit(stacked, patients, grid, fold_seed)
            parts = (values.reshape(len(losses), -1) for values in (fitted.thresholds, fitted.iou))
            for loss, threshold, iou in zip(losses, *parts, strict=True):
                frames.append(named.assign(loss=loss, rule=rule, threshold=threshold, iou=iou))
    for loss, values in average_precision.items():
        frames.append(
            named.assign(loss=loss, rule="average_precision", threshold=np.nan, iou=values)
        )
    table = pd.concat(frames, ignore_index=True).assign(seed=seed)
    return table[["loss", "rule", "seed", "sample", "patient", "finding", "threshold", "iou"]]
