"""One film with zone scores: a pure function of patient, visit and scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.config import PhantomConfig
from data.lungs import Zones, six_zones, split_lungs
from data.phantom import markers, projection
from data.phantom.cohort import Patient, Visit, stream
from data.phantom.film import HEART_SHADOW, parenchyma, rigid_parts, soft_tissue, technique
from data.phantom.frame import Map
from data.phantom.lesions import scene_of
from data.phantom.severity import opacities
from data.phantom.vessels import vessels

LUNG_SEEN = 25.0  # mm of lung along the beam, at least, where a reader outlines lung


@dataclass(frozen=True)
class ScoredFilm:
    """attenuation (side, side) float32: -ln of the detected signal; lung: bool; its zones.

    without: attenuation of the same film with one zone healthy, by the zone's number; of each zone
    with a score, if asked for.
    """

    attenuation: Map
    without: dict[int, Map]
    lung: NDArray[np.bool_]
    zones: Zones


def render_scored_film(
    patient: Patient,
    visit: Visit,
    scores: NDArray[np.uint8],
    config: PhantomConfig,
    *,
    with_counterfactuals: bool = False,
) -> ScoredFilm:
    """The film of this visit with these severities (6,) of zones A-F.

    `with_counterfactuals`: and the films with one zone healthy and all else equal, noise and stray
    light too.
    """
    scene = scene_of(patient, visit, config)
    x, y = scene.frame.x, scene.frame.y
    middle = np.maximum(scene.thorax.heart(x, y, 1.0), scene.thorax.mediastinum(x, y))
    lung = (scene.lung > LUNG_SEEN) & (middle < HEART_SHADOW)
    lungs = split_lungs(lung)
    lung, zones = lungs.right | lungs.left, six_zones(lungs)
    rigid = rigid_parts(scene.thorax, scene.frame, scene.body)
    mesh, grain = vessels(scene.thorax, scene.frame), parenchyma(patient, scene.frame)
    scale = np.float32(patient.size * visit.contrast)

    def light_with(shown: NDArray[np.uint8]) -> Map:
        disease = opacities(shown, zones, scene.frame, patient, visit)
        return projection.primary(
            scale * (rigid + soft_tissue(scene.parts, mesh, grain, [disease]))
        )

    light = light_with(scores)
    stray = projection.scatter(light, config.scatter)
    marks = markers.leads(scene.thorax, scene.frame, visit)
    marks += markers.letters(patient, visit, config.side)
    through, exposure = projection.primary(marks), np.float32(technique(patient, visit))
    noise = stream(patient.seed, patient.number, visit.number, "noise").standard_normal(
        light.shape, dtype=np.float32
    )
    quanta = config.quanta_per_mm2 * (visit.field / config.side) ** 2

    def attenuation_of(light: Map) -> Map:
        return -np.log(projection.detect((light * through + stray) * exposure, quanta, noise))

    without = {}
    for zone in np.flatnonzero(scores) if with_counterfactuals else ():
        healthy = scores.copy()
        healthy[zone] = 0
        without[int(zone)] = attenuation_of(light_with(healthy))
    return ScoredFilm(attenuation_of(light), without, lung, zones)
