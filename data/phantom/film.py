"""One film: a pure function of patient, visit and findings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.config import PhantomConfig
from data.phantom import markers, projection
from data.phantom.anatomy import SoftParts, Thorax, gas
from data.phantom.cohort import Patient, Visit, stream
from data.phantom.frame import Frame, Map
from data.phantom.lesions import Effect, enlargement, scene_of
from data.phantom.several import lesions
from data.phantom.skeleton import bones
from data.phantom.vessels import vessels

LARGE_HEART_FINDING = "Cardiomegaly"  # the one that changes the anatomy, not the lung path
DEEP_LUNG = 110.0  # mm of lung along the beam that hold all the vessels of the mesh
HEART_SHADOW = 14.0  # mm of heart along the beam that a reader sees as its border


@dataclass(frozen=True)
class Film:
    """`image` (side, side) uint8; `masks`: one bool (side, side) for each finding on it.

    `changes`: per finding, uint8 (side, side), image minus the same film without that finding,
    modulo 256; empty unless asked for. `lesion_changes`: the same for each of a finding's lesions,
    strongest first; what is at one place is one lesion. `marks`, `planted`: bool (side, side),
    where letters, leads, tubes and the planted token lie; the latter alone.
    """

    image: NDArray[np.uint8]
    masks: dict[str, NDArray[np.bool_]]
    changes: dict[str, NDArray[np.uint8]]
    lesion_changes: dict[str, list[NDArray[np.uint8]]]
    marks: NDArray[np.bool_]
    planted: NDArray[np.bool_]


def render_film(
    patient: Patient,
    visit: Visit,
    findings: Sequence[str],
    config: PhantomConfig,
    *,
    with_changes: bool = False,
) -> Film:
    """The film of this visit with exactly these findings; `with_changes`: and what each changes.

    Body, pose, noise and every finding have streams of their own: leaving a finding out changes
    the film where that finding acts and nowhere else.
    """
    scene = scene_of(patient, visit, config)
    effects = {f: lesions(f, scene, visit, config) for f in findings if f != LARGE_HEART_FINDING}
    masks = {f: np.logical_or.reduce([e.mask for e in several]) for f, several in effects.items()}
    large = scene.parts
    if LARGE_HEART_FINDING in findings:
        large = scene.with_heart(enlargement(patient, visit))
        masks[LARGE_HEART_FINDING] = large.heart > HEART_SHADOW

    rigid = rigid_parts(scene.thorax, scene.frame, scene.body)
    mesh = vessels(scene.thorax, scene.frame)
    grain = parenchyma(patient, scene.frame)
    scale = np.float32(patient.size * visit.contrast)

    def light_with(shown: Sequence[str], missing: Effect | None = None) -> Map:
        parts = large if LARGE_HEART_FINDING in shown else scene.parts
        acting = [e for f in shown for e in effects.get(f, ()) if e is not missing]
        return projection.primary(scale * (rigid + soft_tissue(parts, mesh, grain, acting)))

    # The stray light of the healthy film serves all: a finding changes nothing far from itself.
    healthy = light_with(())
    stray = projection.scatter(healthy, config.scatter)
    # The token depends on the label, not on what is drawn: taking the lesion away leaves it there.
    token = markers.planted_token(patient, visit, findings, config)
    marks = markers.leads(scene.thorax, scene.frame, visit) + token
    marks += markers.letters(patient, visit, config.side)
    through = projection.primary(marks)
    exposure = np.float32(technique(patient, visit))
    noise = stream(patient.seed, patient.number, visit.number, "noise").standard_normal(
        healthy.shape, dtype=np.float32
    )
    quanta = config.quanta_per_mm2 * (visit.field / config.side) ** 2

    def image_of(light: Map) -> NDArray[np.uint8]:
        signal = projection.detect((light * through + stray) * exposure, quanta, noise)
        image = projection.window(signal)
        close_shutter(image, visit)
        return image

    image = image_of(light_with(findings) if findings else healthy)
    changed, each = {}, {}
    for finding in findings if with_changes else ():
        others = [f for f in findings if f != finding]
        changed[finding] = image - image_of(light_with(others) if others else healthy)
        each[finding] = [changed[finding]]
        first, *more = effects.get(finding, [None])
        if more:
            lights = [light_with(findings, lesion) for lesion in (first, *more)]
            each[finding] = [image - image_of(light) for light in lights]
    return Film(
        image,
        {f: masks[f] for f in findings},
        changed,
        each,
        markers.region(marks),
        markers.region(token),
    )


def soft_tissue(parts: SoftParts, mesh: Map, grain: Map, effects: Sequence[Effect]) -> Map:
    """Attenuation of soft tissue, lung and vessels, with what the findings do to the lung path."""
    lung = parts.lung
    vessel = mesh * np.minimum(lung * np.float32(1 / DEEP_LUNG), 1)
    aerated: Map | np.float32 = np.float32(1)
    in_place: Map | np.float32 = np.float32(1)
    lining: Map | np.float32 = np.float32(0)
    for e in effects:
        aerated = aerated * (1 - e.filled)
        in_place = in_place * (1 - e.emptied)
        lining = lining + e.lining
    parenchyma = lung * grain * np.float32(projection.LUNG) + vessel * np.float32(
        projection.WATER - projection.LUNG
    )
    water = parts.tissue + lung * (1 - aerated) + lining
    return np.float32(projection.WATER) * water + parenchyma * aerated * in_place


def rigid_parts(thorax: Thorax, frame: Frame, body: Map) -> Map:
    """Attenuation of what no finding touches: bone, and gas in place of tissue."""
    covered = np.minimum(body * np.float32(1 / 25), 1)
    bone = np.float32(projection.BONE) * bones(thorax, frame) * covered
    air = np.minimum(gas(thorax, frame.x, frame.y), np.float32(0.5) * body)
    return bone - np.float32(projection.WATER) * air


def parenchyma(patient: Patient, frame: Frame) -> Map:
    """Relative density of lung tissue: the patient's mean with an interstitial pattern."""
    rng = stream(patient.seed, patient.number, -1, "parenchyma")
    grain = 0.07 * frame.body_noise(rng, 22.0) + 0.05 * frame.body_noise(rng, 5.0)
    grain += 0.04 * frame.body_noise(rng, 2.5)
    return np.float32(patient.lung_density) * (1 + grain)


def technique(patient: Patient, visit: Visit) -> float:
    """Relative exposure: the chart's for this girth and view, times this film's deviation."""
    chart = np.exp(0.95 * projection.WATER * 1.1 * (patient.girth - 14))
    return float(chart * visit.exposure)


def close_shutter(image: NDArray[np.uint8], visit: Visit) -> None:
    """Black beyond the collimator's edges, in place."""
    side = image.shape[0]
    left, top, right, bottom = (round(part * side) for part in visit.shutter)
    image[:top] = 0
    image[side - bottom :] = 0
    image[:, :left] = 0
    image[:, side - right :] = 0
