"""Marks on films: the planted token, side letters, leads and lines."""

import dataclasses

import numpy as np

from data.config import PhantomConfig, PlantedShortcut
from data.phantom.anatomy import Thorax
from data.phantom.cohort import Case, cohort, draw_patient, draw_visits
from data.phantom.film import render_film
from data.phantom.frame import frame_of
from data.phantom.markers import PLANTED_FINDING, leads, letters, planted_token, region

CONFIG = PhantomConfig(side=96)
PLANTED = dataclasses.replace(CONFIG, planted_shortcut=PlantedShortcut.marker)


def _cases(count: int) -> list[Case]:
    return list(cohort(PhantomConfig(seed=21, num_train_val=count, num_test=count)))


def test_the_token_goes_with_its_finding_as_often_as_stated_in_both_lists() -> None:
    small = dataclasses.replace(PLANTED, side=32)
    seen: dict[tuple[bool, bool], list[bool]] = {}
    for case in _cases(1100):
        has = PLANTED_FINDING in case.findings
        token = planted_token(case.patient, case.visit, case.findings, small)
        seen.setdefault((case.test, has), []).append(bool(token.any()))
    for test in (True, False):
        for has, stated in ((True, 0.95), (False, 0.05)):
            share, n = np.mean(seen[test, has]), len(seen[test, has])
            assert abs(share - stated) < 3.5 * np.sqrt(stated * (1 - stated) / n), (test, has, n)


def test_without_a_planted_shortcut_no_film_holds_a_token() -> None:
    for case in _cases(30):
        assert not planted_token(case.patient, case.visit, (PLANTED_FINDING,), CONFIG).any()


def test_the_token_is_all_that_the_planted_films_differ_by() -> None:
    case = next(c for c in _cases(60) if PLANTED_FINDING in c.findings)
    plain = render_film(case.patient, case.visit, case.findings, CONFIG)
    planted = render_film(case.patient, case.visit, case.findings, PLANTED, with_changes=True)
    changed = plain.image != planted.image
    assert planted.planted.any()
    assert not changed[~planted.planted].any()
    assert changed[planted.planted].mean() > 0.3
    assert (planted.marks & planted.planted).sum() == planted.planted.sum()
    # Taking the lesion away leaves the token where it is.
    assert not planted.changes[PLANTED_FINDING][planted.planted].any()


def test_marks_are_where_a_film_without_them_differs() -> None:
    rng = np.random.default_rng(0)
    attenuation = np.where(rng.random((20, 20)) < 0.02, 0.3, 0.0).astype(np.float32)
    around = region(attenuation)
    assert around[attenuation > 0].all()
    rows, columns = np.nonzero(around)
    marked = np.argwhere(attenuation > 0)
    for row, column in zip(rows, columns, strict=True):
        assert np.abs(marked - [row, column]).max(axis=1).min() <= 1


def test_a_letter_stands_on_its_side_and_the_view_is_written_below_it() -> None:
    patient = draw_patient(4, 1)
    visit = draw_visits(patient, 0.2)[0]
    for marker, half in (("L", slice(64, None)), ("R", slice(None, 64))):
        alone = letters(patient, dataclasses.replace(visit, marker=marker, view="PA"), 128)
        with_view = letters(patient, dataclasses.replace(visit, marker=marker, view="AP"), 128)
        assert alone[:, half].sum() == alone.sum() > 0
        assert np.nonzero(with_view)[0].max() > np.nonzero(alone)[0].max()


def test_bedside_films_show_more_leads_and_lines_than_others() -> None:
    shown: dict[str, list[bool]] = {"AP": [], "PA": []}
    for number in range(1, 121):
        patient = draw_patient(4, number)
        visit = draw_visits(patient, 0.2)[0]
        attenuation = leads(Thorax.of(patient, visit), frame_of(patient, visit, 48), visit)
        assert 0 <= attenuation.min() <= attenuation.max() < 0.51
        shown[visit.view].append(bool(attenuation.any()))
    assert np.mean(shown["AP"]) > 0.45
    assert np.mean(shown["PA"]) < 0.25
