"""Splitting by patient: nobody on both sides, whatever the order of the rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.integrity import DataError
from data.splits import split_by_patient

patient_lists = st.lists(st.integers(1, 40), min_size=1, max_size=200)
fractions = st.floats(0, 0.99)
seeds = st.integers(0, 2**32)


@settings(max_examples=50, deadline=None)
@given(patients=patient_lists, fraction=fractions, seed=seeds)
def test_no_patient_stands_on_both_sides(patients, fraction, seed):
    in_val = split_by_patient(pd.Series(patients), fraction, seed)
    assert in_val.dtype == bool
    assert in_val.shape == (len(patients),)
    sides = pd.Series(in_val).groupby(patients).nunique()
    assert (sides == 1).all()


@settings(max_examples=50, deadline=None)
@given(patients=patient_lists, fraction=fractions, seed=seeds)
def test_the_share_of_films_is_within_half_a_patient(patients, fraction, seed):
    counts = pd.Series(patients).value_counts()
    in_val = split_by_patient(pd.Series(patients), fraction, seed)
    if fraction == 0 or len(counts) < 2:
        assert not in_val.any()
        return
    assert 0 < in_val.sum() < len(patients)  # both sides have a patient
    at_both_ends = min(fraction, 1 - fraction) * len(patients) < counts.max()
    bound = counts.max() if at_both_ends else counts.max() / 2
    assert abs(in_val.sum() - fraction * len(patients)) <= bound + 1e-9


@settings(max_examples=50, deadline=None)
@given(patients=patient_lists, fraction=fractions, seed=seeds, shuffle=seeds)
def test_the_split_does_not_depend_on_the_row_order(patients, fraction, seed, shuffle):
    series = pd.Series(patients)
    order = np.random.default_rng(shuffle).permutation(len(series))
    in_val = split_by_patient(series, fraction, seed)
    shuffled = split_by_patient(series.iloc[order], fraction, seed)
    np.testing.assert_array_equal(shuffled, in_val[order])


def test_the_seed_decides_who_goes_to_val():
    patients = pd.Series(np.repeat(np.arange(100), 3))
    splits = [split_by_patient(patients, 0.2, seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(splits[0], splits[1])
    assert (splits[0] != splits[2]).any()


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 12.0, float("nan")])
def test_a_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(DataError, match="fraction"):
        split_by_patient(pd.Series([1, 2, 3]), fraction, 0)


def test_a_film_without_a_patient_is_refused():
    with pytest.raises(DataError, match="patient"):
        split_by_patient(pd.Series([1.0, np.nan]), 0.5, 0)
