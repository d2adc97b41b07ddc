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
_FILLINGS = {"blur": "the blurred film", "zero": "mean grey"}
_ASIDE = 1.015  # from one method's share of pixels to the next one's
_TICKS = 6  # shares at most, for each to have a tick of its own
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

    Panels stand two beside each other.

    ``table``: columns of fig2.csv. ValueError for no rows.
    """
    if table.empty:
        raise ValueError("figure 2 needs one method at least, got none")
    panels = list(table.groupby(["dataset", "baseline"], sort=False))
    looks = _looks(table["method"])
    columns = min(len(panels), 2)
    rows_of_panels = -(-len(panels) // columns)
    with style():
        size = (4.6 * columns + 2.2, 4.2 * rows_of_panels)
        figure = Figure(figsize=size, dpi=130, facecolor="white", layout="constrained")
        grid = figure.subplots(rows_of_panels, columns, squeeze=False)
        for empty in grid.flat[len(panels) :]:
            empty.set_axis_off()
        for axes, ((dataset, baseline), rows) in zip(grid.flat, panels, strict=False):
            for method, row in rows.set_index("method").iterrows():
                x, y = float(row["deletion_auc"]), float(row["insertion_auc"])
                axes.errorbar(
                    x,
                    y,
                    xerr=_reach(x, row["deletion_ci_low"], row["deletion_ci_high"]),
                    yerr=_reach(y, row["insertion_ci_low"], row["insertion_ci_high"]),
                    **(looks[str(method)] | {"linestyle": "none"}),
                    markersize=8,
                    elinewidth=0.7,
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
            title = (
                f"{str(dataset).replace('_', ' ')}, pixels replaced by {_FILLINGS[str(baseline)]}"
            )
            axes.set_title(title, fontsize=11)
            axes.set_xlabel("deletion AUC (lower is better)")
            axes.set_ylabel("insertion AUC (higher is better)")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", fontsize=10)
    return figure


def _reach(value: float, low: float, high: float) -> list[list[float]]:
    """Lengths of an error bar below and above; none where the interval is undefined."""
    return np.nan_to_num([[value - low], [high - value]]).clip(min=0).tolist()


def sensitivity_n_figure(table: pd.DataFrame) -> Figure:
    """Correlation over the share of pixels replaced, with its interval, a line per method.

    Methods stand a little beside each other, so that their intervals can be told apart.
    ``table``: columns of sensitivity_n.csv or fig3b.csv. ValueError for no rows.
    """
    if table.empty:
        raise ValueError("the Sensitivity-N figure needs one method at least, got none")
    looks = _looks(table["method"])
    fractions = np.unique(table["fraction"])
    with style():
        figure = Figure(figsize=(10, 4.6), dpi=130, facecolor="white", layout="constrained")
        axes = figure.subplots()
        for number, (method, look) in enumerate(looks.items()):
            rows = table[table["method"] == method].sort_values("fraction")
            aside = _ASIDE ** (number - (len(looks) - 1) / 2)
            axes.errorbar(
                rows["fraction"] * aside,
                rows["correlation"],
                yerr=[
                    (rows["correlation"] - rows["ci_low"]).clip(lower=0),
                    (rows["ci_high"] - rows["correlation"]).clip(lower=0),
                ],
                **look,
                markersize=5,
                elinewidth=0.7,
                label=method_label(method),
            )
        axes.axhline(0, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xscale("log")
        # By hand: matplotlib finds no limits where every correlation is undefined.
        axes.set_xlim(0.8 * fractions[0], 1.25 * fractions[-1])
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.2g}")  # mathtext is off
        if len(fractions) <= _TICKS:
            axes.set_xticks(fractions)
            axes.set_xticks([], minor=True)
        axes.set_xlabel("share of the pixels replaced (n / all)")
        axes.set_ylabel("mean correlation (higher is better)")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right center", fontsize=10)
    return figure
