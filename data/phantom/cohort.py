"""Who is filmed: patients, their visits, their findings, and which fold they belong to.

Everything here is decidable without rendering, and a patient never depends on how many others
are drawn: enlarging a set keeps its earlier films.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data.config import PhantomConfig
from data.phantom.comorbidity import draw_set, with_wrong_labels
from data.phantom.difficulty import Difficulty, difficulty_of

# v2: how often each finding occurs on an abnormal film, before films that drew none are redrawn:
# NIH's order, but the rare ones raised so that 1,600 films hold enough of each.
DRAW_PROBABILITY = {
    "Atelectasis": 0.23,
    "Cardiomegaly": 0.13,
    "Effusion": 0.25,
    "Infiltration": 0.29,
    "Mass": 0.15,
    "Nodule": 0.17,
    "Pneumonia": 0.13,
    "Pneumothorax": 0.15,
}
ABNORMAL_FRACTION = 0.5
SAME_FINDINGS_AS_LAST_VISIT = 0.5  # a follow-up often shows what the first film showed
MEAN_VISITS = 2.2
MAX_VISITS = 7
TEST_STREAM = 1_000_000  # added to the seed of test patients: seeds that tuning never rendered
TEST_EVERY = 5  # patients whose number is a multiple of this belong to the test list


def stream(seed: int, patient: int, visit: int, component: str) -> np.random.Generator:
    """An independent random stream; `visit` -1 is the patient's own, shared by all visits."""
    key = [seed, patient, visit + 1, zlib.crc32(component.encode())]
    return np.random.default_rng(np.random.SeedSequence(key))


@dataclass(frozen=True)
class Patient:
    """A body, in reference millimetres (`size` scales all of them); ages in years at visit 0."""

    number: int
    seed: int
    sex: str
    age: int
    size: float
    girth: float  # soft tissue outside the ribs
    breast: float  # greatest thickness of a breast
    lung_half_width: float
    apex: float  # y of the lung apex, origin at mid-thorax, y grows downward
    right_dome: float  # y of the top of the right hemidiaphragm at mean inspiration
    dome_step: float  # the left hemidiaphragm stands lower by this
    heart: float  # scale of the normal heart
    heart_tilt: float  # degrees
    arch: float  # radius of the aortic arch
    spine_bow: float  # lateral deviation of the spine
    lung_density: float  # relative to mean parenchyma
    bone_density: float
    rib_tilt: float
    arms_away: float  # how far the arms hang from the trunk


@dataclass(frozen=True)
class Visit:
    """One film of a patient: view, pose, technique. Nothing here knows the findings."""

    number: int
    age: int
    view: str  # PA or AP
    field: float  # side of the film, mm
    shift: tuple[float, float]  # mm
    rotation: float  # in the film plane, degrees
    turn: float  # about the body axis, degrees
    inspiration: float  # downward shift of the diaphragm, mm
    exposure: float  # relative to the technique chart
    contrast: float  # attenuation scale: tube voltage
    gas_bubble: float  # width of the gastric bubble, 0 = none
    marker: str  # "", "L" or "R"
    shutter: tuple[float, float, float, float]  # left, top, right, bottom, fraction of the side


def draw_patient(seed: int, number: int) -> Patient:
    """The patient with this number; a pure function of its arguments."""
    rng = stream(seed, number, -1, "patient")

    def around(mean: float, deviation: float, reach: float = 2.5) -> float:
        return mean + deviation * float(np.clip(rng.standard_normal(), -reach, reach))

    female = rng.random() < 0.45
    age = int(np.clip(around(48.0, 17.0), 12, 92))
    size = around(0.97 if female else 1.03, 0.035)
    girth = float(np.clip(np.exp(around(2.6, 0.45)), 4.0, 45.0))
    breast = float(np.clip(around(26.0, 12.0) + 0.4 * girth, 0, 60)) if female else 0.15 * girth
    return Patient(
        number=number,
        seed=seed,
        sex="F" if female else "M",
        age=age,
        size=size,
        girth=girth,
        breast=breast,
        lung_half_width=around(127.0, 5.0),
        apex=around(-129.0, 5.0),
        right_dome=around(70.0, 9.0),
        dome_step=max(around(13.0, 5.0), 3.0),
        heart=around(1.0, 0.08),
        heart_tilt=around(38.0, 6.0),
        arch=around(12.0 + 0.05 * age, 1.5),
        spine_bow=around(0.0, 3.5),
        lung_density=around(1.0, 0.12),
        bone_density=around(1.08 - 0.002 * age, 0.10),
        rib_tilt=around(1.0, 0.10),
        arms_away=around(7.0, 8.0),
    )


def draw_visits(patient: Patient, exposure_jitter: float) -> list[Visit]:
    """All visits of a patient, in order."""
    rng = stream(patient.seed, patient.number, -1, "visits")
    count = min(int(rng.geometric(1 / MEAN_VISITS)), MAX_VISITS)
    years = np.cumsum(rng.integers(0, 2, count)) - 0
    return [_draw_visit(patient, k, int(years[k]), exposure_jitter) for k in range(count)]


def _draw_visit(patient: Patient, number: int, years: int, exposure_jitter: float) -> Visit:
    rng = stream(patient.seed, patient.number, number, "pose")
    clipped = np.clip(rng.standard_normal(9), -2.5, 2.5)
    ap = rng.random() < 0.4
    shuttered = rng.random(4) < 0.12
    widths = rng.uniform(0.01, 0.05, 4) * shuttered
    gas = rng.uniform(22, 50) if rng.random() < 0.6 else 0.0
    return Visit(
        number=number,
        age=min(patient.age + years, 95),
        view="AP" if ap else "PA",
        field=float(394 + 18 * clipped[0] + 0.9 * (patient.girth - 14)),
        shift=(float(11 * clipped[1]), float(-4 + 12 * clipped[2])),
        rotation=float((2.5 if ap else 1.5) * clipped[3]),
        turn=float((3.0 if ap else 1.5) * clipped[4]),
        inspiration=float(7 * clipped[5] - (12 if ap else 0)),
        exposure=float(np.exp(exposure_jitter * clipped[6])),
        contrast=float(np.exp(0.05 * clipped[7])),
        gas_bubble=float(gas),
        marker=str(rng.choice(["", "L", "L", "R"])),
        shutter=(float(widths[0]), float(widths[1]), float(widths[2]), float(widths[3])),
    )


def draw_findings(patient: Patient, visits: int, difficulty: Difficulty) -> list[tuple[str, ...]]:
    """The findings of each visit, in canonical order; an empty tuple is No Finding.

    Independent of view, age, sex, pose and exposure: no metadata gives them away.
    """
    rng = stream(patient.seed, patient.number, -1, "findings")
    drawn: list[tuple[str, ...]] = []
    for visit in range(visits):
        if visit and rng.random() < SAME_FINDINGS_AS_LAST_VISIT:
            drawn.append(drawn[-1])
            continue
        if difficulty.prevalence:
            drawn.append(draw_set(rng, difficulty, ABNORMAL_FRACTION))
        else:
            drawn.append(_independent_findings(rng))
    return drawn


def _independent_findings(rng: np.random.Generator) -> tuple[str, ...]:
    names = list(DRAW_PROBABILITY)
    chance = np.array(list(DRAW_PROBABILITY.values()))
    present = np.zeros(len(names), bool)
    if rng.random() < ABNORMAL_FRACTION:
        while not present.any():
            present = rng.random(len(names)) < chance
    return tuple(n for n, p in zip(names, present, strict=True) if p)


def prevalences(difficulty: Difficulty) -> dict[str, float]:
    """Expected fraction of films with each finding, in closed form."""
    if difficulty.prevalence:
        return dict(difficulty.prevalence)
    none = float(np.prod([1 - p for p in DRAW_PROBABILITY.values()]))
    return {n: ABNORMAL_FRACTION * p / (1 - none) for n, p in DRAW_PROBABILITY.items()}


@dataclass(frozen=True)
class Case:
    """One film to render: who, when, with which findings, for which list.

    `labels`: what the data set says of it, which is not always what is there.
    """

    patient: Patient
    visit: Visit
    findings: tuple[str, ...]
    labels: tuple[str, ...]
    test: bool

    @property
    def image(self) -> str:
        return f"{self.patient.number:08d}_{self.visit.number:03d}.png"


def cohort(config: PhantomConfig) -> Iterator[Case]:
    """Whole patients by number until both lists are as long as asked for (or a little longer).

    Test patients are drawn from seeds of their own. ValueError for a seed that would reach them,
    and for an unknown version.
    """
    difficulty = difficulty_of(config.version)
    if not 0 <= config.seed < TEST_STREAM:
        raise ValueError(
            f"dataset.phantom.seed is {config.seed}: it must lie in 0 ... {TEST_STREAM - 1}, "
            "for the seeds above are those of test patients"
        )
    missing = {False: config.num_train_val, True: config.num_test}
    number = 0
    while max(missing.values()) > 0:
        number += 1
        test = number % TEST_EVERY == 0
        if missing[test] <= 0:
            continue
        patient = draw_patient(config.seed + TEST_STREAM * test, number)
        visits = draw_visits(patient, config.exposure_jitter)
        missing[test] -= len(visits)
        findings = draw_findings(patient, len(visits), difficulty)
        for visit, names in zip(visits, findings, strict=True):
            labels = names if test else _labels(patient, visit, names, difficulty)
            yield Case(patient, visit, names, labels, test)


def _labels(
    patient: Patient, visit: Visit, findings: tuple[str, ...], difficulty: Difficulty
) -> tuple[str, ...]:
    if not difficulty.wrong_labels:
        return findings
    rng = stream(patient.seed, patient.number, visit.number, "wrong labels")
    return with_wrong_labels(findings, rng, difficulty)
