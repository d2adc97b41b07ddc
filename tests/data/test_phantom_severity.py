"""Severity of zones: how often each score is drawn, and what it does to a film."""

import numpy as np
import pytest

from data.brixia_score import DETECTORS
from data.config import PhantomConfig
from data.phantom.brixia_film import render_scored_film
from data.phantom.cohort import draw_patient, draw_visits
from data.phantom.severity import draw_scores


def test_scores_are_as_frequent_as_brixias_and_basal_on_average() -> None:
    scores = np.array(
        [
            draw_scores(patient, visit)
            for patient in (draw_patient(1, number) for number in range(1, 1500))
            for visit in draw_visits(patient, 0.2)
        ]
    )
    assert scores.sum(axis=1).mean() == pytest.approx(8.4, abs=0.6)  # BrixIA's train mean 8.38
    published = {"Detector01": 191 / 207, "Detector2": 160 / 207, "Detector3": 103 / 207}
    for name, values in DETECTORS.items():
        assert np.isin(scores, values).any(axis=1).mean() == pytest.approx(
            published[name], abs=0.06
        )
    upper, middle, lower = scores.reshape(-1, 2, 3).mean(axis=(0, 1))
    assert upper < middle < lower


def test_a_score_changes_its_zone_most_and_more_with_every_step() -> None:
    config = PhantomConfig(side=96, seed=1)
    added = np.zeros((4, 4, 6))
    for number in range(1, 5):
        patient = draw_patient(1, number)
        visit = draw_visits(patient, 0.2)[0]
        healthy = render_scored_film(patient, visit, np.zeros(6, np.uint8), config)
        for score in range(4):
            for zone in range(6):
                scores = np.zeros(6, np.uint8)
                scores[zone] = score
                film = render_scored_film(patient, visit, scores, config)
                change = film.attenuation - healthy.attenuation
                inside = np.array([change[mask].mean() for mask in healthy.zones.masks])
                added[number - 1, score, zone] = inside[zone]
                if score:
                    assert inside.argmax() == zone
                    # It may reach into the zones beside it on the same side, not across.
                    other_side = slice(3, 6) if zone < 3 else slice(0, 3)
                    assert inside[other_side].max() < 0.1 * inside[zone]
    assert (added[:, 0] == 0).all()
    assert (np.diff(added, axis=1) > 0).mean() > 0.97
    assert (np.diff(added.mean(axis=(0, 2))) > 0.01).all()


def test_opacities_vary_in_extent_and_cross_the_borders_of_zones() -> None:
    config = PhantomConfig(side=96, seed=1)
    extents, crossing = [], 0
    for number in range(1, 13):
        patient = draw_patient(1, number)
        visit = draw_visits(patient, 0.2)[0]
        healthy = render_scored_film(patient, visit, np.zeros(6, np.uint8), config)
        ill = render_scored_film(patient, visit, np.array([0, 3, 0, 0, 0, 0], np.uint8), config)
        touched = (ill.attenuation - healthy.attenuation) > 0.05
        shares = [touched[mask].mean() for mask in healthy.zones.masks]
        extents.append(shares[1])
        crossing += shares[0] > 0.01 or shares[2] > 0.01
    assert min(extents) > 0.15
    assert np.std(extents) > 0.08
    assert 3 <= crossing <= 11
