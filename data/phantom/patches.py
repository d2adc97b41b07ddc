"""Severity of six zones that do not rise and fall together: an illness in patches (v2 of scores).

v1 draws one burden that all zones follow, most of them with a basal gradient: a regressor can read
the whole score off any zone, and its map has no reason to tell zones apart.
"""

import numpy as np
from numpy.typing import NDArray

from data.phantom.cohort import Patient, Visit, stream

# Ours, set so that whole scores stay as frequent as BrixIA's (see severity.py), while the scores of
# a film deviate by .9 within it, however many there are.
PATCHINESS = (3.2, 2.3)  # of the chance that a zone is ill: shape of a beta distribution
GRADE = (1.2, 3.2)  # severity of a patient's ill zones
GRADE_SHAPE = (2.4, 2.2)  # of a beta distribution between these
SPARED = 0.25  # severity of a zone that is not ill
ZONE_DEVIATION = 0.36
BASAL_CHANCE = 0.5  # of patients whose lower zones are ill more often than the upper
BASAL = 0.8  # by how much, in the log-odds from one row of zones to the next
COURSE = 0.2  # deviation of the grade from visit to visit


def draw_patchy_scores(patient: Patient, visit: Visit) -> NDArray[np.uint8]:
    """Scores (6,) from 0 to 3 of zones A-F; independent of view, pose and exposure."""
    once = stream(patient.seed, patient.number, -1, "patches")
    chance, basal = once.beta(*PATCHINESS), once.random() < BASAL_CHANCE
    low, high = GRADE
    grade = low + (high - low) * once.beta(*GRADE_SHAPE)
    log_odds = np.log(chance / (1 - chance)) + BASAL * basal * np.tile((-1.0, 0.0, 1.0), 2)
    ill = once.random(6) < 1 / (1 + np.exp(-log_odds))
    noise = once.normal(0, ZONE_DEVIATION, 6)
    now = stream(patient.seed, patient.number, visit.number, "patches").normal(0, COURSE)
    return np.rint(np.where(ill, grade + now, SPARED) + noise).clip(0, 3).astype(np.uint8)
