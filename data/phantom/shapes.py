"""Healthy phantoms with drawn shapes on them: what a network learns before it learns films.

They play the part that ImageNet plays for real films, so they must not show the task: no finding,
no label of the NIH's, and no body of another set. A shape is extra attenuation, or less of it, and
goes through the same blur, noise and window as the body.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.config import PhantomConfig, ShapesConfig
from data.phantom import markers, projection
from data.phantom.anatomy import smooth_step
from data.phantom.cohort import Patient, Visit, draw_patient, draw_visits, stream
from data.phantom.film import close_shutter, parenchyma, rigid_parts, soft_tissue, technique
from data.phantom.frame import Map
from data.phantom.lesions import scene_of
from data.phantom.vessels import vessels

SHAPES_STREAM = 2_000_000  # added to the seed: above those of all NIH phantoms
VAL_EVERY = 8  # patients whose number is a multiple of this are the validation fold
MOST_KINDS = 3  # on a film
CONTRAST = (0.35, 1.2)  # extra attenuation of a shape: from faint to clear
DARK = 0.25  # of the shapes let more light through instead of less
SOFT = 0.3  # of half a shape's size, over which its edge fades at most
STEEP = 0.3  # slope of the window, relative to its steepest, where a shape can be seen
TRIES = 12  # places for a shape
MIDDLE = 0.04  # of the side: no shape's middle lies nearer to the film's midline

Form = Callable[[Map, Map, np.random.Generator], Map]


def _disc(u: Map, v: Map, _: np.random.Generator) -> Map:
    return 1 - np.hypot(u, v)


def _ring(u: Map, v: Map, _: np.random.Generator) -> Map:
    return np.float32(0.22) - np.abs(np.hypot(u, v) - np.float32(0.78))


def _square(u: Map, v: Map, _: np.random.Generator) -> Map:
    return np.float32(0.8) - np.maximum(np.abs(u), np.abs(v))


def _triangle(u: Map, v: Map, _: np.random.Generator) -> Map:
    return np.float32(0.5) - np.maximum(v, np.float32(0.866) * np.abs(u) - np.float32(0.5) * v)


def _bar(u: Map, v: Map, _: np.random.Generator) -> Map:
    return np.minimum(1 - np.abs(u), np.float32(0.2) - np.abs(v))


def _cross(u: Map, v: Map, rng: np.random.Generator) -> Map:
    return np.maximum(_bar(u, v, rng), _bar(v, u, rng))


def _stripes(u: Map, v: Map, rng: np.random.Generator) -> Map:
    lines = np.float32(0.17) - np.abs(np.mod(v + np.float32(0.35), np.float32(0.7)) - 0.35)
    return np.minimum(_disc(u, v, rng), lines)


def _blobs(u: Map, v: Map, rng: np.random.Generator) -> Map:
    angles = rng.uniform(0, 2 * np.pi) + np.arange(5) * 2 * np.pi / 5 + rng.normal(0, 0.2, 5)
    reach = rng.uniform(0.6, 0.75, 5)
    return np.maximum.reduce([
        np.float32(0.25) - np.hypot(u - np.float32(r * np.cos(a)), v - np.float32(r * np.sin(a)))
        for a, r in zip(angles, reach, strict=True)
    ])  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of shape: positive inside, in halves of its size; and its sizes in mm, at which its
    kind can be told."""

    form: Form
    sizes: tuple[float, float]


KINDS = {
    "disc": Kind(_disc, (20, 110)),
    "ring": Kind(_ring, (40, 110)),
    "square": Kind(_square, (32, 110)),
    "triangle": Kind(_triangle, (36, 110)),
    "bar": Kind(_bar, (45, 110)),
    "cross": Kind(_cross, (45, 110)),
    "stripes": Kind(_stripes, (50, 110)),
    "blobs": Kind(_blobs, (45, 110)),
}
HALVES = ("left_half", "right_half")  # of the film: where the middle of a shape lies
LABELS = (*KINDS, *HALVES, "AP")


@dataclass(frozen=True)
class ShapesCase:
    """One film to render: whose, and for which fold."""

    patient: Patient
    visit: Visit

    @property
    def image(self) -> str:
        return f"{self.patient.number:08d}_{self.visit.number:03d}.png"

    @property
    def fold(self) -> str:
        return "train" if self.patient.number % VAL_EVERY else "val"


@dataclass(frozen=True)
class ShapesFilm:
    """`image` (side, side) uint8; `labels` (L,) bool, as LABELS."""

    image: NDArray[np.uint8]
    labels: NDArray[np.bool_]


def shapes_cases(config: ShapesConfig) -> Iterator[ShapesCase]:
    """Whole patients by number until there are as many films as asked for, or a few more."""
    films = number = 0
    while films < config.num_films:
        number += 1
        patient = draw_patient(config.seed + SHAPES_STREAM, number)
        for visit in draw_visits(patient, PhantomConfig.exposure_jitter):
            films += 1
            yield ShapesCase(patient, visit)


def render_shapes_film(case: ShapesCase, side: int) -> ShapesFilm:
    """The film of a healthy body with none to three kinds of shapes, at most two of each.

    Without letters, which would say what the view is.
    """
    patient, visit = case.patient, case.visit
    technical = PhantomConfig(side=side)
    scene = scene_of(patient, visit, technical)
    frame = scene.frame
    mesh, grain = vessels(scene.thorax, frame), parenchyma(patient, frame)
    rigid = rigid_parts(scene.thorax, frame, scene.body)
    scale = np.float32(patient.size * visit.contrast)
    light = projection.primary(scale * (rigid + soft_tissue(scene.parts, mesh, grain, [])))
    stray = projection.scatter(light, technical.scatter)
    exposure = np.float32(technique(patient, visit))

    rng = stream(patient.seed, patient.number, visit.number, "shapes")
    slope = window_slope((light + stray) * exposure)
    extra = markers.leads(scene.thorax, frame, visit)
    present = dict.fromkeys(LABELS, False)
    present["AP"] = visit.view == "AP"
    kinds = rng.choice(list(KINDS), rng.integers(0, MOST_KINDS + 1), replace=False)
    for name in kinds:
        for _ in range(rng.integers(1, 3)):
            shape, half = _draw_shape(KINDS[name], slope, visit.field / side, rng)
            extra += shape
            present[name] = present[half] = True

    signal = projection.detect(
        (light * projection.primary(extra) + stray) * exposure,
        technical.quanta_per_mm2 * (visit.field / side) ** 2,
        stream(patient.seed, patient.number, visit.number, "noise").standard_normal(
            light.shape, dtype=np.float32
        ),
    )
    image = projection.window(signal)
    close_shutter(image, visit)
    return ShapesFilm(image, np.array([present[name] for name in LABELS]))


def window_slope(signal: Map) -> Map:
    """Change of grey with attenuation at each pixel, relative to the window's steepest."""
    grey = projection.window(signal).astype(np.float32) * np.float32(1 / 255)
    return 4 * grey * (1 - grey)


def _draw_shape(kind: Kind, slope: Map, pixel: float, rng: np.random.Generator) -> tuple[Map, str]:
    """Attenuation (side, side) of one shape and the half of the film that it lies in.

    `pixel` in mm. Of TRIES places the first where the window shows it, else the best of them.
    """
    low, high = kind.sizes
    side = len(slope)
    half_size = 0.5 * low * (high / low) ** rng.random() / pixel
    turn, softness = rng.uniform(0, 2 * np.pi), SOFT * rng.random() ** 2
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    faint, clear = CONTRAST
    contrast = faint * (clear / faint) ** rng.random() * (-1 if rng.random() < DARK else 1)
    best, where = -1.0, (0.0, 0.0)
    for _ in range(TRIES):
        across, down = rng.uniform(0.05, 0.5 - MIDDLE), rng.uniform(0.05, 0.95)
        across = across if rng.random() < 0.5 else 1 - across
        seen = float(slope[int(down * side), int(across * side)])
        if seen > best:
            best, where = seen, (across, down)
        if seen > STEEP:
            break
    across, down = where
    index = np.arange(side, dtype=np.float32)
    x = (index[None, :] - np.float32(across * side)) / np.float32(half_size)
    y = (index[:, None] - np.float32(down * side)) / np.float32(half_size)
    inside = kind.form(cos * x + sin * y, cos * y - sin * x, rng)
    edge = softness + 0.5 / half_size  # half a pixel at least
    shape = np.float32(contrast) * smooth_step(inside, -edge, edge)
    return shape, HALVES[across > 0.5]
