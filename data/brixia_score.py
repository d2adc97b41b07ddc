"""The Brixia score: six lung zones from 0 to 3, and what is learnt of them.

A, B, C are the upper, middle and lower zone at the image's left (the patient's right lung), D, E, F
those at the image's right. Source: Borghesi and Maroldi 2020; Signoroni et al. 2021.
"""

import re
from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

ZONES = ("A", "B", "C", "D", "E", "F")
DETECTORS = {  # published code: whether any zone has one of these scores; not exclusive
    "Detector01": (0, 1),
    "Detector2": (2,),
    "Detector3": (3,),
}
DETECTOR_OF_THREES, THREE = "Detector3", 3  # whose zones look alike to it
SIX_DIGITS = re.compile(r"[0-3]{6}", re.ASCII)


def parse_scores(
    digits: Collection[str], totals: Collection[str], total_name: str
) -> tuple[NDArray[np.uint8], list[str]]:
    """uint8 (N, 6) of N strings of six digits A-F, and for each "" or why it cannot be used.

    A score counts only if its zones add up to the total that stands beside it. No reason quotes a
    text: in a row that is shifted it may be a name.
    """
    scores = np.zeros((len(digits), len(ZONES)), np.uint8)
    reasons = [""] * len(digits)
    sums = pd.to_numeric(pd.Series(list(totals), dtype=object), errors="coerce")
    for row, (text, total) in enumerate(zip(digits, sums, strict=True)):
        if SIX_DIGITS.fullmatch(text) is None:
            reasons[row] = "the score is not six digits from 0 to 3: row skipped"
            continue
        scores[row] = [int(digit) for digit in text]
        if scores[row].sum() != total:
            reasons[row] = f"the score does not add up to {total_name}: row skipped"
    return scores, reasons


def label_columns(scores: NDArray[np.uint8]) -> pd.DataFrame:
    """uint8 columns A-F, score (their sum, 0-18) and the detectors, of zone scores (N, 6)."""
    labels = pd.DataFrame(scores, columns=list(ZONES))
    labels["score"] = scores.sum(axis=1, dtype=np.uint8)
    for name in DETECTORS:
        labels[name] = zones_of(name, scores).any(axis=1).astype(np.uint8)
    return labels


def zones_of(detector: str, scores: ArrayLike) -> NDArray[np.bool_]:
    """Which zones show what a detector looks for: bool, of the shape of ``scores`` (..., 6)."""
    return np.isin(scores, DETECTORS[detector])
