"""Methods beside each other: a scoreboard with the best of each column marked, and a heat table."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from evaluation.html_tables import Cell, Header, Row, TableView, format_value
from evaluation.method_names import BASELINES, method_label
from evaluation.scoreboard import Metric

_DIGITS = {"seconds": 2}
_DARKEST = 60  # percent, at the best of the methods; the number stays legible on it


def view_scoreboard(board: pd.DataFrame, metrics: Mapping[str, Metric]) -> TableView:
    """``evaluation.scoreboard``'s columns of ``metrics``, an interval on hover.

    The best of a column is marked among the methods that are no baselines, as printed: what is
    equal to the digits shown is best alike. A boolean column ``unmet`` marks rows.
    """
    board = _baselines_last(board)
    shown = {name: metric for name, metric in metrics.items() if name in board}
    columns = {name: _column(board, name, metric) for name, metric in shown.items()}
    arrows = {True: "\N{NO-BREAK SPACE}↑", False: "\N{NO-BREAK SPACE}↓", None: ""}
    headers = (
        Header("method", numeric=False),
        *(Header(metric.label + arrows[metric.higher], numeric=True) for metric in shown.values()),
    )
    return TableView(headers, _rows(board, columns), compact=True)


def view_heat(frame: pd.DataFrame) -> TableView:
    """IoU of methods (rows) by finding (columns), the more colour the higher.

    ``frame``: columns finding, method, iou, ci_low, ci_high, n, a row for each of both; ``unmet``
    as in a scoreboard.
    """
    wide = frame.pivot(index="method", columns="finding", values="iou")
    wide = wide.reindex(index=frame["method"].unique(), columns=frame["finding"].unique())
    unmet = set(frame.loc[frame["unmet"], "method"]) if "unmet" in frame else set()
    board = _baselines_last(wide.reset_index())
    known = frame.set_index(["method", "finding"])
    top = float(frame.loc[~frame["method"].isin(BASELINES), "iou"].max())
    columns: dict[str, list[Cell]] = {}
    for finding in wide:
        cells = []
        for method, value in zip(board["method"], board[finding], strict=True):
            if pd.isna(value):
                cells.append(Cell("n/a", "", missing=True))
                continue
            row = known.loc[(method, str(finding))]
            shade = round(_DARKEST * min(1, value / top)) if top > 0 else 0
            hover = _hover(row["ci_low"], row["ci_high"], row["n"], 3)
            cells.append(Cell(f"{value:.2f}", repr(float(value)), hover=hover, shade=shade))
        columns[str(finding)] = cells
    headers = [Header(text, numeric=text in columns) for text in ("method", *columns)]
    board = board.assign(unmet=board["method"].isin(unmet))
    return TableView(tuple(headers), _rows(board, columns), compact=True)


def _baselines_last(board: pd.DataFrame) -> pd.DataFrame:
    is_baseline = board["method"].isin(BASELINES)
    return pd.concat([board[~is_baseline], board[is_baseline]], ignore_index=True)


def _column(board: pd.DataFrame, name: str, metric: Metric) -> list[Cell]:
    digits = _DIGITS.get(name, 3)
    values = board[name].astype(float).round(digits) + 0.0  # no minus before 0
    of_methods = values[~board["method"].isin(BASELINES)]
    best = of_methods.max() if metric.higher else of_methods.min()
    cells = []
    for i, value in enumerate(values):
        if pd.isna(value):
            cells.append(Cell("–", "", missing=True))
            continue
        is_best = metric.higher is not None and i in of_methods.index and value == best
        bounds = (board.get(f"{name}_{end}") for end in ("ci_low", "ci_high", "n"))
        low, high, n = (None if each is None else each[i] for each in bounds)
        text = f"{value:.{digits}f}".replace("-", "−")
        key = repr(float(board[name][i]))
        cells.append(Cell(text, key, hover=_hover(low, high, n, digits), best=is_best))
    return cells


def _hover(low: Any, high: Any, n: Any, digits: int) -> str:
    interval = (
        "" if pd.isna(low) else f"[{format_value(low, digits)}, {format_value(high, digits)}]"
    )
    count = "" if pd.isna(n) else f"n = {int(n)}"
    return ", ".join(filter(None, (interval, count)))


def _rows(board: pd.DataFrame, columns: Mapping[str, list[Cell]]) -> tuple[Row, ...]:
    unmets = board["unmet"] if "unmet" in board else [False] * len(board)
    rows = []
    for i, (method, unmet) in enumerate(zip(board["method"], unmets, strict=True)):
        name = Cell(method_label(method), method_label(method).lower(), hover=method)
        kind = "baseline" if method in BASELINES else "method"
        cells = (name, *(cells[i] for cells in columns.values()))
        rows.append(Row(cells, kind, primary=False, unmet=bool(unmet)))
    return tuple(rows)
