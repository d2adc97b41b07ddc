"""The paper's claims as rows to read: a sentence, its verdict, our numbers, the paper's, a control.

p-values stay in claims.csv.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from evaluation.html_tables import format_value
from evaluation.method_names import method_label

MARKS = {  # verdict -> a sign that tells it without its colour
    "holds": "✓",
    "fails": "✗",
    "no relevant difference": "≈",
    "undecided": "?",
    "not judged": "–",
}
_COUNTED = {  # verdict -> of one claim, of several
    "holds": ("holds", "hold"),
    "fails": ("fails", "fail"),
    "no relevant difference": ("shows no relevant difference", "show no relevant difference"),
    "undecided": ("is undecided", "are undecided"),
    "not judged": ("was not judged", "were not judged"),
}
_CONTROLS = {
    "class_prior": "where such findings usually are",
    "location_prior": "where findings usually are",
    "lung_mask": "the lungs alone",
    "mean_severity": "where zones are usually ill",
    "random": "a random map",
}
_AGAINST = {"better": "better than", "no better": "no better than", "worse": "worse than"}


@dataclass(frozen=True)
class ClaimRow:
    """One claim in print. ``values`` and ``difference`` are empty where it was not judged,
    ``reason`` where it was decided; ``control`` and ``paper`` may be. ``hover`` is shown on demand.
    """

    number: int
    sentence: str
    metric: str
    source: str
    verdict: str
    mark: str
    reason: str
    values: str
    difference: str
    paper: str
    control: str
    control_difference: str
    control_met: bool
    hover: str
    unmet: bool


def view_claims(claims: pd.DataFrame) -> tuple[ClaimRow, ...]:
    """Rows of claims.csv; a boolean column ``unmet`` marks those that rest on an operating point
    that does not meet its rule. ValueError for an unknown verdict."""
    if unknown := set(claims["verdict"]) - MARKS.keys():
        raise ValueError(f"claims.csv: unknown verdict {', '.join(sorted(unknown))}")
    return tuple(_row(row) for _, row in claims.iterrows())


def count_verdicts(claims: pd.DataFrame) -> str:
    """The verdicts in a sentence: how many claims hold, fail, and so on."""
    counts = claims["verdict"].value_counts()
    return ", ".join(
        f"{counts[verdict]} {words[int(counts[verdict] > 1)]}"
        for verdict, words in _COUNTED.items()
        if verdict in counts
    )


def _row(row: pd.Series) -> ClaimRow:
    values = [
        f"{_side(row[side])} {_number(row[f'{side}_value'])}"
        for side in ("better", "worse")
        if _text(row[side]) and pd.notna(row[f"{side}_value"])
    ]
    against = _AGAINST.get(_text(row["control_verdict"]), "")
    control = _text(row["control"])
    known = []
    if pd.notna(row["n"]):
        known.append(f"n = {int(row['n'])} of {int(row['n_patients'])} patients")
    if pd.notna(row["margin"]):
        known.append(f"margin of relevance {format_value(row['margin'])}")
    return ClaimRow(
        number=int(row["number"]),
        sentence=_text(row["claim"]),
        metric=_text(row["metric"]),
        source=_text(row["source"]),
        verdict=row["verdict"],
        mark=MARKS[row["verdict"]],
        reason=_text(row["reason"]),
        values=" · ".join(values),
        difference=_difference(row, "difference", "ci_low", "ci_high"),
        paper=_text(row["paper"]),
        control=f"{against} {_CONTROLS.get(control, _side(control))}" if against else "",
        control_difference=_difference(row, "control_difference", "control_low", "control_high")
        if against
        else "",
        control_met=against == _AGAINST["better"],
        hover=", ".join(known),
        unmet=bool(row.get("unmet", False)),
    )


def _difference(row: pd.Series, value: str, low: str, high: str) -> str:
    if pd.isna(row[value]):
        return ""
    sign = "+" if row[value] > 0 else ""
    return f"{sign}{_number(row[value])} [{_number(row[low])}, {_number(row[high])}]"


def _number(value: float) -> str:
    return format_value(value).replace("-", "−")


def _side(name: Any) -> str:
    """A method, or ``method@loss`` where two trainings are compared, in print."""
    method, _, loss = _text(name).partition("@")
    return f"{method_label(method)} ({loss.replace('_', ' ')})" if loss else method_label(method)


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
