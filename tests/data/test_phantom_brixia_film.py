"""A film with zone scores: the same body as on the NIH phantoms, and the lungs that are scored."""

import numpy as np
import pytest

from data.config import PhantomConfig
from data.lungs import split_lungs
from data.phantom import projection
from data.phantom.brixia_film import render_scored_film
from data.phantom.cohort import draw_patient, draw_visits
from data.phantom.film import render_film
from data.phantom.lesions import scene_of

CONFIG = PhantomConfig(side=96, seed=3)
HEALTHY = np.zeros(6, np.uint8)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_without_severity_it_is_the_film_without_findings(number: int) -> None:
    patient = draw_patient(CONFIG.seed, number)
    visit = draw_visits(patient, CONFIG.exposure_jitter)[0]
    scored = render_scored_film(patient, visit, HEALTHY, CONFIG)
    plain = render_film(patient, visit, (), CONFIG).image
    shown = projection.window(np.exp(-scored.attenuation))
    same = np.abs(shown.astype(int) - plain.astype(int)) <= 1
    assert same[scored.lung].mean() > 0.97  # but for a marker or a shutter
    assert same.mean() > 0.85


def test_severity_changes_the_film_and_not_what_is_scored() -> None:
    patient = draw_patient(CONFIG.seed, 1)
    visit = draw_visits(patient, CONFIG.exposure_jitter)[0]
    healthy = render_scored_film(patient, visit, HEALTHY, CONFIG)
    ill = render_scored_film(patient, visit, np.full(6, 3, np.uint8), CONFIG)
    np.testing.assert_array_equal(ill.lung, healthy.lung)
    np.testing.assert_array_equal(ill.zones.masks, healthy.zones.masks)
    assert (ill.attenuation - healthy.attenuation)[healthy.lung].mean() > 0.1
    again = render_scored_film(patient, visit, np.full(6, 3, np.uint8), CONFIG)
    np.testing.assert_array_equal(again.attenuation, ill.attenuation)


def test_the_lungs_are_two_without_heart_and_abdomen() -> None:
    for number in range(1, 25):
        patient = draw_patient(CONFIG.seed, number)
        for visit in draw_visits(patient, CONFIG.exposure_jitter)[:1]:
            film = render_scored_film(patient, visit, HEALTHY, CONFIG)
            assert split_lungs(film.lung).doubts == ()
            np.testing.assert_array_equal(film.zones.masks.sum(axis=0), film.lung)
            scene = scene_of(patient, visit, CONFIG)
            assert (scene.lung[film.lung] > 0).all()
            assert not film.lung[scene.parts.heart > 30].any()
