"""Guards what a reader is told of each claim: verdict, numbers, or why there are none."""

import numpy as np
import pandas as pd
import pytest

from evaluation.html_claims import MARKS, count_verdicts, view_claims
from tests.evaluation.shown import claim, undecided


def view(**changes: object):
    return view_claims(pd.DataFrame([claim(**changes)]))[0]


def test_a_decided_claim_shows_both_values_the_difference_and_its_interval():
    row = view()
    assert row.values == "Multi-layer IBA 0.300 · IBA 0.200"
    assert row.difference == "+0.100 [0.050, 0.150]"
    assert (row.verdict, row.mark) == ("holds", "✓")
    assert row.hover == "n = 120 of 79 patients, margin of relevance 0.030"


def test_no_p_value_is_among_what_is_shown():
    shown = str(view())
    assert "0.001" not in shown
    assert "0.988" not in shown


def test_an_undecided_claim_shows_its_numbers_and_how_many_patients_would_decide_it():
    (row,) = view_claims(pd.DataFrame([undecided()]))
    assert row.reason == "would need 120 patients, has 49"
    assert row.difference == "+0.100 [0.050, 0.150]"
    assert row.control == row.paper == ""


def test_a_claim_that_was_not_judged_has_its_reason_and_no_numbers():
    sides = ("better", "worse", "better_value", "worse_value", "difference", "n", "margin")
    row = view(verdict="not judged", reason="not measured", **dict.fromkeys(sides, np.nan))
    assert row.reason == "not measured"
    assert row.values == row.difference == row.hover == ""


@pytest.mark.parametrize(
    ("verdict", "words", "met"),
    [
        ("better", "better than where such findings usually are", True),
        ("no better", "no better than where such findings usually are", False),
        ("worse", "worse than where such findings usually are", False),
    ],
)
def test_a_control_is_said_in_words_with_its_difference(verdict, words, met):
    row = view(control_verdict=verdict)
    assert (row.control, row.control_met) == (words, met)
    assert row.control_difference == "−0.010 [−0.060, 0.040]"


def test_two_trainings_of_a_method_are_told_apart():
    row = view(better="inverse_iba@weighted_bce", worse="inverse_iba@bce")
    assert row.values == "Inverse IBA (weighted bce) 0.300 · Inverse IBA (bce) 0.200"


def test_a_claim_that_compares_with_zero_shows_one_value():
    assert view(worse=np.nan, worse_value=np.nan).values == "Multi-layer IBA 0.300"


def test_each_verdict_has_a_sign_of_its_own_and_another_is_refused():
    assert len(set(MARKS.values())) == len(MARKS) == 5
    with pytest.raises(ValueError, match="unknown verdict maybe"):
        view(verdict="maybe")


def test_verdicts_are_counted_in_words():
    verdicts = ["holds", "undecided", "undecided", "no relevant difference"]
    assert count_verdicts(pd.DataFrame({"verdict": verdicts})) == (
        "1 holds, 1 shows no relevant difference, 2 are undecided"
    )
