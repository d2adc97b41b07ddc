"""Rules by which films are shown, against brute force."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.examples import LEAST_SHARE, choose_examples, choose_scored, choose_two_sided


def by_brute_force(samples: pd.DataFrame, probabilities: list[float], count: int) -> list[int]:
    chosen = []
    for finding in dict.fromkeys(samples["finding"]):
        members = [i for i in range(len(samples)) if samples["finding"].iloc[i] == finding]
        exact = sorted(Fraction(probabilities[i]) for i in members)
        median = (exact[(len(exact) - 1) // 2] + exact[len(exact) // 2]) / 2
        members.sort(
            key=lambda i: (abs(Fraction(probabilities[i]) - median), samples["sample"].iloc[i])
        )
        chosen += members[:count]
    return chosen


@given(
    rows=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 64)), min_size=1, max_size=25),
    count=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_examples_are_the_nearest_to_their_findings_median(rows, count, seed):
    # Sixty-fourths are exact in floats, so ties are frequent and real.
    samples = pd.DataFrame({"finding": [finding for finding, _ in rows]})
    samples["sample"] = np.random.default_rng(seed).permutation(len(rows))
    samples.index = samples.index + 1000  # positions, not labels, are returned
    probabilities = [number / 64 for _, number in rows]
    chosen = choose_examples(samples, probabilities, count)
    assert list(chosen) == by_brute_force(samples, probabilities, count)


def test_the_two_middle_samples_tie_whatever_their_last_bits():
    samples = pd.DataFrame({"sample": [7, 5], "finding": "Mass"})
    for low in np.random.default_rng(0).random(50):
        assert list(choose_examples(samples, [low, 0.9871234567], 1)) == [1]


@pytest.mark.parametrize(
    ("probabilities", "count", "message"),
    [([0.5], 1, "each of 2"), ([0.5, np.nan], 1, "NaN"), ([0.5, 0.6], 0, "at least 1")],
)
def test_unusable_probabilities_or_counts_are_refused(probabilities, count, message):
    samples = pd.DataFrame({"sample": [0, 1], "finding": "Mass"})
    with pytest.raises(ValueError, match=message):
        choose_examples(samples, probabilities, count)


def boxed(*rows: tuple[str, str, float, float]) -> pd.DataFrame:
    """Samples (image, finding, x, w), all of one height."""
    frame = pd.DataFrame(rows, columns=["image", "finding", "x", "w"])
    return frame.assign(sample=np.arange(len(rows)), y=300.0, h=100.0)


def test_the_two_sided_finding_of_highest_probability_is_shown_with_all_its_boxes():
    samples = boxed(
        ("a", "Mass", 100, 200),  # at the left
        ("b", "Cardiomegaly", 412, 200),  # across the middle
        ("c", "Effusion", 100, 200),
        ("c", "Effusion", 700, 200),
        ("c", "Mass", 700, 200),  # another finding of the same film
    )
    assert list(choose_two_sided(samples, [0.9, 0.5, 0.7, 0.7, 0.8])) == [2, 3]
    assert list(choose_two_sided(samples, [0.9, 0.8, 0.7, 0.7, 0.8])) == [1]
    assert list(choose_two_sided(samples, [0.9, 0.7, 0.7, 0.7, 0.8])) == [1]  # a tie


@given(
    x=st.integers(-200, 1000), w=st.integers(30, 900), other=st.integers(30, 900), at=st.booleans()
)
def test_a_finding_is_two_sided_if_a_quarter_of_its_boxes_is_on_either_side(x, w, other, at):
    rows = [("a", "Mass", x, w)] + [("a", "Mass", 600, other)] * at
    columns = [range(max(int(x), 0), min(int(x + w), 1024)) for *_, x, w in rows]
    left = sum(column < 512 for span in columns for column in span)
    share = min(left, sum(map(len, columns)) - left) / max(sum(map(len, columns)), 1)
    assert bool(len(choose_two_sided(boxed(*rows), [0.5] * len(rows)))) == (share >= LEAST_SHARE)


def test_no_film_is_shown_where_none_is_two_sided():
    assert len(choose_two_sided(boxed(("a", "Mass", 0, 100)), [0.5])) == 0


def test_the_film_with_most_zones_of_score_3_and_other_scores_is_shown():
    scores = np.array(
        [[3, 0, 0, 0, 0, 0], [3, 3, 3, 3, 3, 3], [3, 0, 3, 0, 0, 1], [2, 0, 3, 3, 0, 1]]
    )
    assert choose_scored(scores) == 2
    assert choose_scored(scores[1:2]) is None
    assert choose_scored(scores[:0]) is None
