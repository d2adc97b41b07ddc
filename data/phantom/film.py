"""One film: a pure function of patient, visit and findings."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from data.config import PhantomConfig
from data.phantom import projection
from data.phantom.anatomy import Thorax, gas
from data.phantom.cohort import Patient, Visit, stream
from data.phantom.frame import Frame, Map
from data.phantom.lesions import Effect, effect, enlargement, scene_of
from data.phantom.skeleton import bones
from data.phantom.vessels import vessels

HEART_SHADOW = 14.0  # mm of heart along the beam that a reader sees as its border


@dataclass(frozen=True)
class Film:
    """`image` (side, side) uint8; `masks`: one bool (side, side) for each finding on it."""

    image: NDArray[np.uint8]
    masks: dict[str, NDArray[np.bool_]]


def render_film(
    patient: Patient, visit: Visit, findings: Sequence[str], config: PhantomConfig
) -> Film:
    """The film of this visit with exactly these findings.

    Body, pose, noise and every finding have streams of their own: leaving a finding out changes
    the film where that finding acts and nowhere else.
    """
    scene = scene_of(patient, visit, config)
    thorax, frame, healthy = scene.thorax, scene.frame, scene.parts
    effects = [effect(f, scene, visit) for f in findings if f != "Cardiomegaly"]
    masks = {
        f: e.mask
        for f, e in zip((f for f in findings if f != "Cardiomegaly"), effects, strict=True)
    }
    parts = healthy
    if "Cardiomegaly" in findings:
        parts = scene.with_heart(enlargement(patient, visit))
        masks["Cardiomegaly"] = parts.heart > HEART_SHADOW

    rigid = _rigid(thorax, frame, scene.body)
    mesh = vessels(thorax, frame)
    grain = _parenchyma(patient, frame)
    scale = np.float32(patient.size * visit.contrast)
    without = scale * (rigid + _soft(healthy.tissue, healthy.lung, mesh, grain, []))
    light = projection.primary(without)
    stray = projection.scatter(light, config.scatter)
    if findings:
        light = projection.primary(
            scale * (rigid + _soft(parts.tissue, parts.lung, mesh, grain, effects))
        )
    light = light * projection.primary(projection.LEAD * _marker(patient, visit, config.side))
    noise = stream(patient.seed, patient.number, visit.number, "noise").standard_normal(
        light.shape, dtype=np.float32
    )
    technique = _technique(patient, visit)
    quanta = config.quanta_per_mm2 * (visit.field / config.side) ** 2
    signal = projection.detect((light + stray) * np.float32(technique), quanta, noise)
    image = projection.window(signal)
    _close_shutter(image, visit)
    return Film(image, {f: masks[f] for f in findings})


def _soft(tissue: Map, lung: Map, mesh: Map, grain: Map, effects: Sequence[Effect]) -> Map:
    """Attenuation of soft tissue, lung and vessels, with what the findings do to the lung path."""
    vessel = mesh * np.minimum(lung * np.float32(1 / 60), 1)
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
    water = tissue + lung * (1 - aerated) + lining
    return np.float32(projection.WATER) * water + parenchyma * aerated * in_place


def _rigid(thorax: Thorax, frame: Frame, body: Map) -> Map:
    """Attenuation of what no finding touches: bone, and gas in place of tissue."""
    covered = np.minimum(body * np.float32(1 / 25), 1)
    bone = np.float32(projection.BONE) * bones(thorax, frame) * covered
    air = np.minimum(gas(thorax, frame.x, frame.y), np.float32(0.5) * body)
    return bone - np.float32(projection.WATER) * air


def _parenchyma(patient: Patient, frame: Frame) -> Map:
    """Relative density of lung tissue: the patient's mean with an interstitial pattern."""
    rng = stream(patient.seed, patient.number, -1, "parenchyma")
    grain = 0.07 * frame.body_noise(rng, 22.0) + 0.05 * frame.body_noise(rng, 5.0)
    grain += 0.04 * frame.body_noise(rng, 2.5)
    return np.float32(patient.lung_density) * (1 + grain)


def _technique(patient: Patient, visit: Visit) -> float:
    """Relative exposure: the chart's for this girth and view, times this film's deviation."""
    chart = np.exp(0.95 * projection.WATER * 1.1 * (patient.girth - 14))
    return float(chart * visit.exposure)


def _marker(patient: Patient, visit: Visit, side: int) -> Map:
    """A lead letter beside a shoulder (L at the film's right), and AP written out."""
    plate = np.zeros((4 * side, 4 * side), np.uint8)
    rng = stream(patient.seed, patient.number, visit.number, "marker")
    x, y, size = rng.uniform(0.04, 0.09), rng.uniform(0.08, 0.2), rng.uniform(0.9, 1.3)
    if not visit.marker:
        return np.zeros((side, side), np.float32)
    left = x if visit.marker == "R" else 1 - x - 0.04
    scale = size * side / 256
    text = [visit.marker] + (["AP"] if visit.view == "AP" else [])
    for k, word in enumerate(text):
        at = (int(4 * side * left), int(4 * side * y + 100 * k * scale))
        cv2.putText(
            plate, word, at, cv2.FONT_HERSHEY_SIMPLEX, 2.6 * scale * 0.8**k, 255, int(9 * scale) + 1
        )
    small = cv2.resize(plate, (side, side), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)


def _close_shutter(image: NDArray[np.uint8], visit: Visit) -> None:
    """Black beyond the collimator's edges, in place."""
    side = image.shape[0]
    left, top, right, bottom = (round(part * side) for part in visit.shutter)
    image[:top] = 0
    image[side - bottom :] = 0
    image[:, :left] = 0
    image[:, side - right :] = 0
