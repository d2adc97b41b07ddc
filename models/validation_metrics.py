"""What a training reports after each epoch beside its loss: AUC, mean absolute error or Dice."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

Array = NDArray[np.float64]


class Metric(NamedTuple):
    """``name`` is its column in the history; ``of`` takes outputs and labels of one shape."""

    name: str
    of: Callable[[Array, Array], float]


def mean_auc(logits: Array, labels: Array) -> float:
    """Mean area under the ROC curve over the classes that have both labels; NaN if none has."""
    both = [c for c in range(labels.shape[1]) if 0 < labels[:, c].sum() < len(labels)]
    aucs = [roc_auc_score(labels[:, c], logits[:, c]) for c in both]
    return float(np.mean(aucs)) if aucs else math.nan


def mean_absolute_error(scores: Array, truth: Array) -> float:
    return float(np.abs(scores - truth).mean())


def dice_per_image(masks: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Array:
    """2 |A and B| / (|A| + |B|) of each pair (N, ...); 1 where both are empty."""
    masks, truth = masks.reshape(len(masks), -1), truth.reshape(len(truth), -1)
    sizes = masks.sum(1) + truth.sum(1)
    both = (masks & truth).sum(1)
    return np.where(sizes > 0, 2 * both / np.maximum(sizes, 1), 1.0)


MEAN_AUC = Metric("val_auc", mean_auc)
MEAN_ABSOLUTE_ERROR = Metric("val_mae", mean_absolute_error)
MEAN_DICE = Metric(
    "val_dice", lambda logits, truth: float(dice_per_image(logits > 0, truth > 0.5).mean())
)
