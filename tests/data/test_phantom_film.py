"""A phantom film: anatomy in its place, and findings that act only where they lie."""

import dataclasses

import cv2
import numpy as np
import pytest

from data.config import PhantomConfig
from data.phantom.anatomy import Thorax
from data.phantom.cohort import Patient, Visit, draw_patient, draw_visits
from data.phantom.film import render_film
from data.phantom.frame import frame_of
from data.phantom.lesions import FINDINGS, enlargement, scene_of
from data.phantom.nih_layout import box_of
from data.phantom.several import lesions

CONFIG = PhantomConfig(side=96)


def _case(number: int) -> tuple[Patient, Visit]:
    patient = draw_patient(11, number)
    return patient, draw_visits(patient, CONFIG.exposure_jitter)[0]


def _footprint(patient: Patient, visit: Visit, finding: str) -> np.ndarray:
    """Where the finding changes the thickness of anything, and one pixel of detector blur."""
    scene = scene_of(patient, visit, CONFIG)
    if finding == "Cardiomegaly":
        touched = scene.with_heart(enlargement(patient, visit)).lung != scene.lung
    else:
        touched = np.zeros_like(scene.lung, bool)
        for act in lesions(finding, scene, visit, CONFIG):
            touched |= ((act.filled > 0) | (act.emptied > 0)) & (scene.lung > 0)
            touched |= act.lining > 0
    return cv2.dilate(touched.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_film_without_a_finding_differs_only_where_the_finding_acts(finding: str) -> None:
    others = tuple(f for f in ("Effusion", "Nodule", "Pneumonia") if f != finding)
    for number in (1, 2):
        patient, visit = _case(number)
        with_it = render_film(patient, visit, (*others, finding), CONFIG)
        without = render_film(patient, visit, others, CONFIG)
        changed = np.abs(with_it.image.astype(int) - without.image.astype(int))
        footprint, mask = _footprint(patient, visit, finding), with_it.masks[finding]
        assert footprint.mean() < 0.5
        assert (changed[~footprint] == 0).all()
        # The outline holds most of the change, and the change is there to be seen.
        assert changed[mask].mean() > 1.5
        assert changed[mask].sum() > 0.6 * changed.sum()
        for other in others:
            np.testing.assert_array_equal(with_it.masks[other], without.masks[other])


def test_opacities_brighten_and_a_pneumothorax_darkens_its_place() -> None:
    for finding in FINDINGS:
        patient, visit = _case(4)
        film = render_film(patient, visit, (finding,), CONFIG)
        bare = render_film(patient, visit, (), CONFIG)
        change = (film.image.astype(int) - bare.image.astype(int))[film.masks[finding]].mean()
        assert (change < 0) == (finding == "Pneumothorax"), finding


def test_every_finding_of_many_patients_has_a_box_inside_the_frame() -> None:
    config = dataclasses.replace(CONFIG, side=48)
    for number in range(1, 25):
        patient, visit = _case(number)
        for finding, mask in render_film(patient, visit, FINDINGS, config).masks.items():
            x, y, w, h = box_of(mask)
            assert 0 <= x < x + w <= 1024, (number, finding)
            assert 0 <= y < y + h <= 1024, (number, finding)


def test_a_nodule_is_under_three_centimetres_and_a_mass_above() -> None:
    config = dataclasses.replace(CONFIG, side=256, version="v2")  # each alone
    for number in (6, 7, 8, 9):
        patient, visit = _case(number)
        film = render_film(patient, visit, ("Mass", "Nodule"), config)
        pixel = visit.field / config.side
        diameters = {f: 2 * np.sqrt(m.sum() / np.pi) * pixel for f, m in film.masks.items()}
        assert diameters["Nodule"] < 32
        assert diameters["Mass"] > 26


def test_a_large_heart_is_wider_than_half_the_chest_and_a_normal_one_is_not() -> None:
    ratios = {False: [], True: []}
    for number in range(1, 25):
        patient, visit = _case(number)
        visit = dataclasses.replace(visit, view="PA", turn=0.0)
        frame, thorax = frame_of(patient, visit, 128), Thorax.of(patient, visit)
        row = np.array([thorax.right_dome], np.float32)
        for large in (False, True):
            heart = thorax.heart(frame.x, frame.y, 1.35 if large else 1.0) > 14
            columns = np.flatnonzero((heart & (frame.y < thorax.left_dome)).any(axis=0))
            width = (columns[-1] - columns[0]) * frame.pixel
            ratios[large].append(width / (2 * float(thorax.half_width(row)[0])))
    assert 0.38 < np.mean(ratios[False]) < 0.5
    assert np.mean(ratios[True]) > 0.53


def test_the_heart_lies_to_the_right_of_the_film_and_the_right_dome_is_higher() -> None:
    patient, visit = _case(1)
    frame, thorax = frame_of(patient, visit, 128), Thorax.of(patient, visit)
    heart = thorax.heart(frame.x, frame.y, 1.0)
    assert float((heart * frame.x).sum()) > 0
    assert thorax.right_dome < thorax.left_dome
    assert frame.x[0, -1] > frame.x[0, 0]


def test_more_exposure_darkens_the_whole_film() -> None:
    patient, visit = _case(2)
    visit = dataclasses.replace(visit, shutter=(0.0, 0.0, 0.0, 0.0))
    darker = dataclasses.replace(visit, exposure=1.6 * visit.exposure)
    one = render_film(patient, visit, (), CONFIG).image.astype(int)
    two = render_film(patient, darker, (), CONFIG).image.astype(int)
    inside = (one > 30) & (one < 225)
    assert (two[inside] < one[inside]).mean() > 0.99


def test_films_of_one_visit_at_two_sizes_show_the_same() -> None:
    patient, visit = _case(3)
    small = render_film(patient, visit, ("Mass",), dataclasses.replace(CONFIG, side=64))
    large = render_film(patient, visit, ("Mass",), dataclasses.replace(CONFIG, side=192))
    shrunk = cv2.resize(large.image, (64, 64), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shrunk.ravel(), small.image.ravel())[0, 1] > 0.99
    overlap = np.array(box_of(small.masks["Mass"])) - np.array(box_of(large.masks["Mass"]))
    assert np.abs(overlap).max() <= 2 * 1024 / 64


def test_deposited_matter_keeps_its_volume() -> None:
    patient, visit = _case(1)
    frame = frame_of(patient, visit, 96)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-100, 100, (2, 500)).astype(np.float32)
    volume = rng.uniform(0, 5, 500).astype(np.float32)
    thickness = frame.deposit(x, y, volume)
    assert thickness.sum() * frame.pixel**2 == pytest.approx(volume.sum(), rel=1e-4)
