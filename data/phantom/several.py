"""Several lesions of one finding on a film: apart from each other, the last of them faint."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from data.config import PhantomConfig
from data.phantom.cohort import Patient, Visit, stream
from data.phantom.difficulty import difficulty_of
from data.phantom.lesions import Effect, Scene, effect, scene_of

FOCAL = ("Atelectasis", "Infiltration", "Mass", "Nodule", "Pneumonia")  # can lie at several places
MOST = 4  # lesions of a finding on a film
CANDIDATES = 16  # places tried, until there are as many lesions as drawn
# Places are chosen on a small copy of the film, whose side is always the same, so that films of
# one visit show the same lesions at any side. Around each, two of its pixels (12 mm) stay free of
# others: more than the detector's blur, so that what they change does not touch at any side.
COARSE = 64
GAP = 5  # of its pixels, side of the kernel by which a lesion is grown
SEEN = 0.5  # mm of water in place of lung that change a film by one grey level, at most
CLEAR = 60.0  # mm of lung along the beam, on average, where one of several lesions lies


def lesions(finding: str, scene: Scene, visit: Visit, config: PhantomConfig) -> list[Effect]:
    """The lesions of any finding but Cardiomegaly on a film, strongest first.

    Most often one. A patient who has the finding at several places has two to four lesions in clear
    lung, as far as they fit with a gap between them. The strongest has the densest shadow, in mm of
    water; the weakest is made fainter still.
    """
    patient = scene.thorax.patient
    places = _places(finding, patient, visit, config)
    found = [effect(finding, scene, visit, place) for place in places]
    if len(found) > 1:
        found[-1] = _thinned(found[-1], difficulty_of(config.version).faint)
    return found


def strongest_outline(
    finding: str, patient: Patient, visit: Visit, config: PhantomConfig
) -> NDArray[np.bool_] | None:
    """Where a reader would outline the strongest of several lesions (side, side); None of one."""
    place, *more = _places(finding, patient, visit, config)
    return effect(finding, scene_of(patient, visit, config), visit, place).mask if more else None


def _places(finding: str, patient: Patient, visit: Visit, config: PhantomConfig) -> list[str]:
    """Where the patient has this finding on this film, strongest first."""
    alone = [""]
    chance = difficulty_of(config.version).several
    if finding not in FOCAL or not chance:
        return alone
    rng = stream(patient.seed, patient.number, -1, f"several {finding}")
    if rng.random() >= chance:
        return alone
    wanted = int(rng.integers(2, MOST + 1))
    scene = scene_of(patient, visit, replace(config, side=COARSE))
    strength: dict[str, float] = {}
    taken = np.zeros_like(scene.lung, bool)
    for place in (*alone, *(f" {number}" for number in range(1, CANDIDATES))):
        act = effect(finding, scene, visit, place)
        shadow = act.filled * scene.lung
        here = _grown(shadow > SEEN)
        clear = act.mask.any() and scene.lung[act.mask].mean() > CLEAR
        if clear and not (here & taken).any():
            strength[place] = float(shadow.max())
            taken |= here
        if len(strength) == wanted:
            break
    return sorted(strength, key=lambda place: -strength[place]) or alone


def _grown(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return cv2.dilate(region.astype(np.uint8), np.ones((GAP, GAP), np.uint8)) > 0


def _thinned(one: Effect, density: float) -> Effect:
    """The same lesion with this part of its density; its outline stays."""
    return one._replace(filled=np.float32(density) * one.filled)
