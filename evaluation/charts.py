"""Charts of the report: Table 1 against its baselines, training curves; style for all.

Figures are made with matplotlib's objects, never pyplot, under a style of their own, so that
neither global state nor a user's matplotlibrc changes a byte. Colours are safe for colour-blind
readers (Okabe and Ito's).
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from evaluation.method_names import BASELINES, method_label

VALIDATION_METRICS = {
    "val_auc": "mean AUC",
    "val_mae": "mean absolute error",
    "val_dice": "mean Dice",
}
"""What a training's history holds beside its losses, by column."""

BLUE, VERMILION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b6b6b"
_STYLED: tuple[str, ...]
_STYLED = ("agg", "axes", "errorbar", "figure", "font", "grid", "hatch", "image", "legend", "lines")
_STYLED += ("markers", "mathtext", "patch", "path", "pdf", "savefig", "text", "xtick", "ytick")
_STYLE = {k: v for k, v in matplotlib.rcParamsDefault.items() if k.split(".")[0] in _STYLED} | {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text that stays text in an editor
    "text.parse_math": False,  # a file name may hold a dollar sign
    "xtick.color": "#333333",
    "ytick.color": "#333333",
}


@contextmanager
def style() -> Iterator[None]:
    """The style in which every figure is made and written."""
    with matplotlib.rc_context(_STYLE):
        yield


def table1_figure(table: pd.DataFrame) -> Figure:
    """Mean IoU and interval per method, the paper's value as a diamond, baselines grey and hatched.

    ``table``: columns of table1.csv. Of a method with several rows the primary one is drawn.
    """
    rows = table.sort_values("primary", ascending=False, kind="stable").drop_duplicates("method")
    rows = rows.sort_values("iou", ascending=False, kind="stable")
    baseline = rows["method"].isin(BASELINES)
    own, honest = rows[~baseline], rows[baseline]
    gap = 0.5 if len(own) and len(honest) else 0.0
    y_own, y_honest = np.arange(len(own)), len(own) + gap + np.arange(len(honest))
    rows, y = pd.concat([own, honest]), np.concatenate([y_own, y_honest])
    height = 0.4 * (len(rows) + gap) + 2.0
    grey_hatched: dict[str, Any] = {"facecolor": "#e8e8e8", "edgecolor": GREY, "hatch": "////"}
    diamond: dict[str, Any] = {
        "linestyle": "none",
        "marker": "D",
        "markersize": 7,
        "markerfacecolor": "white",
        "markeredgecolor": VERMILION,
        "markeredgewidth": 1.8,
    }
    dashed: dict[str, Any] = {"color": GREY, "linestyle": (0, (4, 3)), "linewidth": 1}
    with style():
        figure = Figure(figsize=(9, height), dpi=160, facecolor="white")
        axes = figure.add_axes((0.2, 1.25 / height, 0.48, 1 - 1.65 / height))
        axes.barh(y_own, own["iou"], 0.6, color=BLUE)
        axes.barh(y_honest, honest["iou"], 0.6, **grey_hatched)
        axes.hlines(y, rows["ci_low"], rows["ci_high"], color="black", linewidth=1.8)
        axes.plot(rows["paper"], y, **diamond)
        handles: list[Patch | Line2D] = [
            Patch(color=BLUE, label="method"),
            Patch(**grey_hatched, label="baseline (explains no prediction)"),
            Line2D([], [], color="black", linewidth=1.8, label="interval over patients"),
            Line2D([], [], **diamond, label="value in the paper"),
        ]
        if honest["iou"].notna().any():
            axes.axvline(honest["iou"].max(), zorder=0, **dashed)
            handles.append(Line2D([], [], **dashed, label="best baseline"))
        _beside(axes, 1.03, -0.9, "IoU [interval]", weight="bold")
        _beside(axes, 1.46, -0.9, "paper", weight="bold", color=VERMILION)
        for at, (_, row) in zip(y, rows.iterrows(), strict=True):
            _beside(axes, 1.03, at, _with_interval(row["iou"], row["ci_low"], row["ci_high"]))
            _beside(axes, 1.46, at, "–" if pd.isna(row["paper"]) else f"{row['paper']:.3f}")
        axes.set_yticks(y, [method_label(method) for method in rows["method"]], fontsize=11)
        axes.set_ylim(y[-1] + 0.6, -0.6)
        drawn = rows[["iou", "ci_high", "paper"]].to_numpy(dtype=np.float64)
        axes.set_xlim(0, 1.06 * np.nanmax(drawn, initial=0.01))
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("mean IoU with the boxes (higher is better)", fontsize=10)
        figure.legend(handles=handles, loc="lower center", ncols=3, fontsize=9)
    return figure


def training_curves(history: pd.DataFrame, best_epoch: int | None = None) -> Figure:
    """Losses and validation metric by epoch; the dotted line marks the epoch whose weights were
    kept.

    ``history``: columns epoch, train_loss, val_loss, and one of VALIDATION_METRICS, NaN where
    undefined.
    """
    metric = next(str(name) for name in history if name in VALIDATION_METRICS)
    with style():
        figure = Figure(figsize=(9, 3.1), dpi=160, facecolor="white", layout="constrained")
        loss, other = figure.subplots(1, 2)
        epoch = history["epoch"]
        loss.plot(epoch, history["train_loss"], "o-", color=BLUE, markersize=4, label="training")
        loss.plot(
            epoch, history["val_loss"], "s--", color=VERMILION, markersize=4, label="validation"
        )
        loss.set_ylabel("loss")
        other.plot(epoch, history[metric], "s--", color=GREEN, markersize=4, label="validation")
        if metric == "val_auc":
            other.axhline(0.5, color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="chance")
        other.set_ylabel(VALIDATION_METRICS[metric])
        if history[metric].isna().all():
            other.text(0.5, 0.6, "n/a", transform=other.transAxes, ha="center", color=GREY)
        for axes in (loss, other):
            if best_epoch is not None:
                axes.axvline(
                    best_epoch, color="black", linewidth=1.2, linestyle=":", label="weights kept"
                )
            axes.set_xlabel("epoch")
            axes.set_xlim(epoch.min() - 0.5, epoch.max() + 0.5)  # whole epochs of a short training
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.legend(fontsize=9)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG: the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def pdf(figure: Figure) -> bytes:
    """The figure as PDF: the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return buffer.getvalue()


def _with_interval(value: float, low: float, high: float) -> str:
    if pd.isna(value):
        return "n/a"
    return f"{value:.3f}" + ("" if pd.isna(low) else f" [{low:.3f}, {high:.3f}]")


def _beside(axes: Axes, x: float, y: float, text: str, **font: Any) -> None:
    """Text right of the axes: x as a fraction of their width, y in rows."""
    axes.text(x, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=10, **font)
