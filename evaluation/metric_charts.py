"""Charts of the importance metrics: insertion over deletion (Fig. 2), Sensitivity-N (Fig. 3b)."""

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from evaluation.charts import GREY, style
from evaluation.method_names import BASELINES, method_label

# Okabe and Ito's colours and a marker each, so that no two methods differ by colour alone.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "black")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">")


def _looks(methods: pd.Series) -> dict[str, dict[str, Any]]:
    """Colour, marker and dashes of each method, in order of first appearance; baselines are grey.

    A colour that comes again is dashed.
    """
    colours, markers = cycle(_COLOURS), cycle(_MARKERS)
    looks: dict[str, dict[str, Any]] = {}
    for method in map(str, methods.unique()):
        colour = GREY if method in BASELINES else next(colours)
        again = any(look["color"] == colour for look in looks.values())
        looks[method] = {
            "color": colour,
            "marker": next(markers),
            "linestyle": (0, (4, 1.5)) if again else "-",
        }
    return looks


def fig2_figure(table: pd.DataFrame) -> Figure:
    """Insertion over deletion area, a panel per data set and baseline; the best corner is marked.

    ``table``: columns of fig2.csv. ValueError for no rows.
    """
    if table.empty:
        raise ValueError("figure 2 needs one method at least, got none")
    panels = list(table.groupby(["dataset", "baseline"], sort=False))
    looks = _looks(table["method"])
    with style():
        figure = Figure(
            figsize=(5.2 * len(panels) + 2.6, 4.6), dpi=160, facecolor="white", layout="constrained"
        )
        for axes, ((dataset, baseline), rows) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            for method, row in rows.set_index("method").iterrows():
                x, y = float(row["deletion_auc"]), float(row["insertion_auc"])
                axes.errorbar(
                    x,
                    y,
                    xerr=_reach(x, row["deletion_ci_low"], row["deletion_ci_high"]),
                    yerr=_reach(y, row["insertion_ci_low"], row["insertion_ci_high"]),
                    **(looks[str(method)] | {"linestyle": "none"}),
                    markersize=8,
                    elinewidth=1.2,
                    label=method_label(str(method)),
                )
            axes.annotate(
                "best",
                xy=(0.01, 0.99),
                xytext=(0.12, 0.9),
                xycoords="axes fraction",
                textcoords="axes fraction",
                color=GREY,
                arrowprops={"arrowstyle": "->", "color": GREY},
            )
            axes.set_title(f"{dataset}, {baseline} baseline", fontsize=11)
            axes.set_xlabel("deletion AUC (lower is better)")
            axes.set_ylabel("insertion AUC (higher is better)")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", fontsize=9)
    return figure


def _reach(value: float, low: float, high: float) -> list[list[float]]:
    """Lengths of an error bar below and above; none where the interval is undefined."""
    return np.nan_to_num([[value - low], [high - value]]).clip(min=0).tolist()


def sensitivity_n_figure(table: pd.DataFrame) -> Figure:
    """Correlation over the share of pixels replaced, with its interval, a line per method.

    ``table``: columns of sensitivity_n.csv or fig3b.csv. ValueError for no rows.
    """
    if table.empty:
        raise ValueError("the Sensitivity-N figure needs one method at least, got none")
    looks = _looks(table["method"])
    with style():
        figure = Figure(figsize=(9, 4.2), dpi=160, facecolor="white", layout="constrained")
        axes = figure.subplots()
        for method, rows in table.groupby("method", sort=False):
            rows = rows.sort_values("fraction")
            look = looks[str(method)]
            axes.plot(
                rows["fraction"],
                rows["correlation"],
                **look,
                markersize=4,
                label=method_label(str(method)),
            )
            axes.fill_between(
                rows["fraction"],
                rows["ci_low"],
                rows["ci_high"],
                color=look["color"],
                alpha=0.1,
                linewidth=0,
            )
        axes.axhline(0, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xscale("log")
        # By hand: matplotlib finds no limits where every correlation is undefined.
        axes.set_xlim(0.8 * table["fraction"].min(), 1.25 * table["fraction"].max())
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:g}")  # mathtext is off
        axes.set_xlabel("share of the pixels replaced (n / all)")
        axes.set_ylabel("mean correlation (higher is better)")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", fontsize=9)
    return figure
