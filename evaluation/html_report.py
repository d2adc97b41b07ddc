"""One HTML file that tells a run: its verdict first, then tables, figures, methods and provenance.

Everything is embedded; nothing is loaded from anywhere. The same content gives the same bytes.
"""

import base64
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from evaluation.html_tables import TableView, format_value, view_table
from evaluation.method_names import BASELINES, method_label

if TYPE_CHECKING:  # it draws with matplotlib, which a comparison of runs must not wait for
    from evaluation.image_browser import ImageBrowser

PHANTOM_BANNER = "phantoms"
PHANTOM_STATEMENT = (
    "Every film of this run is a phantom, rendered by this project. The run shows that the "
    "pipeline works and how the methods behave where the truth is known. No number here "
    "reproduces, confirms or contradicts the paper; its values stand beside ours only to show "
    "where they belong."
)
PHANTOM_LIMITS = (
    "What phantoms cannot show stands in docs/phantom_limits.md: label noise, co-occurrence, "
    "imbalance, devices and positioning are not those of real films."
)
PARTIAL_STATEMENT = (
    "This run saw only part of the published data set. Its numbers rest on too few images for a "
    "comparison with the paper, whose values are printed for orientation."
)
OWN_STATEMENT = (
    "The films are a data set of the user's own, {name}, read by a file outside this project; they "
    "are not the paper's. No number here reproduces, confirms or contradicts the paper; its values "
    "stand beside ours only to show where they belong."
)
_CHAPTERS = ("browser", "data-problems", "notes", "provenance", "step-times", "next")
OWN_IDS = frozenset({"top", "theme", "enlarged", *_CHAPTERS})
BROWSER_PREFIX = "browser-"  # of ids of the template
ID = re.compile(r"[a-z][a-z0-9_-]*")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def partial_banner(found: int, expected: int) -> str:
    """Banner of a run on ``found`` of the ``expected`` images of the data set."""
    return f"partial sample: {found:,} of {expected:,} images"


def own_banner(name: str) -> str:
    """Banner of a run on films that are not the paper's, the user's data set ``name``."""
    return f"own data set: {name}"


@dataclass(frozen=True)
class ReportTable:
    """A table, shown whole, with a link to ``csv`` (relative to the report; None: no link).

    Columns ending in ``ci_low`` and ``ci_high`` are shown beside their value, booleans ``primary``
    and ``unmet`` mark rows, a column that says the same in every row moves below the table.
    """

    id: str
    title: str
    caption: str
    frame: pd.DataFrame
    csv: str | None = None

    @property
    def view(self) -> TableView:
        return view_table(self.frame)


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows, in words. ValueError without words or for bytes that are no PNG."""

    alt: str
    png: bytes

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError("a picture of the report needs an alternative text")
        if not self.png.startswith(PNG_SIGNATURE):
            raise ValueError(f"the picture {self.alt!r} is no PNG")

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height

    @property
    def uri(self) -> str:
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


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
    """A chapter: tables and figures in the order given, ``folded`` or open."""

    id: str
    title: str
    blocks: tuple[ReportTable | ReportFigure, ...]
    folded: bool = False


@dataclass(frozen=True)
class ReportContent:
    """All that a report says.

    ``banner`` warns in the page's title and on top; ``statement`` says what was run and what may be
    concluded; ``problems`` has the columns of problems.csv (``summarise_problems`` shortens it) and
    ``problem_count`` is the number of all; ``seconds`` is one row per part of
    the run, ``steps`` one per step, in the chapter that ``steps`` opens; ``next_commands`` maps
    a command to what it does. What is None or empty has no chapter.
    """

    title: str
    banner: str | None
    statement: tuple[str, ...]
    verdicts: tuple[str, ...]
    facts: Mapping[str, object]
    sections: tuple[ReportSection, ...]
    browser: "ImageBrowser | None" = None
    problems: ReportTable | None = None
    problem_count: int = 0
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    seconds: ReportTable | None = None
    steps: ReportTable | None = None
    next_commands: Mapping[str, str] = field(default_factory=dict)


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


def claims_verdict(claims: pd.DataFrame) -> str:
    """claims.csv in a sentence: how many hold, fail and stay undecided."""
    hold, fail, undecided = (
        int((claims["verdict"] == verdict).sum()) for verdict in ("holds", "fails", "undecided")
    )
    return (
        f"Of {len(claims)} comparisons behind the paper's claims, controls included, {hold} hold,"
        f" {fail} fail and {undecided} stay undecided."
    )


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
    blocks = [block for section in content.sections for block in section.blocks]
    own = (content.problems, content.seconds, content.steps)
    tables = [table for table in own if table is not None]
    ids = [part.id for part in (*content.sections, *blocks, *tables)]
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
