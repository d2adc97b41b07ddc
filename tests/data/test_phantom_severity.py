"""Severity of zones: how often each score is drawn, and what it does to a film."""

import numpy as np
import pytest

from data.brixia_score import DETECTORS
from data.config import BrixiaPhantomConfig, PhantomConfig
from data.phantom.brixia_film import render_scored_film
from data.phantom.brixia_layout import scored_cases
from data.phantom.cohort import draw_patient, draw_visits, stream
from data.phantom.patches import BASAL_CHANCE, PATCHINESS, draw_patchy_scores
from data.phantom.scored_difficulty import SCORED_PINNED, scored_difficulty_hash, scores_of


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    """Scores (films, 6) of each version, of the same visits."""
    visits = [
        (patient, visit)
        for patient in (draw_patient(1, number) for number in range(1, 1500))
        for visit in draw_visits(patient, 0.2)
    ]
    return {
        version: np.array([scores_of(version)(*each) for each in visits])
        for version in SCORED_PINNED
    }


@pytest.mark.parametrize("version", SCORED_PINNED)
def test_scores_are_as_frequent_as_brixias_and_basal_on_average(
    drawn: dict[str, np.ndarray], version: str
) -> None:
    scores = drawn[version]
    assert scores.sum(axis=1).mean() == pytest.approx(8.4, abs=0.6)  # BrixIA's train mean 8.38
    published = {"Detector01": 191 / 207, "Detector2": 160 / 207, "Detector3": 103 / 207}
    for name, values in DETECTORS.items():
        assert np.isin(scores, values).any(axis=1).mean() == pytest.approx(
            published[name], abs=0.06
        )
    upper, middle, lower = scores.reshape(-1, 2, 3).mean(axis=(0, 1))
    assert upper < middle < lower


def test_zones_of_v2_differ_within_a_film_whatever_its_burden(
    drawn: dict[str, np.ndarray],
) -> None:
    spread = {version: scores.std(axis=1) for version, scores in drawn.items()}
    assert spread["v1"].mean() < 0.7
    assert spread["v2"].mean() > 0.85
    together = {}
    for version, scores in drawn.items():
        correlations = np.corrcoef(scores.T)[np.triu_indices(6, 1)]
        together[version] = correlations.mean()
    assert together["v1"] > 0.45
    assert together["v2"] < 0.25
    burden = drawn["v2"].sum(axis=1)
    assert abs(np.corrcoef(burden, spread["v2"])[0, 1]) < 0.1


def test_half_of_the_patients_of_v2_have_no_basal_gradient() -> None:
    """Whether they have is the patient's second draw."""
    differences = {True: [], False: []}
    for number in range(1, 1500):
        patient = draw_patient(1, number)
        once = stream(patient.seed, number, -1, "patches")
        once.beta(*PATCHINESS)
        scores = draw_patchy_scores(patient, draw_visits(patient, 0.2)[0])
        scores = scores.reshape(2, 3).astype(float)
        differences[once.random() < BASAL_CHANCE].append(
            float((scores[:, 2] - scores[:, 0]).mean())
        )
    assert abs(len(differences[True]) - len(differences[False])) < 4 * np.sqrt(1500)
    assert abs(np.mean(differences[False])) < 0.15
    assert np.mean(differences[True]) > 0.4


def test_a_version_of_scores_that_stands_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"brixia\.phantom\.version is 'v9'.*v1, v2"):
        next(scored_cases(BrixiaPhantomConfig(version="v9")))


@pytest.mark.parametrize("version", SCORED_PINNED)
def test_a_named_set_of_scored_films_keeps_its_numbers_or_changes_its_name(version: str) -> None:
    config = BrixiaPhantomConfig(version=version)
    assert scored_difficulty_hash(config) == SCORED_PINNED[version]
    other = BrixiaPhantomConfig(version=version, num_films=3, side=64, seed=5)
    assert scored_difficulty_hash(other) == SCORED_PINNED[version]


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
