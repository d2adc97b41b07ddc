"""Several lesions of one finding: apart, each with what it alone changes, the last one faint."""

import dataclasses
from itertools import pairwise

import cv2
import numpy as np
import pytest

from data.config import PhantomConfig
from data.phantom.causal import causal_mask, lesion_map
from data.phantom.cohort import Patient, Visit, draw_patient, draw_visits
from data.phantom.difficulty import DIFFICULTIES
from data.phantom.film import Film, render_film
from data.phantom.lesions import FINDINGS, effect, scene_of
from data.phantom.several import FOCAL, MOST, lesions

CONFIG = PhantomConfig(side=96)


def _cases(count: int) -> list[tuple[Patient, Visit]]:
    patients = [draw_patient(21, number) for number in range(1, count + 1)]
    return [(p, draw_visits(p, CONFIG.exposure_jitter)[0]) for p in patients]


@pytest.fixture(scope="module")
def films() -> list[tuple[str, Film]]:
    """Of each focal finding those of 24 patients who have it at several places."""
    found = []
    for patient, visit in _cases(24):
        scene = scene_of(patient, visit, CONFIG)
        for finding in FOCAL:
            if len(lesions(finding, scene, visit, CONFIG)) > 1:
                film = render_film(patient, visit, (finding,), CONFIG, with_changes=True)
                found.append((finding, film))
    return found


def test_every_focal_finding_lies_at_two_to_four_places_on_some_films(
    films: list[tuple[str, Film]],
) -> None:
    assert {finding for finding, _ in films} == set(FOCAL)
    counts = [len(film.lesion_changes[finding]) for finding, film in films]
    assert set(counts) == set(range(2, MOST + 1))


def test_lesions_stay_apart_and_together_are_the_finding(films: list[tuple[str, Film]]) -> None:
    for finding, film in films:
        changes = film.lesion_changes[finding]
        grown = [
            cv2.dilate(causal_mask(film.image, change).astype(np.uint8), np.ones((3, 3), np.uint8))
            for change in changes
        ]
        assert np.sum(grown, axis=0).max() == 1
        whole = causal_mask(film.image, film.changes[finding])
        np.testing.assert_array_equal(lesion_map(film.image, changes) > 0, whole)


def test_the_last_lesion_is_clearly_the_faintest(films: list[tuple[str, Film]]) -> None:
    ratios = []
    for finding, film in films:
        peaks = []
        for change in film.lesion_changes[finding]:
            without = film.image - change
            difference = np.abs(film.image.astype(int) - without)
            peaks.append(np.percentile(difference[difference >= 2], 90))
        ratios.append(peaks[-1] / max(peaks[:-1]))
    assert np.mean(ratios) < 0.55
    assert max(ratios) < 0.9
    assert min(ratios) > 0.1  # but it is there to be seen


def test_several_lesions_are_ordered_by_their_shadow_before_the_last_is_thinned() -> None:
    for patient, visit in _cases(12):
        scene = scene_of(patient, visit, CONFIG)
        for finding in FOCAL:
            found = lesions(finding, scene, visit, CONFIG)
            if len(found) < 2:
                continue
            shadows = [float((each.filled * scene.lung).max()) for each in found]
            shadows[-1] /= DIFFICULTIES["v3"].faint
            # Their order is that on a coarse copy.
            assert all(a > 0.9 * b for a, b in pairwise(shadows))


def test_places_do_not_depend_on_the_side_of_the_film() -> None:
    for patient, visit in _cases(8):
        for finding in FOCAL:
            maps = []
            for side in (64, 128):
                config = dataclasses.replace(CONFIG, side=side)
                scene = scene_of(patient, visit, config)
                outlines = [each.mask for each in lesions(finding, scene, visit, config)]
                middles = [np.argwhere(m).mean(axis=0) / side for m in outlines]
                maps.append(np.array(middles))
            assert maps[0].shape == maps[1].shape
            np.testing.assert_allclose(*maps, atol=0.03)


def test_v2_and_findings_that_are_not_focal_have_one_lesion() -> None:
    old = dataclasses.replace(CONFIG, version="v2")
    for patient, visit in _cases(6):
        scene = scene_of(patient, visit, CONFIG)
        for finding in FINDINGS:
            if finding == "Cardiomegaly":
                continue
            (only,) = lesions(finding, scene, visit, old)
            np.testing.assert_array_equal(only.filled, effect(finding, scene, visit).filled)
            if finding not in FOCAL:
                assert len(lesions(finding, scene, visit, CONFIG)) == 1


def test_a_lesion_that_changes_nothing_gets_no_number() -> None:
    film = np.full((2, 3), 100, np.uint8)
    seen, unseen = np.array([[0, 0, 2], [0, 0, 0]], np.uint8), np.ones((2, 3), np.uint8)
    np.testing.assert_array_equal(lesion_map(film, [unseen, seen]), seen // 2)
    both = lesion_map(film, [seen, np.array([[5, 0, 0], [0, 0, 0]], np.uint8)])
    np.testing.assert_array_equal(both, [[2, 0, 1], [0, 0, 0]])
