"""Rules by which films are shown, against brute force."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.examples import (
    LEAST_SHARE,
    choose_examples,
    median_and_worst,
    mixed_scores,
    on_both_sides,
)


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


def test_a_finding_across_the_middle_or_with_boxes_on_both_sides_is_two_sided():
    samples = boxed(
        ("a", "Mass", 100, 200),  # at the left
        ("b", "Cardiomegaly", 412, 200),  # across the middle
        ("c", "Effusion", 100, 200),
        ("c", "Effusion", 700, 200),
        ("c", "Mass", 700, 200),  # another finding of the same film
    )
    assert on_both_sides(samples).tolist() == [False, True, True, True, False]


@given(
    x=st.integers(-200, 1000), w=st.integers(30, 900), other=st.integers(30, 900), at=st.booleans()
)
def test_a_finding_is_two_sided_if_a_quarter_of_its_boxes_is_on_either_side(x, w, other, at):
    rows = [("a", "Mass", x, w)] + [("a", "Mass", 600, other)] * at
    columns = [range(max(int(x), 0), min(int(x + w), 1024)) for *_, x, w in rows]
    left = sum(column < 512 for span in columns for column in span)
    share = min(left, sum(map(len, columns)) - left) / max(sum(map(len, columns)), 1)
    assert on_both_sides(boxed(*rows)).all() == (share >= LEAST_SHARE)


@given(
    values=st.lists(st.integers(0, 64) | st.none(), max_size=25),
    seed=st.integers(0, 99),
)
def test_the_median_film_and_the_worst_of_those_predicted_right_are_shown(values, seed):
    iou = np.array([np.nan if value is None else value / 64 for value in values])
    right = np.random.default_rng(seed).random(len(values)) < 0.5
    chosen = median_and_worst(iou, right)
    known = np.flatnonzero(~np.isnan(iou))
    if not len(known):
        assert chosen == []
        return
    distance = np.abs(iou - np.median(iou[known]))
    assert chosen[0] == min(known, key=lambda i: (distance[i], i))
    worst = min((i for i in known if right[i]), key=lambda i: (iou[i], i), default=chosen[0])
    assert chosen[1:] == ([] if worst == chosen[0] else [worst])


def test_values_that_are_not_said_to_be_right_or_wrong_one_by_one_are_refused():
    with pytest.raises(ValueError, match="right or not"):
        median_and_worst([0.1, 0.2], [True])


def test_films_of_mixed_scores_have_two_zones_of_score_3_and_another_score():
    scores = np.array(
        [[3, 0, 0, 0, 0, 0], [3, 3, 3, 3, 3, 3], [3, 0, 3, 0, 0, 1], [2, 0, 3, 3, 3, 1]]
    )
    assert mixed_scores(scores).tolist() == [False, False, True, True]
