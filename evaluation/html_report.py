"""One HTML file that tells a run: its claims first, then scores, films, tables and figures.

Everything is embedded; nothing is loaded from anywhere. The same content gives the same bytes.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from evaluation.html_claims import ClaimRow, count_verdicts, view_claims
from evaluation.html_pictures import Picture
from evaluation.html_tables import TableView, format_value, view_table
from evaluation.method_names import BASELINES, method_label

if TYPE_CHECKING:  # it draws with matplotlib, which a comparison of runs must not wait for
    from evaluation.image_browser import ImageBrowser

OWN_IDS = frozenset({"top", "theme", "enlarged", "browser"})
BROWSER_PREFIX = "browser-"  # of ids of the template
ID = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True)
class ReportTable:
    """A table, shown whole, with a link to ``csv`` (relative to the report; None: no link).

    ``layout`` makes it a table to read; by itself, columns ending in ``ci_low`` and ``ci_high`` are
    shown beside their value, booleans ``primary`` and ``unmet`` mark rows, and a column that says
    the same in every row moves above the table.
    """

    id: str
    title: str
    caption: str
    frame: pd.DataFrame
    csv: str | None = None
    layout: Callable[[pd.DataFrame], TableView] = view_table

    @property
    def view(self) -> TableView:
        return self.layout(self.frame)


@dataclass(frozen=True)
class ReportFigure:
    """A picture, or none, under its caption, with a link to ``pdf`` (None: no link)."""

    id: str
    title: str
    caption: str
    picture: Picture | None
    pdf: str | None = None


@dataclass(frozen=True)
class ReportSection:
    """A chapter: tables and figures in the order given, each ``folded`` or open."""

    id: str
    title: str
    blocks: tuple[ReportTable | ReportFigure, ...]
    folded: bool = False


@dataclass(frozen=True)
class ReportContent:
    """All that a report says.

    ``banner`` warns in the page's title and on top; the first sentence of ``statement`` says what
    kind of data was run, the others, folded with ``facts``, what may be concluded of it;
    ``claims`` has the columns of claims.csv and ``verdicts`` are sentences below it. ``scores``
    stand open before the films, ``sections`` after them. What is None or empty has no chapter.
    """

    title: str
    banner: str | None
    statement: tuple[str, ...]
    verdicts: tuple[str, ...]
    facts: Mapping[str, object]
    sections: tuple[ReportSection, ...]
    claims: pd.DataFrame | None = None
    scores: ReportSection | None = None
    browser: "ImageBrowser | None" = None

    @property
    def claim_rows(self) -> tuple[ClaimRow, ...]:
        return () if self.claims is None else view_claims(self.claims)

    @property
    def verdict_counts(self) -> str:
        return "" if self.claims is None else count_verdicts(self.claims)


def render_report(content: ReportContent) -> str:
    """The HTML page. ValueError for an id used twice or unfit for a link."""
    _check_ids(content)
    return _template().render(content=content)


def summarise_problems(problems: pd.DataFrame, groups: int) -> pd.DataFrame:
    """Problems (file, field, reason) counted by field and reason, the most frequent first.

    Columns: field, reason, files, example. Beyond ``groups`` kinds, the last row counts the rest.
    """
    counted = problems.groupby(["field", "reason"], as_index=False, sort=True, dropna=False).agg(
        files=("file", "size"), example=("file", "min")
    )
    counted = counted.sort_values("files", ascending=False, kind="stable", ignore_index=True)
    shown, rest = counted.iloc[:groups], counted.iloc[groups:]
    if rest.empty:
        return shown
    last = {
        "field": "…",
        "reason": f"{len(rest)} further kinds",
        "files": rest["files"].sum(),
        "example": rest["example"].iloc[0],
    }
    return pd.concat([shown, pd.DataFrame([last])], ignore_index=True)


def shortcuts_verdict(shortcuts: pd.DataFrame) -> str:
    """shortcuts.csv in a sentence: the classes that are given away, by what and how far."""
    given_away = shortcuts[shortcuts["exceeds"]].sort_values("auc", ascending=False, kind="stable")
    if given_away.empty:
        return "Shortcut audit: no class can be told without looking for its lesion."
    rows = [
        f"{row['class']} ({row['features']}, AUC {row['auc']:.2f})"
        for _, row in given_away.iterrows()
    ]
    return f"Shortcut audit: can be told without looking for the lesion: {'; '.join(rows)}."


def table1_verdict(table1: pd.DataFrame) -> str:
    """Table 1 in a sentence or two: the best method against the best baseline."""
    rows = table1[table1["primary"] & table1["iou"].notna()]
    is_baseline = rows["method"].isin(BASELINES)
    if is_baseline.all() or not is_baseline.any():
        return "Table 1 compares no method with a baseline."
    best = rows[~is_baseline].sort_values("iou", ascending=False, kind="stable").iloc[0]
    bar = rows[is_baseline].sort_values("iou", ascending=False, kind="stable").iloc[0]
    names = [f"{method_label(r['method'])} ({_with_interval(r)})" for r in (best, bar)]
    if best["ci_low"] > bar["ci_high"]:
        outcome = "lies above the best baseline"
    elif best["ci_high"] < bar["ci_low"]:
        outcome = "lies below the best baseline"
    else:
        outcome = "is not told apart (their intervals overlap) from the best baseline"
    return f"Mean IoU with the boxes: the best method, {names[0]}, {outcome}, {names[1]}."


def _with_interval(row: pd.Series) -> str:
    low, high = format_value(row["ci_low"]), format_value(row["ci_high"])
    return f"{format_value(row['iou'])} [{low}, {high}]"


def _check_ids(content: ReportContent) -> None:
    sections = (*([content.scores] if content.scores else []), *content.sections)
    blocks = [block for section in sections for block in section.blocks]
    ids = [part.id for part in (*sections, *blocks)]
    ids += OWN_IDS
    for name in ids:
        taken = ids.count(name) > 1 or name.startswith(BROWSER_PREFIX)
        if not ID.fullmatch(name) or taken:
            raise ValueError(
                f"report id {name!r} must be unique, of small letters, digits, '_' and '-'"
            )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {}  # methods in their order, not the alphabet's
    environment.filters["value"] = format_value
    environment.tests["table"] = lambda block: isinstance(block, ReportTable)
    return environment.get_template("report.html.j2")
