"""Curves of the classifiers: receiver operating characteristic, and precision over recall."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from evaluation.charts import BLUE, GREEN, GREY, VERMILION, style

COLUMNS = 4  # panels beside each other
_LOOKS: tuple[dict[str, Any], ...] = (  # of the models, told apart by dashes too
    {"color": BLUE},
    {"color": VERMILION, "linestyle": (0, (5, 2))},
    {"color": GREEN, "linestyle": (0, (1, 1.5))},
)
_DASHED: dict[str, Any] = {"color": GREY, "linewidth": 1, "linestyle": (0, (4, 3)), "zorder": 0}


def roc_figure(samples: pd.DataFrame) -> Figure:
    """True over false positive rate, a panel per class and a line per model, with its AUC.

    ``samples``: columns of classification_samples.csv: model, a column 0 or 1 per class, and
    ``logit_<class>``. A class without a positive or a negative film is said to have no curve.
    ValueError for no rows, or for more models than there are looks.
    """

    def draw(axes: Axes, truth: np.ndarray, scores: np.ndarray, look: dict[str, Any]) -> None:
        false_positive, true_positive, _ = roc_curve(truth, scores)
        area = roc_auc_score(truth, scores)
        axes.plot(false_positive, true_positive, **look, linewidth=1.5, label=f"AUC {area:.3f}")
        axes.plot([0, 1], [0, 1], **_DASHED)

    return _panels(samples, draw, "false positive rate", "true positive rate", "lower right")


def precision_recall_figure(samples: pd.DataFrame) -> Figure:
    """Precision over recall, as ``roc_figure``; the dashed line is the share of positive films."""

    def draw(axes: Axes, truth: np.ndarray, scores: np.ndarray, look: dict[str, Any]) -> None:
        precision, recall, _ = precision_recall_curve(truth, scores)
        reached = np.flatnonzero(recall[:-1] > recall[1:])  # a film of the class was found here
        precision, recall = precision[reached], recall[reached]
        precision, recall = np.append(precision, precision[-1]), np.append(recall, 0)
        area = average_precision_score(truth, scores)
        axes.step(
            recall, precision, where="post", **look, linewidth=1.5, label=f"AP {area:.3f}"
        )  # average precision is the area below these steps
        axes.axhline(truth.mean(), **_DASHED)

    return _panels(samples, draw, "recall", "precision", "best")


def _panels(
    samples: pd.DataFrame,
    draw: Callable[[Axes, np.ndarray, np.ndarray, dict[str, Any]], None],
    across: str,
    along: str,
    legend: str,
) -> Figure:
    classes = [str(name)[6:] for name in samples.columns if str(name).startswith("logit_")]
    models = list(samples.groupby("model", sort=False)) if len(samples) else []
    if not models or len(models) > len(_LOOKS):
        raise ValueError(f"curves need 1 to {len(_LOOKS)} models with films, got {len(models)}")
    columns = min(COLUMNS, len(classes))
    rows = -(-len(classes) // columns)
    with style():
        width, height = 3.1 * columns + 0.5, 3.1 * rows + 0.9
        figure = Figure(figsize=(width, height), dpi=130, facecolor="white")
        figure.subplots_adjust(
            left=0.7 / width,
            right=1 - 0.1 / width,
            bottom=1 / height,
            top=1 - 0.4 / height,
            wspace=0.12,
            hspace=0.18,
        )
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, name in zip(grid.flat, classes, strict=False):
            for (_, films), look in zip(models, _LOOKS, strict=False):
                truth, scores = films[name].to_numpy(), films[f"logit_{name}"].to_numpy()
                if 0 < truth.mean() < 1:
                    draw(axes, truth, scores, look)
            positive, whole = int(films[name].sum()), len(films)
            axes.set_title(f"{name} ({positive:,} of {whole:,})", fontsize=12)
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), box_aspect=1)
            if axes.lines:
                axes.legend(loc=legend, fontsize=10, frameon=True, edgecolor="none", framealpha=0.8)
            else:
                axes.text(0.5, 0.5, "n/a", ha="center", color=GREY)
        for axes in grid.flat[len(classes) :]:
            axes.set_axis_off()
        for axes in grid[-1]:
            axes.set_xlabel(across, fontsize=11)
        for axes in grid[:, 0]:
            axes.set_ylabel(along, fontsize=11)
        lines = [
            figure.axes[0].plot([], [], **look, linewidth=1.5)[0]
            for _, look in zip(models, _LOOKS, strict=False)
        ]
        names = [str(model).replace("_", " ") for model, _ in models]
        figure.legend(lines, names, loc="lower center", ncols=len(models), fontsize=12)
    return figure
