"""Pairs of films with and without a finding."""

from pathlib import Path

import numpy as np
import pytest

from data.config import PhantomConfig
from data.phantom.causal import CAUSAL_GREY
from data.phantom.cohort import Patient, Visit, cohort, draw_patient, draw_visits
from data.phantom.counterfactual import pair_of, read_pair
from data.phantom.film import render_film
from data.phantom.lesions import FINDINGS
from data.phantom.nih_layout import render_nih

CONFIG = PhantomConfig(side=96)
SET = PhantomConfig(num_train_val=1, num_test=12, side=48, seed=8)


def _case(number: int) -> tuple[Patient, Visit]:
    patient = draw_patient(12, number)
    return patient, draw_visits(patient, CONFIG.exposure_jitter)[0]


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_change_taken_away_gives_the_film_rendered_without_the_finding(finding: str) -> None:
    others = tuple(f for f in ("Cardiomegaly", "Infiltration", "Mass") if f != finding)
    patient, visit = _case(2)
    film = render_film(patient, visit, (*others, finding), CONFIG, with_changes=True)
    without = render_film(patient, visit, others, CONFIG).image
    pair = pair_of(film.image, film.changes[finding])
    np.testing.assert_array_equal(pair.without, without)
    difference = np.abs(film.image.astype(int) - without.astype(int))
    np.testing.assert_array_equal(pair.causal, difference >= CAUSAL_GREY)
    assert pair.causal.any()


def test_a_change_of_more_than_half_the_range_is_not_taken_for_a_small_one() -> None:
    film, without = np.array([[255, 3, 9]], np.uint8), np.array([[0, 254, 8]], np.uint8)
    pair = pair_of(film, film - without)
    np.testing.assert_array_equal(pair.without, without)
    np.testing.assert_array_equal(pair.causal, [[True, True, False]])


def test_a_large_heart_changes_its_border_more_often_than_its_middle() -> None:
    cores, rims = [], []
    for number in (1, 2, 3, 4):
        patient, visit = _case(number)
        film = render_film(patient, visit, ("Cardiomegaly",), CONFIG, with_changes=True)
        causal = pair_of(film.image, film.changes["Cardiomegaly"]).causal
        heart = film.masks["Cardiomegaly"]
        rows, columns = np.nonzero(heart)
        outer = np.abs(columns - columns.mean()) > 0.6 * np.ptp(columns) / 2
        rims.append(causal[rows[outer], columns[outer]].mean())
        cores.append(causal[rows[~outer], columns[~outer]].mean())
    assert np.mean(rims) > np.mean(cores)


def test_films_without_a_question_asked_render_no_second_film() -> None:
    patient, visit = _case(1)
    plain = render_film(patient, visit, ("Mass",), CONFIG)
    asked = render_film(patient, visit, ("Mass",), CONFIG, with_changes=True)
    assert plain.changes == {}
    assert set(asked.changes) == {"Mass"}
    np.testing.assert_array_equal(plain.image, asked.image)


def test_every_finding_of_every_test_film_of_a_set_has_its_pair(tmp_path: Path) -> None:
    render_nih(SET, tmp_path, 1)
    tested = [case for case in cohort(SET) if case.test]
    for case in tested:
        for finding in case.findings:
            others = [f for f in case.findings if f != finding]
            pair = read_pair(tmp_path, case.image, finding)
            without = render_film(case.patient, case.visit, others, SET).image
            np.testing.assert_array_equal(pair.without, without)
    exported = {p.name for p in (tmp_path / "changes").iterdir()}
    assert len(exported) == sum(len(case.findings) for case in tested)
    healthy = next(case for case in tested if not case.findings)
    with pytest.raises(FileNotFoundError, match="pairs exist for the findings of the test films"):
        read_pair(tmp_path, healthy.image, "Mass")
