"""How hard the phantoms with zone scores are: names as in `difficulty.py`, of their own."""

import hashlib
import json
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from data.config import BrixiaPhantomConfig, PhantomConfig
from data.phantom.cohort import Patient, Visit
from data.phantom.difficulty import SHAPING, numbers_of
from data.phantom.patches import draw_patchy_scores
from data.phantom.severity import draw_burdened_scores

ScoreDraw = Callable[[Patient, Visit], NDArray[np.uint8]]

_DRAWS: dict[str, ScoreDraw] = {"v1": draw_burdened_scores, "v2": draw_patchy_scores}
SHAPING_SCORED = {"v1": ("brixia_film", "severity"), "v2": ("brixia_film", "patches", "severity")}
SCORED_PINNED = {
    "v1": "4b81f8323ee739795b0363bd0ca0f1bbfdb0e27829bde75e4d24c509ea279076",
    "v2": "fdcd25cf7a47cb65d300cd1cdf77ba0854e35cbd9dca0b5e69ca464bb5230542",
}


def scores_of(version: str) -> ScoreDraw:
    """What draws a visit's scores (6,) in the films of this name. ValueError for an unknown one."""
    if version not in _DRAWS:
        raise ValueError(
            f"brixia.phantom.version is {version!r}: it must be one of {', '.join(_DRAWS)}"
        )
    return _DRAWS[version]


def scored_difficulty_hash(config: BrixiaPhantomConfig) -> str:
    """sha256 (hex) of every number in the modules that shape a film of this version.

    Not of how many films, of which seed and of what side. Raises ValueError for an unknown version.
    """
    scores_of(config.version)
    common = PhantomConfig()
    content = {
        "settings": [common.exposure_jitter, common.quanta_per_mm2, common.scatter],
        "numbers": {m: numbers_of(m) for m in (*SHAPING, *SHAPING_SCORED[config.version])},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
