"""Who is in a phantom cohort: findings as frequent as they should be, no patient on two sides."""

import numpy as np
import pytest

from data.config import PhantomConfig
from data.phantom.cohort import (
    cohort,
    draw_findings,
    draw_patient,
    draw_visits,
    prevalences,
    stream,
)
from data.phantom.lesions import FINDINGS


def test_streams_of_other_components_patients_and_visits_differ() -> None:
    first = stream(0, 7, 0, "noise").random(4)
    assert (stream(0, 7, 0, "noise").random(4) == first).all()
    for other in (
        stream(1, 7, 0, "noise"),
        stream(0, 8, 0, "noise"),
        stream(0, 7, 1, "noise"),
        stream(0, 7, -1, "noise"),
        stream(0, 7, 0, "pose"),
    ):
        assert (other.random(4) != first).all()


def test_each_finding_is_as_frequent_as_its_closed_form_within_binomial_bounds() -> None:
    # First visits only: they are independent of each other.
    patients = 3000
    drawn = [draw_findings(draw_patient(3, k), 1)[0] for k in range(1, patients + 1)]
    expected = prevalences()
    assert tuple(expected) == FINDINGS
    for finding, chance in expected.items():
        seen = sum(finding in f for f in drawn)
        deviation = np.sqrt(patients * chance * (1 - chance))
        assert abs(seen - patients * chance) < 4 * deviation, finding
    healthy = sum(not f for f in drawn)
    assert abs(healthy - patients / 2) < 4 * np.sqrt(patients / 4)


def test_the_expected_imbalance_is_that_of_the_published_labels() -> None:
    chance = prevalences()
    assert all(0.05 <= c <= 0.18 for c in chance.values())
    assert max(chance, key=chance.__getitem__) == "Infiltration"
    assert chance["Effusion"] > chance["Atelectasis"] > chance["Nodule"] > chance["Pneumonia"]


@pytest.mark.parametrize("numbers", [(50, 12), (1, 30), (30, 1)])
def test_both_lists_are_long_enough_and_share_no_patient(numbers: tuple[int, int]) -> None:
    cases = list(cohort(PhantomConfig(num_train_val=numbers[0], num_test=numbers[1])))
    train = [c for c in cases if not c.test]
    test = [c for c in cases if c.test]
    assert len(train) >= numbers[0]
    assert len(test) >= numbers[1]
    assert not {c.patient.number for c in train} & {c.patient.number for c in test}
    names = [c.image for c in cases]
    assert names == sorted(set(names))


def test_test_patients_come_from_seeds_that_no_set_of_train_patients_can_reach() -> None:
    cases = list(cohort(PhantomConfig(num_train_val=20, num_test=20, seed=6)))
    assert {c.patient.seed for c in cases if not c.test} == {6}
    assert {c.patient.seed for c in cases if c.test} == {1_000_006}
    for seed in (-1, 1_000_000):
        with pytest.raises(ValueError, match=r"dataset\.phantom\.seed"):
            next(iter(cohort(PhantomConfig(seed=seed))))


def test_a_larger_set_keeps_the_films_of_a_smaller_one() -> None:
    small = {c.image: c for c in cohort(PhantomConfig(num_train_val=20, num_test=5))}
    large = {c.image: c for c in cohort(PhantomConfig(num_train_val=60, num_test=15))}
    assert all(large[name] == case for name, case in small.items())


def test_a_patient_keeps_sex_and_body_and_does_not_grow_younger() -> None:
    patient = next(
        p for p in (draw_patient(0, k) for k in range(1, 200)) if len(draw_visits(p, 0.2)) > 3
    )
    visits = draw_visits(patient, 0.2)
    ages = [v.age for v in visits]
    assert ages == sorted(ages)
    assert ages[0] >= patient.age
    assert [v.number for v in visits] == list(range(len(visits)))
    assert len({v.exposure for v in visits}) == len(visits)


def test_findings_do_not_depend_on_view_or_age() -> None:
    ages: dict[bool, list[float]] = {True: [], False: []}
    ap: dict[bool, list[float]] = {True: [], False: []}
    for number in range(1, 1001):
        patient = draw_patient(5, number)
        visit = draw_visits(patient, 0.2)[0]
        sick = bool(draw_findings(patient, 1)[0])
        ages[sick].append(visit.age)
        ap[sick].append(visit.view == "AP")
    spread = np.sqrt(np.var(ages[True]) / 500 * 2)
    assert abs(np.mean(ages[True]) - np.mean(ages[False])) < 4 * spread
    assert abs(np.mean(ap[True]) - np.mean(ap[False])) < 4 * np.sqrt(0.24 / 500 * 2)
