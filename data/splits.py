"""Splitting films into train and val so that no patient stands on both sides."""

import numpy as np
import pandas as pd

from data.integrity import DataError


def split_by_patient(patients: pd.Series, fraction: float, seed: int) -> np.ndarray:
    """Which films go to val: bool (N,) for the patients (N,) of N films.

    Whole patients are drawn at random until the share of films comes closest to ``fraction``; both
    sides get a patient where there are two. Depends on the patients and their film counts only,
    not on the row order. (The published code drew images, so patients stood on both sides.)
    Raises DataError for a fraction outside [0, 1) and for missing patients.
    """
    if not 0 <= fraction < 1:
        raise DataError(f"the val fraction is {fraction}: give a number from 0 up to, not with, 1")
    if patients.isna().any():
        raise DataError("a film without a patient cannot be split")
    ids, codes, counts = np.unique(patients.to_numpy(), return_inverse=True, return_counts=True)
    if fraction == 0 or len(ids) < 2:
        return np.zeros(len(codes), dtype=bool)
    order = np.random.default_rng(seed).permutation(len(ids))
    films = np.cumsum(counts[order])
    num_val = 1 + int(np.argmin(np.abs(films[:-1] - fraction * len(codes))))
    in_val = np.zeros(len(ids), dtype=bool)
    in_val[order[:num_val]] = True
    return in_val[codes]
