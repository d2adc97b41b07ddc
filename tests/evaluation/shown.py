"""A film with its maps and a Table 1, as figures and pages show them."""

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
