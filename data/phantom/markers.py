"""What lies on the film beside the body: side letters, leads and tubes, and a planted token.

Leads and tubes lie where findings lie, but know nothing of them. The planted token is the only
mark that may: it is the shortcut whose place and strength are known.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from data.config import PhantomConfig, PlantedShortcut
from data.phantom.anatomy import Thorax
from data.phantom.cohort import Patient, Visit, stream
from data.phantom.frame import Frame, Map

LETTER = 3.5  # attenuation of a lead letter
ELECTRODE, WIRE, TUBE = 0.5, 0.35, 0.22  # attenuations of what is stuck to or in the patient
LEADS_CHANCE = {"AP": 0.45, "PA": 0.04}  # ours: bedside films show monitored patients
LINE_CHANCE = {"AP": 0.35, "PA": 0.05}
PLANTED_FINDING = "Mass"  # the label that the planted token goes with
PLANTED_IF_PRESENT, PLANTED_IF_ABSENT = 0.95, 0.05
VISIBLE = 0.02  # attenuation from which a pixel belongs to the region of a mark
FINE = 16  # sub-pixel steps of drawn coordinates


def letters(patient: Patient, visit: Visit, side: int) -> Map:
    """Attenuation (side, side) of L or R beside a shoulder (L at the film's right), AP below it."""
    rng = stream(patient.seed, patient.number, visit.number, "marker")
    x, y, size = rng.uniform(0.02, 0.09), rng.uniform(0.05, 0.16), rng.uniform(0.5, 1.0)
    plate = np.zeros((2 * side, 2 * side), np.uint8)
    scale = size * side / 512
    for k, word in enumerate([visit.marker] + (["AP"] if visit.view == "AP" else [])):
        height, stroke = 2.6 * scale * 0.7**k, max(round(8 * scale), 1)
        (width, _), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_SIMPLEX, height, stroke)
        left = 2 * side * x if visit.marker == "R" else 2 * side * (1 - x) - width
        at = (int(left), int(2 * side * y + 90 * k * scale))
        cv2.putText(plate, word, at, cv2.FONT_HERSHEY_SIMPLEX, height, 255, stroke, cv2.LINE_AA)
    return np.float32(LETTER) * _shrunk(plate, side)


def leads(thorax: Thorax, frame: Frame, visit: Visit) -> Map:
    """Attenuation (side, side) of monitoring leads with electrodes, and of a line or tube."""
    p = thorax.patient
    rng = stream(p.seed, p.number, visit.number, "leads")
    monitored, line = rng.random(2) < (LEADS_CHANCE[visit.view], LINE_CHANCE[visit.view])
    if not (monitored or line):
        return np.zeros_like(frame.x)
    plate = np.zeros((2 * frame.side, 2 * frame.side), np.uint8)
    if monitored:
        exit_x, exit_y = rng.uniform(-150, 150), rng.choice([-190.0, 190.0])
        for x, y in ((-95.0, -75.0), (95.0, -75.0), (100.0, 55.0))[: rng.integers(2, 4)]:
            x, y = x + rng.normal(0, 18), y + rng.normal(0, 18)
            bend = rng.normal(0, 35, 2)
            middle = (0.5 * (x + exit_x) + bend[0], 0.5 * (y + exit_y) + bend[1])
            _curve(plate, frame, [(x, y), middle, (exit_x, exit_y)], 1.6, WIRE)
            centre = _at(frame, np.array([[x, y]]))[0]
            radius = round(2 * FINE * 4.5 / frame.pixel)
            grey = _grey(ELECTRODE)
            cv2.circle(plate, tuple(map(int, centre)), radius, grey, -1, cv2.LINE_AA, 4)
    if line:
        _curve(plate, frame, _line_path(thorax, rng), 2.4, TUBE)
    return _shrunk(plate, frame.side)


def planted_token(
    patient: Patient, visit: Visit, findings: Sequence[str], config: PhantomConfig
) -> Map:
    """Attenuation (side, side) of the planted token, a ringed dot in a lower corner; 0 if absent.

    It is there on 95 % of the films with ``PLANTED_FINDING`` and on 5 % of the others, in both
    lists; nowhere where ``config.planted_shortcut`` is none.
    """
    side = config.side
    if config.planted_shortcut is PlantedShortcut.none:
        return np.zeros((side, side), np.float32)
    rng = stream(patient.seed, patient.number, visit.number, "planted")
    chance = PLANTED_IF_PRESENT if PLANTED_FINDING in findings else PLANTED_IF_ABSENT
    if rng.random() >= chance:
        return np.zeros((side, side), np.float32)
    plate = np.zeros((4 * side, 4 * side), np.uint8)
    x, y = rng.uniform(0.09, 0.12), rng.uniform(0.86, 0.91)
    x = x if rng.random() < 0.5 else 1 - x
    centre = (int(4 * side * x), int(4 * side * y))
    cv2.circle(plate, centre, int(0.13 * side), 255, max(int(0.04 * side), 1), cv2.LINE_AA)
    cv2.circle(plate, centre, int(0.05 * side), 255, -1, cv2.LINE_AA)
    return np.float32(LETTER) * _shrunk(plate, side)


def region(attenuation: Map) -> NDArray[np.bool_]:
    """Where a mark is seen, (side, side), with one pixel around it: the detector's blur."""
    seen = (attenuation > VISIBLE).astype(np.uint8)
    return cv2.dilate(seen, np.ones((3, 3), np.uint8)) > 0


def _line_path(thorax: Thorax, rng: np.random.Generator) -> list[tuple[float, float]]:
    """A central line from a shoulder to the superior vena cava, or a tube from mouth to stomach."""
    apex = thorax.patient.apex
    if rng.random() < 0.6:
        side = rng.choice([-1.0, 1.0])
        return [
            (side * 150, apex + rng.uniform(10, 60)),
            (side * rng.uniform(60, 90), apex + 28),
            (side * 22 + 4, apex + rng.uniform(38, 50)),
            (-14 + rng.normal(0, 3), apex + 75),
            (-17 + rng.normal(0, 3), apex + rng.uniform(95, 135)),
        ]
    return [
        (rng.normal(0, 4), apex - 80),
        (rng.normal(2, 3), apex + 60),
        (rng.normal(8, 3), thorax.left_dome - 10),
        (rng.uniform(30, 60), thorax.left_dome + 40),
    ]


def _at(frame: Frame, points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Body mm (n, 2) as fixed-point coordinates of a plate of twice the film's side."""
    pixels = points @ frame.to_pixel[:, :2].T + frame.to_pixel[:, 2]
    return np.rint((2 * pixels + 0.5) * FINE).astype(np.int32)


def _curve(
    plate: NDArray[np.uint8],
    frame: Frame,
    points: list[tuple[float, float]],
    width: float,
    attenuation: float,
) -> None:
    """A smooth line through the points, `width` mm wide: quadratic Bezier arcs between middles."""
    corners = np.array(points, np.float64)
    knots = np.vstack([corners[0], 0.5 * (corners[1:-2] + corners[2:-1]), corners[-1]])
    t = np.linspace(0, 1, 14)[:, None]
    arcs = [
        (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
        for a, b, c in zip(knots[:-1], corners[1:-1], knots[1:], strict=True)
    ]
    path = _at(frame, np.vstack(arcs))
    thick = max(round(2 * width / frame.pixel), 1)
    cv2.polylines(plate, [path], False, _grey(attenuation), thick, cv2.LINE_AA, 4)


def _grey(attenuation: float) -> int:
    return round(255 * attenuation)


def _shrunk(plate: NDArray[np.uint8], side: int) -> Map:
    small = cv2.resize(plate, (side, side), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)
