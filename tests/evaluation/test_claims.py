"""Every claim is written down in words before its result, and nothing else is."""

import re
from pathlib import Path

from evaluation.claims import COMPARISONS, LOSS_CLAIM
from evaluation.method_names import METHOD_LABELS

DOCS = Path(__file__).parents[2] / "docs" / "claims.md"


def test_claims_are_unique_and_every_one_is_written_down_before_its_result():
    names = [comparison.claim for comparison in (*COMPARISONS, LOSS_CLAIM)]
    assert len(set(names)) == len(names)
    text = DOCS.read_text(encoding="utf-8")
    assert not [name for name in names if f"`{name}`" not in text]
    assert "`auc: weighted_bce = bce within 0.02`" in text
    assert "`ap: weighted_bce = bce within 0.02`" in text


def test_no_claim_in_words_is_without_its_comparison_and_its_source():
    rows = re.findall(r"^\| `(.+)` \| (.+?) \| .+ \|$", DOCS.read_text(encoding="utf-8"), re.M)
    known = {comparison.claim: comparison.source for comparison in (*COMPARISONS, LOSS_CLAIM)}
    written = {claim: source for claim, source in rows if " = bce within" not in claim}
    assert set(written) == set(known)
    for claim, source in written.items():
        assert source.replace(" and ", ", ").replace(",", "") == known[claim].replace(",", "")


def test_claims_name_only_known_methods():
    named = {m for c in COMPARISONS for m in (c.better, c.worse) if m is not None}
    assert named <= set(METHOD_LABELS)
