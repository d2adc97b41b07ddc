"""One film with zone scores: a pure function of patient, visit and scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.config import PhantomConfig
from data.lungs import Zones, six_zones, split_lungs
from data.phantom import projection
from data.phantom.cohort import Patient, Visit, stream
from data.phantom.film import HEART_SHADOW, _parenchyma, _rigid, _soft, _technique
from data.phantom.frame import Map
from data.phantom.lesions import scene_of
from data.phantom.severity import opacities
from data.phantom.vessels import vessels

LUNG_SEEN = 25.0  # mm of lung along the beam, at least, where a reader outlines lung


@dataclass(frozen=True)
class ScoredFilm:
    """attenuation (side, side) float32: -ln of the detected signal; lung: bool; its zones."""

    attenuation: Map
    lung: NDArray[np.bool_]
    zones: Zones


def render_scored_film(
    patient: Patient, visit: Visit, scores: NDArray[np.uint8], config: PhantomConfig
) -> ScoredFilm:
    """The film of this visit with these severities (6,) of zones A-F."""
    scene = scene_of(patient, visit, config)
    x, y = scene.frame.x, scene.frame.y
    middle = np.maximum(scene.thorax.heart(x, y, 1.0), scene.thorax.mediastinum(x, y))
    lung = (scene.lung > LUNG_SEEN) & (middle < HEART_SHADOW)
    lungs = split_lungs(lung)
    lung, zones = lungs.right | lungs.left, six_zones(lungs)
    rigid = _rigid(scene.thorax, scene.frame, scene.body)
    mesh, grain = vessels(scene.thorax, scene.frame), _parenchyma(patient, scene.frame)
    scale = np.float32(patient.size * visit.contrast)
    disease = opacities(scores, zones, scene.frame, patient, visit)
    tissue, air = scene.parts.tissue, scene.parts.lung
    light = projection.primary(scale * (rigid + _soft(tissue, air, mesh, grain, [disease])))
    light = light + projection.scatter(light, config.scatter)
    noise = stream(patient.seed, patient.number, visit.number, "noise").standard_normal(
        light.shape, dtype=np.float32
    )
    quanta = config.quanta_per_mm2 * (visit.field / config.side) ** 2
    signal = projection.detect(light * np.float32(_technique(patient, visit)), quanta, noise)
    return ScoredFilm(-np.log(signal), lung, zones)
