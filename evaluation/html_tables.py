"""How a data frame becomes a table to read: values with intervals, sensible digits, marked rows."""

import math
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd

from evaluation.method_names import BASELINES, METHOD_LABELS

HEADERS = {
    "iou": "IoU",
    "iou_macro": "IoU, mean over findings",
    "auc": "AUC",
    "ap": "AP",
    "paper_auc": "paper AUC",
    "paper_ap": "paper AP",
    "n_patients": "patients",
    "n_nan": "undefined",
    "p": "p, unadjusted",
    "pcc": "PCC",
    "n_positive": "positives",
    "n_classes": "classes",
    "threshold_a": "threshold, fold A",
    "threshold_b": "threshold, fold B",
}
DIGITS = {"seconds": 1}  # of columns that are not shown with three
LABELS = {"method": METHOD_LABELS, "class": {"mean8": "mean of the eight with boxes"}}
SUMMARY_ROWS = frozenset({"mean", "mean8", "Mean", "MacroMean"})


@dataclass(frozen=True)
class Cell:
    """``interval`` is shown after the text; ``note`` is the name behind a label; ``key`` sorts;
    ``hover`` is shown on demand; ``shade`` colours the cell, in percent."""

    text: str
    key: str
    interval: str = ""
    note: str = ""
    missing: bool = False
    hover: str = ""
    best: bool = False
    shade: int = 0


@dataclass(frozen=True)
class Header:
    text: str
    numeric: bool


@dataclass(frozen=True)
class Row:
    """``kind``: method, baseline, summary or plain; ``primary`` stands for the paper's row, and
    ``unmet`` for a method whose operating point does not meet its rule."""

    cells: tuple[Cell, ...]
    kind: str
    primary: bool
    unmet: bool


@dataclass(frozen=True)
class TableView:
    """A table ready to print; ``constants`` are the columns that say the same in every row;
    ``compact``: methods beside each other, the baselines apart below."""

    headers: tuple[Header, ...]
    rows: tuple[Row, ...]
    constants: tuple[tuple[str, str], ...] = ()
    compact: bool = False


def format_value(value: object, digits: int = 3) -> str:
    """A value in print: ``n/a`` for a missing one, and 1.2e-05 for what would round to 0."""
    if value is None or value is pd.NA or (isinstance(value, Real) and math.isnan(value)):
        return "n/a"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return str(value) if abs(int(value)) < 10_000 else f"{int(value):,}"
    if isinstance(value, Real):
        number = float(value)
        if number and abs(number) < 0.5 * 10**-digits:
            return f"{number:.1e}"
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.{digits}f}"
    return str(value)


def view_table(frame: pd.DataFrame) -> TableView:
    """The table as the report prints it; every row of ``frame`` is in it.

    A column ``<name>ci_low`` and its ``ci_high`` join the column ``<name>`` without its underscore,
    or else the one left of ``ci_low``; boolean columns ``primary`` and ``unmet`` mark rows.
    ValueError where an interval has no value.
    """
    names = [str(name) for name in frame.columns]
    intervals = _intervals(names)
    bounds = {bound for pair in intervals.values() for bound in pair}
    marked = "primary" in names and frame["primary"].nunique() > 1
    shown = [name for name in names if name not in bounds | {"primary", "unmet"}]
    constant = [
        name
        for name in shown
        if len(frame) > 1 and name not in intervals and frame[name].nunique(dropna=False) == 1
    ]
    constant = constant if len(constant) < len(shown) else []
    shown = [name for name in shown if name not in constant]
    columns = {name: _cells(frame, name, intervals.get(name)) for name in shown}
    unmets = frame["unmet"].tolist() if "unmet" in names else [False] * len(frame)
    rows = []
    for i in range(len(frame)):
        cells = tuple(columns[name][i] for name in shown)
        primary, unmet = bool(marked and frame["primary"].iloc[i]), bool(unmets[i])
        rows.append(Row(cells, _kind(frame, i), primary, unmet))
    return TableView(
        headers=tuple(
            Header(
                _header(name) + (" [interval]" if name in intervals else ""), _numeric(frame[name])
            )
            for name in shown
        ),
        rows=tuple(rows),
        constants=tuple((_header(name), _cells(frame, name, None)[0].text) for name in constant),
    )


def markdown_tables(text: str) -> dict[str, pd.DataFrame]:
    """The tables of a Markdown text by the heading (``## ...``) that each stands under, as strings.

    ValueError for a table without a heading, or a row with other cells than its head.
    """
    tables: dict[str, list[list[str]]] = {}
    heading = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            heading = line[3:].strip()
        elif line.startswith("|"):
            cells = [cell.strip().replace("`", "") for cell in line.strip().strip("|").split("|")]
            rows = tables.setdefault(heading, [])
            if not heading or (rows and len(cells) != len(rows[0])):
                raise ValueError(f"line {number} is no row of a table under a heading: {line}")
            rows.append(cells)
    return {  # the second row is the rule below the head
        name: pd.DataFrame(rows[2:], columns=pd.Index(rows[0])) for name, rows in tables.items()
    }


def _intervals(names: list[str]) -> dict[str, tuple[str, str]]:
    """Value column -> its bounds."""
    found = {}
    for at, low in enumerate(names):
        if not low.endswith("ci_low"):
            continue
        high, stem = low.removesuffix("low") + "high", low.removesuffix("ci_low").rstrip("_")
        value = stem if stem in names else names[at - 1] if at else ""
        if high not in names or not value or value.endswith(("ci_low", "ci_high")):
            raise ValueError(f"column {low!r} needs its {high!r} and, left of it, the value")
        found[value] = (low, high)
    return found


def _cells(frame: pd.DataFrame, name: str, bounds: tuple[str, str] | None) -> list[Cell]:
    values, digits = frame[name].tolist(), DIGITS.get(name, 3)
    known = [v for v in values if isinstance(v, float) and math.isfinite(v)]
    if known and all(v.is_integer() for v in known) and max(known) > 1:
        digits = 0  # counts that became floats because one of them is missing
    cells = []
    for i, value in enumerate(values):
        text = format_value(value, digits)
        missing = text == "n/a"
        key = "" if missing else repr(float(value)) if isinstance(value, Real) else text.lower()
        interval = note = ""
        if bounds and not missing:
            low, high = (format_value(frame[bound].iloc[i], digits) for bound in bounds)
            interval = "[n/a]" if low == high == "n/a" else f"[{low}, {high}]"
        if value in LABELS.get(name, {}):
            text, note = LABELS[name][value], text
        cells.append(Cell(text, key, interval, note, missing))
    return cells


def _kind(frame: pd.DataFrame, i: int) -> str:
    if "method" in frame:
        return "baseline" if frame["method"].iloc[i] in BASELINES else "method"
    for name in ("class", "pathology"):
        if name in frame and frame[name].iloc[i] in SUMMARY_ROWS:
            return "summary"
    return "plain"


def _numeric(column: pd.Series) -> bool:
    known = column.dropna()
    return bool(pd.api.types.is_numeric_dtype(column) and column.dtype != bool) or (
        len(known) > 0 and all(isinstance(v, Real) and not isinstance(v, bool) for v in known)
    )


def _header(name: str) -> str:
    return HEADERS.get(name, name.replace("_", " "))
