"""Guards docs/claims.md: every claim is written down in words with its numbers, and no other is."""

import re
from pathlib import Path

import pandas as pd
import pytest

from evaluation.claims import CLAIMS, FURTHER
from evaluation.loss_claim import IOU_MARGIN, QUALITY_MARGIN
from evaluation.method_names import METHOD_LABELS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")


def rows_of(heading: str) -> list[list[str]]:
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+) \|$", section, re.M)[1:]
    return [[cell.strip() for cell in row.split(" | ")] for row in rows]


def test_each_claim_is_written_down_with_its_source():
    written = [(int(number), claim, source) for number, claim, source, *_ in rows_of("The claims")]
    assert written == [(claim.number, claim.sentence, claim.source) for claim in CLAIMS]


def test_each_part_is_written_down_with_its_margin_effect_and_spread():
    written = [
        (int(number), name.strip("`"), *map(float, numbers))
        for number, name, *numbers in rows_of("Their parts")
    ]
    assert written == [
        (claim.number, part.name, part.margin, part.effect, part.spread)
        for claim in CLAIMS
        for part in claim.parts
    ]
    assert f"margin of {IOU_MARGIN:g}" in TEXT
    assert f"within {QUALITY_MARGIN:g}" in TEXT


def test_claims_and_further_comparisons_name_only_known_methods():
    parts = [part for claim in CLAIMS for part in (*claim.parts, *claim.controls)]
    named = {m for part in (*parts, *FURTHER) for m in (part.better, part.worse) if m}
    assert named <= set(METHOD_LABELS)


@pytest.mark.parametrize(
    ("number", "table", "methods"),
    [
        (4, "table1", ["multilayer_iba", "iba"]),
        (5, "table2", ["inverse_iba", "iba"]),
        (6, "table2", ["inverse_iba", "multilayer_iba", "integrated_gradients"]),
    ],
)
def test_the_papers_numbers_beside_a_claim_are_the_means_of_its_table(number, table, methods):
    values = pd.read_csv(ROOT / "evaluation" / "paper_values.csv")
    of_table = values[values["table"] == table]
    column = next(name for name in of_table if of_table[name].isin(methods).any())
    means = of_table.groupby(column)["value"].mean()
    printed = [float(text) for text in re.findall(r"\d\.\d+", CLAIMS[number - 1].paper)]
    assert printed == pytest.approx([means[method] for method in methods], abs=5e-4)
