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
# What a finding draws, per patient: lengths in mm, slopes and tilts in degrees unless a tangent,
# densities as fractions of the lung path, u and v as in Thorax.lung_point.
RANGES: dict[str, tuple[float, float]] = {
    "heart enlargement": (1.15, 1.42),
    "nodule radius": (8.5, 14.5),
    "nodule u": (0.15, 0.85),
    "nodule v": (0.1, 0.93),
    "nodule length": (1.0, 1.2),
    "nodule density": (1.6, 2.3),
    "mass radius": (18.0, 42.0),
    "mass u": (0.1, 0.8),
    "mass v": (0.12, 0.88),
    "infiltration u": (0.15, 0.75),
    "infiltration v": (0.25, 0.95),
    "infiltration width": (34.0, 66.0),
    "infiltration height": (34.0, 74.0),
    "infiltration tilt": (-30.0, 30.0),
    "infiltration thickness": (48.0, 95.0),
    "pneumonia u": (0.1, 0.8),
    "pneumonia v": (0.1, 0.95),
    "pneumonia width": (27.0, 52.0),
    "pneumonia height": (27.0, 54.0),
    "pneumonia density": (0.3, 0.56),
    "pneumonia fissure slope": (-0.25, 0.35),
    "sail top": (-25.0, 5.0),
    "sail foot": (38.0, 70.0),
    "sail density": (0.42, 0.75),
    "plate u": (0.3, 0.65),
    "plate v": (0.7, 0.98),
    "plate length": (60.0, 105.0),
    "plate slope": (-22.0, 22.0),
    "plate gap": (14.0, 24.0),
    "plate half-thickness": (3.0, 5.5),
    "plate depth": (32.0, 56.0),
    "effusion amount": (13.0, 76.0),
    "pneumothorax reach": (0.45, 1.0),
    "pneumothorax collapse": (0.22, 0.46),
}
PLATES_CHANCE = 0.6  # of plates, not a collapsed lobe, in atelectasis


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

    def uniform(self, quantity: str) -> float:
        return float(self.once.uniform(*RANGES[quantity]))

    def size(self, quantity: str) -> float:
        """Geometric within its range, growing or shrinking a little between visits."""
        low, high = RANGES[quantity]
        base = low * (high / low) ** self.once.random()
        return float(np.clip(base * np.exp(self.now.normal(0, 0.06)), low, high))

    def side(self) -> int:
        return int(self.once.choice([-1, 1]))


def enlargement(patient: Patient, visit: Visit) -> float:
    """Factor by which cardiomegaly widens this patient's heart."""
    return Draw(patient, visit, "Cardiomegaly").size("heart enlargement")


def effect(finding: str, scene: Scene, visit: Visit, place: str = "") -> Effect:
    """Of any finding but Cardiomegaly, a change of anatomy; `place` names another of its places."""
    return _EFFECTS[finding](scene, Draw(scene.thorax.patient, visit, finding + place))


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
    return np.asarray(thickness / np.maximum(scene.lung, 1), np.float32)


def _nodule(scene: Scene, draw: Draw) -> Effect:
    radius = draw.size("nodule radius")
    cx, cy = scene.thorax.lung_point(
        draw.side(), draw.uniform("nodule u"), draw.uniform("nodule v")
    )
    tilt, longer = float(draw.once.uniform(0, 180)), draw.uniform("nodule length")
    q = ellipse(scene.frame.x, scene.frame.y, cx, cy, radius * longer, radius / longer, tilt)
    dense = draw.uniform("nodule density")
    return _filling(scene, _share(scene, np.float32(2 * radius * dense) * chord(q)), 0.2)


def _mass(scene: Scene, draw: Draw) -> Effect:
    radius = draw.size("mass radius")
    cx, cy = scene.thorax.lung_point(draw.side(), draw.uniform("mass u"), draw.uniform("mass v"))
    dx, dy = scene.frame.x - np.float32(cx), scene.frame.y - np.float32(cy)
    angle = np.arctan2(dy, dx)
    lobes = draw.once.uniform(0, 0.09, 3) / np.array([1, 1, 1.5])
    phase = draw.once.uniform(0, 2 * np.pi, 3)
    reach = np.float32(radius) * sum(
        (np.float32(a) * np.cos((k + 2) * angle + np.float32(f)))
        for k, (a, f) in enumerate(zip(lobes, phase, strict=True))
    ) + np.float32(radius)
    q = (dx * dx + dy * dy) / np.square(reach)
    return _filling(scene, _share(scene, np.float32(1.8 * radius) * chord(q)), 0.2)


def _infiltration(scene: Scene, draw: Draw) -> Effect:
    side = draw.side()
    cx, cy = scene.thorax.lung_point(
        side, draw.uniform("infiltration u"), draw.uniform("infiltration v")
    )
    wide, high = draw.size("infiltration width"), draw.size("infiltration height")
    q = ellipse(scene.frame.x, scene.frame.y, cx, cy, wide, high, draw.uniform("infiltration tilt"))
    patches = scene.frame.body_noise(draw.once, 11.0) + 0.5 * scene.frame.body_noise(draw.once, 5.0)
    cloud = np.square(np.maximum(1 - q, 0)) * smooth_step(patches, -0.8, 1.1)
    cloud = cloud * smooth_step(side * scene.frame.x, 0, 12)
    return _filling(
        scene, _share(scene, np.float32(draw.size("infiltration thickness")) * cloud), 0.2
    )


def _pneumonia(scene: Scene, draw: Draw) -> Effect:
    """Consolidation of a segment: dense, one straight border at a fissure, air bronchograms."""
    side = draw.side()
    cx, cy = scene.thorax.lung_point(side, draw.uniform("pneumonia u"), draw.uniform("pneumonia v"))
    wide, high = draw.size("pneumonia width"), draw.size("pneumonia height")
    x, y = scene.frame.x - np.float32(cx), scene.frame.y - np.float32(cy)
    q = ellipse(x, y, 0, 0, wide, high)
    slope, upper = draw.uniform("pneumonia fissure slope") * side, draw.once.random() < 0.5
    fissure = (y - np.float32(slope) * x) * (1 if upper else -1) - np.float32(high * 0.35)
    texture = scene.frame.body_noise(draw.once, 8.0)
    region = smooth_step(q + np.float32(0.12) * texture, 1.0, 0.5) * smooth_step(fissure, 1.5, -1.5)
    region = region * smooth_step(side * scene.frame.x, 0, 12)
    bronchi = np.zeros_like(x)
    out = side * x + np.float32(0.8 * wide)  # from where they fan out, on the hilar side
    for angle in np.linspace(-0.5, 0.5, 4) + draw.once.uniform(-0.1, 0.1, 4):
        along = out * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
        off = y * np.float32(np.cos(angle)) - out * np.float32(np.sin(angle))
        off = off + np.float32(draw.once.uniform(-0.002, 0.002)) * along * along
        tube = smooth_step(np.abs(off), 2.4, 0.6) * smooth_step(along, 1.5 * wide, 0.9 * wide)
        bronchi = np.maximum(bronchi, tube * smooth_step(along, 0.3 * wide, 0.5 * wide))
    solid = np.float32(draw.size("pneumonia density")) * (1 + np.float32(0.15) * texture)
    return _filling(scene, solid * region, 0.3, np.float32(0.45) * bronchi)


def _atelectasis(scene: Scene, draw: Draw) -> Effect:
    """Plates above the diaphragm, or a collapsed lower lobe as a sail beside the spine."""
    if draw.once.random() < PLATES_CHANCE:
        return _plates(scene, draw)
    thorax, side = scene.thorax, draw.side()
    x, y = side * scene.frame.x, scene.frame.y
    top, bottom = draw.uniform("sail top"), thorax.dome(side) + 30
    down = np.clip((y - np.float32(top)) / np.float32(bottom - top), 0, 1)
    foot = draw.size("sail foot")
    edge = 24 + np.float32(foot) * down - np.float32(12) * down * (1 - down)
    sail = smooth_step(x - edge, 1.5, -1.5) * smooth_step(x, 4, 14) * smooth_step(down, 0, 0.12)
    shade = np.float32(draw.size("sail density"))
    return _filling(scene, shade * sail, 0.25)


def _plates(scene: Scene, draw: Draw) -> Effect:
    side = draw.side()
    cx, cy = scene.thorax.lung_point(side, draw.uniform("plate u"), draw.uniform("plate v"))
    length, slope = draw.size("plate length"), draw.uniform("plate slope")
    bow = draw.once.uniform(-0.004, 0.004)
    plates = np.zeros_like(scene.lung)
    for k in range(int(draw.once.integers(1, 3))):
        offset = k * draw.uniform("plate gap")
        shift = draw.once.uniform(-12, 12)
        thick = draw.uniform("plate half-thickness")
        a = np.deg2rad(slope + draw.once.uniform(-10, 10))
        cos, sin = np.float32(np.cos(a)), np.float32(np.sin(a))
        dx = scene.frame.x - np.float32(cx + shift)
        dy = scene.frame.y - np.float32(cy - offset)
        along, across = cos * dx + sin * dy, cos * dy - sin * dx
        across = across + np.float32(bow) * along * along
        band = chord(np.square(across / np.float32(thick)))
        ends = smooth_step(np.abs(along), 0.5 * length, 0.32 * length)
        plates = np.maximum(plates, band * ends)
    plates = plates * smooth_step(side * scene.frame.x, 0, 12)
    return _filling(scene, _share(scene, np.float32(draw.size("plate depth")) * plates), 0.25)


def _effusion(scene: Scene, draw: Draw) -> Effect:
    """Fluid from the costophrenic angle upward, its upper border rising along the chest wall."""
    thorax, side = scene.thorax, draw.side()
    y = scene.frame.y
    amount = draw.size("effusion amount")
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
    reach = draw.uniform("pneumothorax reach")
    shrunk = 1 - np.float32(draw.size("pneumothorax collapse")) * np.clip(
        1 - v / np.float32(reach), 0, 1
    )
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
