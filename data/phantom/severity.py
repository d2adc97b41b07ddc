"""Severity of six lung zones, drawn like a pneumonia's and laid on the lungs as opacities.

The score's steps, as radiologists define them: 0 none, 1 interstitial, 2 interstitial and alveolar
with the former in front, 3 alveolar consolidation in front (Borghesi and Maroldi 2020).
"""

import numpy as np
from numpy.typing import NDArray

from data.lungs import Zones
from data.phantom.anatomy import smooth_step
from data.phantom.cohort import Patient, Visit, stream
from data.phantom.frame import Frame, Map
from data.phantom.lesions import Effect

# Ours, set so that scores are as frequent as BrixIA's (mean 8.4 of 18; any 0 or 1 on 92 % of the
# films, any 2 on 77 %, any 3 on 50 %), and basal on average as in life.
BURDEN = (1.5, 1.8)  # of the disease: shape of a beta distribution
GREATEST = 3.4  # mean severity of a zone at full burden
GRADIENT = (0.6, 1.0, 1.2)  # upper, middle, lower zone
ASYMMETRY = 0.2  # deviation of ln(right/left) / 2
ZONE_DEVIATION = 0.55
COURSE = 0.12  # deviation of the burden from visit to visit

EXTENT = (0.6, 1.1)  # of a zone's height that its opacity takes up
REACH = (0.55, 1.1)  # of a lung's width, from the chest wall inward
SOFTNESS = 0.3  # of a zone's height or lung's width, over which an opacity fades
RAGGED = 0.08  # of the same, deviation of its edge
DRIFT = 0.12  # of a zone's height, by which its opacity lies off its middle at most


def draw_burdened_scores(patient: Patient, visit: Visit) -> NDArray[np.uint8]:
    """Scores (6,) from 0 to 3 of zones A-F (v1); independent of view, pose and exposure."""
    once = stream(patient.seed, patient.number, -1, "severity")
    burden, tilt = once.beta(*BURDEN), once.normal(0, ASYMMETRY)
    noise = once.normal(0, ZONE_DEVIATION, 6)
    now = stream(patient.seed, patient.number, visit.number, "severity").normal(0, COURSE)
    sides = np.exp(np.repeat([tilt, -tilt], 3))
    severity = GREATEST * np.clip(burden + now, 0, 1) * np.tile(GRADIENT, 2) * sides + noise
    return np.rint(severity).clip(0, 3).astype(np.uint8)


def opacities(
    scores: NDArray[np.uint8], zones: Zones, frame: Frame, patient: Patient, visit: Visit
) -> Effect:
    """What scores (6,) do to the lung path: one effect for all zones of a film.

    An opacity begins at the chest wall, takes up a part of its zone that varies, and fades across
    the zone's borders. Its place is the patient's, its extent changes a little between visits.
    """
    open_part = np.ones_like(frame.x)
    for zone in np.flatnonzero(scores):
        if not zones.masks[zone].any():
            continue
        once = stream(patient.seed, patient.number, -1, f"zone {zone}")
        now = stream(patient.seed, patient.number, visit.number, f"zone {zone}")
        where = _envelope(zones.boxes[zone], bool(zone < 3), frame, once, now)
        open_part = open_part * (1 - where * _pattern(int(scores[zone]), frame, once))
    filled, nothing = 1 - open_part, np.zeros_like(open_part)
    return Effect(filled, nothing, nothing, (filled > 0.1) & zones.masks.any(axis=0))


def _envelope(
    box: NDArray[np.int64],
    at_left: bool,
    frame: Frame,
    once: np.random.Generator,
    now: np.random.Generator,
) -> Map:
    """How much of an opacity reaches each pixel, 0-1."""
    x, y, w, h = (float(number) for number in box)
    middle = 0.5 + once.uniform(-DRIFT, DRIFT)
    growth = float(np.exp(now.normal(0, 0.06)))
    extent, reach = once.uniform(*EXTENT) * growth, once.uniform(*REACH) * growth
    ragged = np.float32(RAGGED) * frame.body_noise(once, 16.0)
    pixels = np.arange(frame.side, dtype=np.float32)
    down = np.abs((pixels - np.float32(y)) / np.float32(h) - np.float32(middle))[:, None] + ragged
    across = (pixels - np.float32(x)) / np.float32(w)
    from_wall = (across if at_left else 1 - across)[None, :] + ragged
    half, soft = 0.5 * extent, 0.5 * SOFTNESS
    within = smooth_step(down, half + soft, half - soft)
    return within * smooth_step(from_wall, reach + soft, reach - soft)


def _pattern(score: int, frame: Frame, once: np.random.Generator) -> Map:
    """Fraction of the lung path that is filled where the opacity is full."""
    lines = np.exp(-np.square(frame.body_noise(once, 8.0) * np.float32(3)))  # a net of septa
    clouds = smooth_step(frame.body_noise(once, 12.0), -0.9, 0.7)
    strength = np.float32(once.uniform(0.85, 1.15))
    if score == 1:
        filled = 0.07 + 0.26 * lines
    elif score == 2:
        filled = 0.15 + 0.25 * lines + 0.28 * clouds
    else:
        filled = 0.56 + 0.08 * lines + 0.22 * clouds
    return np.asarray(strength * filled, np.float32)
