"""The eight findings, each as what it does to the lung path: filled, emptied, or a larger heart.

A finding draws its place and size from the patient's stream (so that it stays from visit to
visit) and a little growth from the visit's. Its footprint does not depend on other findings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data.config import PhantomConfig
from data.phantom.anatomy import SoftParts, Thorax, chord, ellipse, smooth_step, soft_parts
from data.phantom.cohort import Patient, Visit, stream
from data.phantom.frame import Frame, Map, frame_of

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
)
LARGE_HEART = (1.24, 1.5)  # enlargement of the heart by cardiomegaly


@dataclass(frozen=True)
class Scene:
    """A patient at a visit without findings: geometry, pixels, and thickness maps in mm."""

    thorax: Thorax
    frame: Frame
    body: Map
    cavity: Map
    parts: SoftParts

    @property
    def lung(self) -> Map:
        return self.parts.lung

    def with_heart(self, enlargement: float) -> SoftParts:
        """The soft parts of the same body with its heart enlarged by this factor."""
        return soft_parts(self.thorax, self.frame, self.body, self.cavity, enlargement)


def scene_of(patient: Patient, visit: Visit, config: PhantomConfig) -> Scene:
    """What the findings of this visit act upon."""
    frame, thorax = frame_of(patient, visit, config.side), Thorax.of(patient, visit)
    body, cavity = thorax.body(frame.x, frame.y), thorax.cavity(frame.x, frame.y)
    return Scene(thorax, frame, body, cavity, soft_parts(thorax, frame, body, cavity, 1.0))


class Effect(NamedTuple):
    """Of a finding on the lung path at each pixel; all (side, side).

    `filled`: fraction replaced by water-like tissue; `emptied`: fraction replaced by air;
    `lining`: extra tissue in mm; `mask`: where a reader would outline the finding.
    """

    filled: Map
    emptied: Map
    lining: Map
    mask: np.ndarray


class Draw:
    """Random numbers of one finding: `once` per patient, `now` per visit."""

    def __init__(self, patient: Patient, visit: Visit, finding: str) -> None:
        self.once = stream(patient.seed, patient.number, -1, finding)
        self.now = stream(patient.seed, patient.number, visit.number, finding)

    def uniform(self, low: float, high: float) -> float:
        return float(self.once.uniform(low, high))

    def size(self, low: float, high: float) -> float:
        """Geometric between low and high, growing or shrinking a little between visits."""
        base = low * (high / low) ** self.once.random()
        return float(np.clip(base * np.exp(self.now.normal(0, 0.06)), low, high))

    def side(self) -> int:
        return int(self.once.choice([-1, 1]))


def enlargement(patient: Patient, visit: Visit) -> float:
    """Factor by which cardiomegaly widens this patient's heart."""
    return Draw(patient, visit, "Cardiomegaly").size(*LARGE_HEART)


def effect(finding: str, scene: Scene, visit: Visit) -> Effect:
    """Of any finding but Cardiomegaly, which changes the anatomy itself."""
    return _EFFECTS[finding](scene, Draw(scene.thorax.patient, visit, finding))


def _filling(scene: Scene, filled: Map, outline: float, holes: Map | None = None) -> Effect:
    """An opacity; outlined where it shadows at least `outline` of its densest shadow.

    `holes`: fraction of it that stays open inside, which the outline does not follow.
    """
    shadow = filled * scene.lung
    filled = np.minimum(filled if holes is None else filled * (1 - holes), np.float32(0.97))
    nothing = np.zeros_like(filled)
    return Effect(filled, nothing, nothing, shadow > outline * shadow.max())


def _share(scene: Scene, thickness: Map) -> Map:
    """The fraction of the lung path that this thickness takes up."""
    return thickness / np.maximum(scene.lung, 1)


def _nodule(scene: Scene, draw: Draw) -> Effect:
    radius = draw.size(6.0, 13.5)
    cx, cy = scene.thorax.lung_point(draw.side(), draw.uniform(0.15, 0.85), draw.uniform(0.1, 0.93))
    tilt, longer = draw.uniform(0, 180), draw.uniform(1.0, 1.2)
    q = ellipse(scene.frame.x, scene.frame.y, cx, cy, radius * longer, radius / longer, tilt)
    dense = draw.uniform(1.0, 1.5)
    return _filling(scene, _share(scene, np.float32(2 * radius * dense) * chord(q)), 0.2)


def _mass(scene: Scene, draw: Draw) -> Effect:
    radius = draw.size(17.0, 36.0)
    cx, cy = scene.thorax.lung_point(draw.side(), draw.uniform(0.1, 0.8), draw.uniform(0.12, 0.88))
    dx, dy = scene.frame.x - np.float32(cx), scene.frame.y - np.float32(cy)
    angle = np.arctan2(dy, dx)
    lobes = draw.once.uniform(0, 0.09, 3) / np.array([1, 1, 1.5])
    phase = draw.once.uniform(0, 2 * np.pi, 3)
    reach = np.float32(radius) * sum(
        (np.float32(a) * np.cos((k + 2) * angle + np.float32(f)))
        for k, (a, f) in enumerate(zip(lobes, phase, strict=True))
    ) + np.float32(radius)
    q = (dx * dx + dy * dy) / np.square(reach)
    return _filling(scene, _share(scene, np.float32(1.5 * radius) * chord(q)), 0.2)


def _infiltration(scene: Scene, draw: Draw) -> Effect:
    side = draw.side()
    cx, cy = scene.thorax.lung_point(side, draw.uniform(0.15, 0.75), draw.uniform(0.25, 0.95))
    wide, high = draw.size(24, 46), draw.size(26, 56)
    q = ellipse(scene.frame.x, scene.frame.y, cx, cy, wide, high, draw.uniform(-30, 30))
    patches = scene.frame.body_noise(draw.once, 11.0) + 0.5 * scene.frame.body_noise(draw.once, 5.0)
    cloud = np.square(np.maximum(1 - q, 0)) * smooth_step(patches, -0.8, 1.1)
    cloud = cloud * smooth_step(side * scene.frame.x, 0, 12)
    return _filling(scene, _share(scene, np.float32(draw.size(36, 80)) * cloud), 0.2)


def _pneumonia(scene: Scene, draw: Draw) -> Effect:
    """Consolidation of a segment: dense, one straight border at a fissure, air bronchograms."""
    side = draw.side()
    cx, cy = scene.thorax.lung_point(side, draw.uniform(0.25, 0.65), draw.uniform(0.25, 0.9))
    wide, high = draw.size(34, 56), draw.size(34, 58)
    x, y = scene.frame.x - np.float32(cx), scene.frame.y - np.float32(cy)
    q = ellipse(x, y, 0, 0, wide, high)
    slope, upper = draw.uniform(-0.25, 0.35) * side, draw.once.random() < 0.5
    fissure = (y - np.float32(slope) * x) * (1 if upper else -1) - np.float32(high * 0.35)
    texture = scene.frame.body_noise(draw.once, 8.0)
    region = smooth_step(q + np.float32(0.12) * texture, 1.0, 0.5) * smooth_step(fissure, 1.5, -1.5)
    region = region * smooth_step(side * scene.frame.x, 0, 12)
    bronchi = np.zeros_like(x)
    out = side * x + np.float32(0.8 * wide)  # from where they fan out, on the hilar side
    for angle in np.linspace(-0.5, 0.5, 4) + draw.once.uniform(-0.1, 0.1, 4):
        along = out * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
        off = y * np.float32(np.cos(angle)) - out * np.float32(np.sin(angle))
        off = off + np.float32(draw.uniform(-0.002, 0.002)) * along * along
        tube = smooth_step(np.abs(off), 2.4, 0.6) * smooth_step(along, 1.5 * wide, 0.9 * wide)
        bronchi = np.maximum(bronchi, tube * smooth_step(along, 0.3 * wide, 0.5 * wide))
    solid = np.float32(draw.size(0.38, 0.68)) * (1 + np.float32(0.15) * texture)
    return _filling(scene, solid * region, 0.3, np.float32(0.45) * bronchi)


def _atelectasis(scene: Scene, draw: Draw) -> Effect:
    """Plates above the diaphragm, or a collapsed lower lobe as a sail beside the spine."""
    if draw.once.random() < 0.6:
        return _plates(scene, draw)
    thorax, side = scene.thorax, draw.side()
    x, y = side * scene.frame.x, scene.frame.y
    top, bottom = draw.uniform(-25, 5), thorax.dome(side) + 30
    down = np.clip((y - np.float32(top)) / np.float32(bottom - top), 0, 1)
    foot = draw.size(38, 70)
    edge = 24 + np.float32(foot) * down - np.float32(12) * down * (1 - down)
    sail = smooth_step(x - edge, 1.5, -1.5) * smooth_step(x, 4, 14) * smooth_step(down, 0, 0.12)
    shade = np.float32(draw.size(0.35, 0.7))
    return _filling(scene, shade * sail, 0.25)


def _plates(scene: Scene, draw: Draw) -> Effect:
    side = draw.side()
    cx, cy = scene.thorax.lung_point(side, draw.uniform(0.3, 0.65), draw.uniform(0.7, 0.98))
    length, slope = draw.size(60, 105), draw.uniform(-22, 22)
    bow = draw.uniform(-0.004, 0.004)
    plates = np.zeros_like(scene.lung)
    for k in range(int(draw.once.integers(1, 3))):
        offset = k * draw.uniform(14, 24)
        shift = draw.uniform(-12, 12)
        thick = draw.uniform(2.4, 4.8)
        a = np.deg2rad(slope + draw.uniform(-10, 10))
        cos, sin = np.float32(np.cos(a)), np.float32(np.sin(a))
        dx = scene.frame.x - np.float32(cx + shift)
        dy = scene.frame.y - np.float32(cy - offset)
        along, across = cos * dx + sin * dy, cos * dy - sin * dx
        across = across + np.float32(bow) * along * along
        band = chord(np.square(across / np.float32(thick)))
        ends = smooth_step(np.abs(along), 0.5 * length, 0.32 * length)
        plates = np.maximum(plates, band * ends)
    plates = plates * smooth_step(side * scene.frame.x, 0, 12)
    return _filling(scene, _share(scene, np.float32(draw.size(26, 50)) * plates), 0.25)


def _effusion(scene: Scene, draw: Draw) -> Effect:
    """Fluid from the costophrenic angle upward, its upper border rising along the chest wall."""
    thorax, side = scene.thorax, draw.side()
    y = scene.frame.y
    amount = draw.size(16, 110)
    level = thorax.dome(side) + 34 - amount
    from_wall = np.maximum(thorax.half_width(y) - side * scene.frame.x, 0)
    climb = 16 + 0.22 * amount
    surface = np.float32(level) - np.float32(climb) * np.exp(-from_wall / np.float32(20))
    surface = surface + np.float32(0.10 * amount) * smooth_step(from_wall, 0, 70)
    blur = 4 + 0.10 * amount
    filled = smooth_step(y - surface, -blur, blur) * smooth_step(side * scene.frame.x, 0, 12)
    return _filling(scene, filled, 0.2)


def _pneumothorax(scene: Scene, draw: Draw) -> Effect:
    """The lung shrinks towards its hilum, most at the apex; between it and the wall lies air."""
    thorax, side = scene.thorax, draw.side()
    x, y = side * scene.frame.x, scene.frame.y
    apex = thorax.patient.apex
    v = (y - np.float32(apex)) / np.float32(thorax.dome(side) - apex)
    reach = draw.uniform(0.75, 1.2)
    shrunk = 1 - np.float32(draw.size(0.2, 0.5)) * np.clip(1 - v / np.float32(reach), 0, 1)
    left = thorax.cavity(34 + (x - 34) / shrunk, -14 + (y + 14) / shrunk)
    here = smooth_step(x, 14, 24) * (shrunk < 0.999)
    emptied = smooth_step(left, 22, 4) * here
    lining = np.float32(5) * smooth_step(left, 0, 14) * smooth_step(left, 42, 20) * here
    nothing = np.zeros_like(emptied)
    lining = lining * (scene.lung > 1)
    return Effect(nothing, emptied, lining, (emptied > 0.5) & (scene.lung > 6))


_EFFECTS: dict[str, Callable[[Scene, Draw], Effect]] = {
    "Atelectasis": _atelectasis,
    "Effusion": _effusion,
    "Infiltration": _infiltration,
    "Mass": _mass,
    "Nodule": _nodule,
    "Pneumonia": _pneumonia,
    "Pneumothorax": _pneumothorax,
}
