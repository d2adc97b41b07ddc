"""Soft parts of the thorax as chords along the beam: body, lung cavity, heart, mediastinum, domes.

All lengths are reference millimetres, origin at mid-thorax, x to the patient's left, y downward.
Every organ is an ellipsoid-like solid, so its thickness along the beam has a closed form.
"""

from dataclasses import dataclass

import numpy as np

from data.phantom.cohort import Patient, Visit
from data.phantom.frame import Frame, Map

CAVITY_DEPTH = 172.0  # greatest front-to-back depth of the lungs


def chord(q: Map) -> Map:
    """Relative chord sqrt(1 - q) of an ellipsoid where q < 1, else 0."""
    return np.sqrt(np.maximum(np.float32(1) - q, np.float32(0)))


def merged(*q: Map) -> Map:
    """Relative chord of several ellipsoids as one body without creases: their 4-norm."""
    return np.sqrt(np.sqrt(np.asarray(sum(np.square(np.maximum(1 - e, 0)) for e in q), np.float32)))


def smooth_step(value: Map, low: float, high: float) -> Map:
    """Cubic step from 0 at `low` to 1 at `high` (which may be the smaller)."""
    t = np.asarray((value - np.float32(low)) * np.float32(1 / (high - low)))
    np.clip(t, 0, 1, out=t)
    step = t * t
    t *= np.float32(-2)
    t += np.float32(3)
    step *= t
    return step


def ellipse(x: Map, y: Map, cx: float, cy: float, rx: float, ry: float, tilt: float = 0.0) -> Map:
    """((x-cx)/rx)^2 + ((y-cy)/ry)^2 in axes turned by `tilt` degrees: < 1 inside."""
    dx, dy = x - np.float32(cx), y - np.float32(cy)
    if tilt:
        cos, sin = np.float32(np.cos(np.deg2rad(tilt))), np.float32(np.sin(np.deg2rad(tilt)))
        dx, dy = cos * dx + sin * dy, cos * dy - sin * dx
    return np.square(dx * np.float32(1 / rx)) + np.square(dy * np.float32(1 / ry))


@dataclass(frozen=True)
class Thorax:
    """The geometry of one patient at one visit, as functions of position."""

    patient: Patient
    view: str
    turn: float  # tangent of the turn about the body axis
    right_dome: float
    left_dome: float
    gas_bubble: float

    @classmethod
    def of(cls, patient: Patient, visit: Visit) -> "Thorax":
        right = patient.right_dome + visit.inspiration
        left = right + patient.dome_step
        turn = float(np.tan(np.deg2rad(visit.turn)))
        return cls(patient, visit.view, turn, right, left, visit.gas_bubble)

    def half_width(self, y: Map) -> Map:
        """Of the rib cage's inside at height y."""
        p = self.patient
        up = np.clip((np.float32(32) - y) / np.float32(32 - p.apex + 4), 0, 1)
        low = np.clip((y - np.float32(32)) / np.float32(120), 0, 1.5)
        upper = np.power(np.maximum(1 - up * up, 1e-6), np.float32(0.44))
        return np.float32(p.lung_half_width) * upper * (1 - np.float32(0.05) * low * low)

    def cavity(self, x: Map, y: Map) -> Map:
        """Thickness of the pleural cavity, mediastinum included."""
        p = self.patient
        up = np.clip((np.float32(32) - y) / np.float32(32 - p.apex), 0, None)
        low = np.clip((y - np.float32(32)) / np.float32(190), 0, None)
        depth = chord(up * up) * chord(low * low)
        return np.float32(CAVITY_DEPTH) * depth * chord(np.square(x / self.half_width(y)))

    def medial_edge(self, side: int, y: Map) -> Map:
        """|x| of the heart-and-mediastinum border at height y; side -1 = patient's right."""
        bulge = smooth_step(y, -40, 45)
        return np.float32(30) + np.float32(40 if side > 0 else 10) * bulge

    def dome(self, side: int) -> float:
        return self.left_dome if side > 0 else self.right_dome

    def lung_point(self, side: int, u: float, v: float) -> tuple[float, float]:
        """The point at u (0 medial .. 1 lateral) and v (0 apex .. 1 dome) of a lung."""
        top = self.patient.apex + 6
        y = top + v * (self.dome(side) - top)
        row = np.array([y], np.float32)
        inner, outer = float(self.medial_edge(side, row)[0]), float(self.half_width(row)[0])
        inner = min(inner, 0.8 * outer)
        return side * (inner + u * (outer - inner)), y

    def abdomen(self, x: Map, y: Map) -> Map:
        """Thickness of what lies under the hemidiaphragms, within the cavity."""
        right = self._dome(x, y, -66.0, self.right_dome, 69.0)
        left = self._dome(x, y, 70.0, self.left_dome, 66.0)
        centre = self._dome(x, y, 4.0, self.right_dome + 6, 80.0)
        return np.maximum(np.maximum(right, left), centre)

    @staticmethod
    def _dome(x: Map, y: Map, centre: float, top: float, width: float) -> Map:
        height = np.float32(72)
        across = np.abs((x - np.float32(centre)) * np.float32(1 / width))
        above = np.maximum(np.float32(top) + height - y, 0) / height
        return np.float32(215) * chord(across * across * np.sqrt(across) + above * above)

    def heart(self, x: Map, y: Map, enlargement: float) -> Map:
        """Thickness of the heart; 1 = normal, 1.4 = a cardiothoracic ratio near 0.6."""
        p = self.patient
        scale = p.heart * (1.12 if self.view == "AP" else 1.0) * enlargement
        x = x - np.float32(60 * self.turn + 5)
        base = 0.5 * (self.right_dome + self.left_dome) + 14
        grown = scale - 1
        left_ventricle = ellipse(
            x,
            y,
            16 + 16 * grown,
            base - 42 + 10 * grown,
            67 * scale,
            47 * (0.35 + 0.65 * scale),
            p.heart_tilt,
        )
        right_atrium = ellipse(
            x, y, -6 - 6 * grown, base - 38, 37 * scale, 46 * (0.7 + 0.3 * scale)
        )
        outflow = ellipse(x, y, 12, base - 88, 26 * (0.6 + 0.4 * scale), 50, -14)
        return np.float32(118 * (0.6 + 0.4 * scale)) * merged(left_ventricle, right_atrium, outflow)

    def mediastinum(self, x: Map, y: Map) -> Map:
        """Thickness of great vessels, oesophagus, nodes and the tissue around the spine."""
        p = self.patient
        front = x - np.float32(40 * self.turn)
        widening = 1 + np.float32(0.3) * smooth_step(y, p.apex + 32, p.apex - 4)
        slab = np.square((front - 1) / (np.float32(21) * widening))
        cava = ellipse(front, y, -12, -40, 16, 95)
        ascending = ellipse(front, y, -9, -30, 23, 46)
        arch_y = p.apex + 68
        arch = ellipse(front, y, 12, arch_y, 10 + p.arch, 1.4 * p.arch)
        window = ellipse(front, y, 14, arch_y + 24, 20, 30)
        down = smooth_step(y, arch_y, arch_y + 12)
        descending = np.float32(60) * down * chord(np.square((x - 20) / np.float32(p.arch)))
        behind_heart = 1 - np.float32(0.6) * smooth_step(y, arch_y + 10, arch_y + 70)
        thin = 1 - np.float32(0.55) * smooth_step(y, p.apex + 70, p.apex)
        vessels = (
            np.float32(125) * behind_heart * thin * merged(slab, cava, ascending, arch, window)
        )
        return np.maximum(vessels, descending)

    def body(self, x: Map, y: Map) -> Map:
        """Thickness of the whole body, lungs as if solid: trunk, shoulders, neck, arms, breasts."""
        p = self.patient
        half = p.lung_half_width + 17 + p.girth
        narrowing = 1 - np.float32(0.22) * smooth_step(y, p.apex + 105, p.apex)
        depth = np.float32(CAVITY_DEPTH + 34 + 1.1 * p.girth) * narrowing
        shoulder_line = p.apex - 34 - 0.25 * p.girth + self._shoulder_slope(x)
        below = np.maximum(y - shoulder_line, 0)
        rise = chord(np.square(np.maximum(1 - below / np.float32(48), 0)))
        shoulders = smooth_step(y, p.apex + 185, p.apex + 75)
        flank = np.abs(x) / (np.float32(half) + np.float32(68) * shoulders)
        trunk = depth * rise * chord(np.square(np.square(flank)))
        trunk = trunk * (1 - np.float32(0.18) * shoulders * smooth_step(flank, 0.35, 0.8))
        neck = np.float32(135 + 0.8 * p.girth) * chord(
            np.square(np.square(x / np.float32(56 + 0.3 * p.girth)))
        )
        neck = neck * smooth_step(y, p.apex + 35, p.apex - 5)
        arm_radius = 42 + 0.5 * p.girth
        arm_x = half + p.arms_away + arm_radius + 0.10 * (y - np.float32(p.apex))
        arm = np.float32(2.5 * arm_radius) * smooth_step(y, p.apex + 10, p.apex + 70)
        arm = arm * chord(np.square((np.abs(x) - arm_x) / np.float32(arm_radius)))
        solid = np.maximum.reduce([trunk, neck, arm])
        return solid + self._breasts(x, y)

    def _shoulder_slope(self, x: Map) -> Map:
        out = np.maximum(np.abs(x) - np.float32(45), 0)
        return np.float32(0.17) * out + np.float32(0.0006) * out * out

    def _breasts(self, x: Map, y: Map) -> Map:
        p = self.patient
        cy = p.apex + 170
        radius = 58 + 0.5 * p.breast
        q = ellipse(
            np.abs(x - np.float32(60 * self.turn)), y, 84 + 0.2 * p.girth, cy, radius, radius
        )
        crease = smooth_step(y, p.apex + 100, cy + 20)  # fades upward, sharp below
        return np.float32(p.breast) * crease * chord(q)


@dataclass(frozen=True)
class SoftParts:
    """Thickness maps (side, side) in mm: water-like tissue, lung, and the heart above the domes."""

    tissue: Map
    lung: Map
    heart: Map


def soft_parts(
    thorax: Thorax, frame: Frame, body: Map, cavity: Map, enlargement: float
) -> SoftParts:
    """Divide the body into tissue and lung, with the heart at this size."""
    x, y = frame.x, frame.y
    heart = thorax.heart(x, y, enlargement)
    middle = np.sqrt(np.square(heart) + np.square(thorax.mediastinum(x, y)))
    abdomen = thorax.abdomen(x, y)
    lung = np.maximum(cavity - np.maximum(middle, abdomen), 0)
    return SoftParts(body - lung, lung, heart * (middle > abdomen))


def gas(thorax: Thorax, x: Map, y: Map) -> Map:
    """Thickness of air in the trachea, main bronchi and stomach, which replaces tissue."""
    p = thorax.patient
    carina = p.apex + 82
    middle = x - np.float32(25 * thorax.turn - 2)
    trachea = np.float32(17) * np.maximum(1 - np.square(middle / np.float32(9)), 0)
    trachea = trachea * smooth_step(y, carina + 6, carina - 8)
    total = trachea
    for side, slope in ((-1, 1.5), (1, 0.95)):
        along = side * middle
        below = y - np.float32(carina - 8) - np.float32(slope) * along
        bronchus = np.float32(12) * chord(np.square(below / np.float32(6 * np.hypot(1, slope))))
        total = np.maximum(total, bronchus * smooth_step(along, -3, 2) * smooth_step(along, 42, 26))
    if thorax.gas_bubble:
        width = thorax.gas_bubble
        cy = thorax.left_dome + 9 + 0.35 * width
        bubble = 1.4 * np.float32(width) * chord(ellipse(x, y, 66, cy, width, 0.42 * width))
        total = total + bubble * smooth_step(y, cy + 0.2 * width, cy + 0.2 * width - 3)
    return total
