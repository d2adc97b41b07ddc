"""Who is in a phantom cohort: findings as frequent as they should be, no patient on two sides."""

import numpy as np
import pytest

from data.config import PhantomConfig
from data.phantom.cohort import (
    ABNORMAL_FRACTION,
    cohort,
    draw_findings,
    draw_patient,
    draw_visits,
    prevalences,
    stream,
)
from data.phantom.comorbidity import findings_table, with_wrong_labels
from data.phantom.difficulty import DIFFICULTIES, Difficulty, difficulty_of
from data.phantom.lesions import FINDINGS
from data.phantom.several import FOCAL

V3 = DIFFICULTIES["v3"]


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


@pytest.mark.parametrize("version", DIFFICULTIES)
def test_each_finding_is_as_frequent_as_its_closed_form_within_binomial_bounds(
    version: str,
) -> None:
    # First visits only: they are independent of each other.
    patients = 3000
    difficulty = difficulty_of(version)
    drawn = [draw_findings(draw_patient(3, k), 1, difficulty)[0] for k in range(1, patients + 1)]
    expected = prevalences(difficulty)
    assert tuple(expected) == FINDINGS
    for finding, chance in expected.items():
        seen = sum(finding in f for f in drawn)
        deviation = np.sqrt(patients * chance * (1 - chance))
        assert abs(seen - patients * chance) < 4 * deviation, finding
    healthy = sum(not f for f in drawn)
    assert abs(healthy - patients / 2) < 4 * np.sqrt(patients / 4)


def test_the_expected_imbalance_is_that_of_the_published_labels() -> None:
    chance = prevalences(DIFFICULTIES["v2"])
    assert all(0.05 <= c <= 0.18 for c in chance.values())
    for chance in map(prevalences, DIFFICULTIES.values()):
        assert max(chance, key=chance.__getitem__) == "Infiltration"
        assert chance["Effusion"] > chance["Atelectasis"] > chance["Nodule"] > chance["Pneumonia"]
    assert sorted(chance[f] for f in chance)[:3] == [0.05, 0.05, 0.06]


def test_findings_come_together_by_exactly_the_odds_of_their_difficulty() -> None:
    present, chance = findings_table(V3, ABNORMAL_FRACTION)
    assert chance[0] == pytest.approx(ABNORMAL_FRACTION)
    np.testing.assert_allclose(chance @ present, [p for _, p in V3.prevalence], atol=1e-6)
    of = {tuple(row): c for row, c in zip(present.tolist(), chance, strict=True)}
    odds = {(a, b): o for a, b, o in V3.odds}
    third = FINDINGS.index("Nodule")
    for a, b in (("Cardiomegaly", "Effusion"), ("Atelectasis", "Pneumonia")):

        def film(*there: int) -> float:
            return of[tuple(k in (*there, third) for k in range(len(FINDINGS)))]

        i, j = FINDINGS.index(a), FINDINGS.index(b)
        ratio = film(i, j) * film() / (film(i) * film(j))
        assert ratio == pytest.approx(odds.get((a, b), 1.0), rel=1e-6)


def test_prevalences_that_no_films_can_have_are_refused() -> None:
    impossible = Difficulty(prevalence=(("Mass", 0.7), ("Nodule", 0.2)))
    with pytest.raises(ValueError, match="no films can have"):
        findings_table(impossible, 0.5)


def test_about_two_fifths_of_the_films_with_a_focal_finding_are_meant_to_have_several() -> None:
    present, chance = findings_table(V3, ABNORMAL_FRACTION)
    focal = present[:, [f in FOCAL for f in FINDINGS]].sum(axis=1)
    several = chance @ (1 - (1 - V3.several) ** focal) / chance[focal > 0].sum()
    assert several == pytest.approx(0.4, abs=0.02)


def test_as_many_labels_are_wrong_as_said_and_each_finding_stays_as_frequent() -> None:
    films = 60_000
    rng = np.random.default_rng(0)
    present, chance = findings_table(V3, ABNORMAL_FRACTION)
    true = present[rng.choice(len(chance), films, p=chance)]
    names = np.array(FINDINGS)
    drawn = [with_wrong_labels(tuple(names[row]), rng, V3) for row in true]
    said = np.array([[name in labels for name in FINDINGS] for labels in drawn])
    for k, (name, p) in enumerate(V3.prevalence):
        assert abs(said[:, k].sum() - films * p) < 4 * np.sqrt(films * p), name
        assert (said & ~true)[:, k].sum() / said[:, k].sum() == pytest.approx(0.05, abs=0.02)
    assert (said & ~true).sum() / said.sum() == pytest.approx(0.05, abs=0.004)


def test_labels_are_wrong_on_films_to_learn_from_only() -> None:
    cases = list(cohort(PhantomConfig(num_train_val=400, num_test=200)))
    wrong = {test: [c.labels != c.findings for c in cases if c.test == test] for test in (0, 1)}
    assert not any(wrong[True])
    assert 0.03 < np.mean(wrong[False]) < 0.15
    assert all(c.labels == c.findings for c in cohort(PhantomConfig(version="v2", num_test=1)))


def test_a_version_that_stands_for_nothing_is_refused_with_those_that_stand_for_something() -> None:
    with pytest.raises(ValueError, match=r"version is 'v9'.*v2, v2-planted, v3, v3-planted"):
        next(cohort(PhantomConfig(version="v9")))


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
        sick = bool(draw_findings(patient, 1, V3)[0])
        ages[sick].append(visit.age)
        ap[sick].append(visit.view == "AP")
    spread = np.sqrt(np.var(ages[True]) / 500 * 2)
    assert abs(np.mean(ages[True]) - np.mean(ages[False])) < 4 * spread
    assert abs(np.mean(ap[True]) - np.mean(ap[False])) < 4 * np.sqrt(0.24 / 500 * 2)


@pytest.mark.parametrize(
    ("pair", "published"),
    [
        (("Atelectasis", "Effusion"), 3.2),
        (("Cardiomegaly", "Effusion"), 4.9),
        (("Effusion", "Infiltration"), 2.2),
        (("Infiltration", "Pneumonia"), 3.5),
        (("Mass", "Nodule"), 3.4),
    ],
)
def test_over_all_films_findings_come_together_about_as_nihs_labels_do(
    pair: tuple[str, str], published: float
) -> None:
    present, chance = findings_table(V3, ABNORMAL_FRACTION)
    one, other = (present[:, FINDINGS.index(finding)] for finding in pair)
    neither, both = chance @ (~one & ~other), chance @ (one & other)
    ratio = both * neither / ((chance @ (one & ~other)) * (chance @ (other & ~one)))
    assert ratio == pytest.approx(published, rel=0.2)
