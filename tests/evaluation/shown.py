"""A film with its maps, a Table 1 and claims, as figures and pages show them."""

import numpy as np
import pandas as pd

from evaluation.overlays import Example


def example(side: int, **changes: object) -> Example:
    """Noise with noise over it, as sample 3: a mass with one box."""
    rng = np.random.default_rng(0)
    fields = {
        "sample": 3,
        "image": "00000001_000.png",
        "finding": "Mass",
        "probability": 0.83,
        "film": rng.integers(0, 256, (side, side), dtype=np.uint8),
        "maps": {"iba": rng.random((side, side), dtype=np.float32)},
        "boxes": ((100.0, 200.0, 300.0, 400.0),),
    }
    return Example(**fields | changes)


def table1(**changes: object) -> pd.DataFrame:
    columns = {
        "method": ["gradient", "iba", "whole_image", "class_prior"],
        "paper": [0.114, 0.114, np.nan, np.nan],
        "iou": [0.2, 0.3, 0.07, 0.22],
        "ci_low": [0.18, 0.28, 0.06, 0.2],
        "ci_high": [0.22, 0.32, 0.08, 0.24],
        "primary": True,
    }
    return pd.DataFrame(columns | changes)


def claim(**changes: object) -> dict[str, object]:
    """A row of claims.csv: a claim that holds and whose control is no better than the method."""
    row = {
        "number": 4, "claim": "Multi-layer IBA localises best", "source": "Table 1",
        "verdict": "holds", "reason": np.nan, "metric": "mean IoU", "better": "multilayer_iba",
        "worse": "iba", "better_value": 0.3, "worse_value": 0.2, "difference": 0.1,
        "ci_low": 0.05, "ci_high": 0.15, "margin": 0.03, "p_difference": 0.001234,
        "p_equivalence": 0.987654, "n": 120, "n_patients": 79, "power": 0.9,
        "patients_needed": 60, "paper": "0.189 against 0.114", "control": "class_prior",
        "control_value": 0.31, "control_difference": -0.01, "control_low": -0.06,
        "control_high": 0.04, "control_verdict": "no better",
    }  # fmt: skip
    return row | changes


def undecided(**changes: object) -> dict[str, object]:
    """A row of claims.csv without numbers: too few patients, and no control."""
    given = claim(verdict="undecided", reason="would need 120 patients, has 49", paper=np.nan)
    empty = dict.fromkeys([name for name in given if name.startswith("control")], np.nan)
    return given | empty | changes


def unjudged(**changes: object) -> dict[str, object]:
    """A row of claims.csv of what a run did not measure."""
    numbers = ("better", "worse", "better_value", "worse_value", "difference", "n", "margin")
    reason = "not measured: iou: inverse_iba > iba"
    return (
        undecided(verdict="not judged", reason=reason, **dict.fromkeys(numbers, np.nan)) | changes
    )
