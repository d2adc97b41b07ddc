"""Pre-training films: shapes that can be told, bodies that stand in no other set, nothing else."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from data.cohorts import ShapesCohort
from data.config import PhantomConfig, ShapesConfig
from data.integrity import DataError
from data.phantom.cohort import cohort
from data.phantom.film import render_film
from data.phantom.lesions import FINDINGS
from data.phantom.shapes import (
    HALVES,
    KINDS,
    LABELS,
    MOST_KINDS,
    VAL_EVERY,
    render_shapes_film,
    shapes_cases,
    window_slope,
)
from data.phantom.shapes_layout import render_shapes

CONFIG = ShapesConfig(num_films=80, side=64, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shapes")
    seen: list[tuple[int, int]] = []
    render_shapes(CONFIG, path, 1, lambda done, total: seen.append((done, total)))
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1] == len(list((path / "images").iterdir())) >= 80
    return path


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_reader_gives_films_labels_and_two_folds_by_patient(folder: Path) -> None:
    index = ShapesCohort().read(folder)
    images = index.images
    assert index.boxes is None
    assert index.problems.empty
    assert index.expected == index.found == len(images)
    assert list(images.columns) == ["image", "path", "patient", "fold", *ShapesCohort().labels]
    assert images[list(LABELS)].isin([0, 1]).all(axis=None)
    assert set(images["fold"]) == {"train", "val"}
    assert ((images["fold"] == "val") == (images["patient"] % VAL_EVERY == 0)).all()
    film, doubt = ShapesCohort().read_square(folder / images["path"][0], 32)
    assert film.shape == (32, 32)
    assert doubt == ""


def test_labels_name_no_finding_and_each_is_there_and_absent(folder: Path) -> None:
    assert not set(LABELS) & set(FINDINGS)
    labels = pd.read_csv(folder / "labels.csv")[list(LABELS)]
    assert labels.mean().between(0.05, 0.8).all()


def test_a_film_has_up_to_three_kinds_and_a_half_where_there_is_a_shape(folder: Path) -> None:
    table = pd.read_csv(folder / "labels.csv")
    kinds, halves = table[list(KINDS)].sum(axis=1), table[list(HALVES)].sum(axis=1)
    assert set(kinds) == set(range(MOST_KINDS + 1))
    assert ((kinds == 0) == (halves == 0)).all()


def test_films_without_a_shape_are_healthy_and_others_differ_where_shapes_lie() -> None:
    checked = 0
    for case in list(shapes_cases(CONFIG))[:24]:
        film = render_shapes_film(case, 96)
        healthy = render_film(case.patient, case.visit, (), PhantomConfig(side=96)).image
        # Letters are left out here, so only what lies below and between them is compared.
        difference = np.abs(film.image.astype(int) - healthy)[24:]
        if case.visit.marker or case.visit.view == "AP":
            difference = difference[:, 20:-20]
        if not film.labels[: len(KINDS)].any():
            assert difference.max() == 0
            checked += 1
        else:
            assert (difference == 0).mean() > 0.4
    assert checked


def test_bodies_stand_in_no_other_set() -> None:
    own = {case.patient.seed for case in shapes_cases(CONFIG)}
    others = {c.patient.seed for c in cohort(PhantomConfig(num_train_val=9, num_test=9, seed=3))}
    assert own == {2_000_003}
    assert not own & others


def test_the_bytes_do_not_depend_on_the_number_of_workers(folder: Path, tmp_path: Path) -> None:
    render_shapes(CONFIG, tmp_path, 2)
    assert _files(tmp_path) == _files(folder)


def test_films_that_are_not_whole_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.csv is absent"):
        ShapesCohort().read(tmp_path)
    (tmp_path / "labels.csv").write_bytes((folder / "labels.csv").read_bytes())
    with pytest.raises(DataError, match=r"images/.*png is absent"):
        ShapesCohort().read(tmp_path)


@pytest.mark.parametrize("name", KINDS)
def test_a_shape_is_inside_in_its_disc_and_outside_beyond_it(name: str) -> None:
    """So that its size is its size: the greatest diameter."""
    u, v = np.meshgrid(*[np.linspace(-1.6, 1.6, 129, dtype=np.float32)] * 2)
    inside = KINDS[name].form(u, v, np.random.default_rng(0)) > 0
    away = np.hypot(u, v)
    assert 0.05 < inside.sum() / (away < 1).sum() <= 1
    assert away[inside].max() < 1.15
    assert away[inside].max() > 0.75


def test_kinds_differ_in_how_many_parts_and_holes_they_have() -> None:
    u, v = np.meshgrid(*[np.linspace(-1.6, 1.6, 129, dtype=np.float32)] * 2)
    topology = {}
    for name, kind in KINDS.items():
        inside = (kind.form(u, v, np.random.default_rng(0)) > 0).astype(np.uint8)
        parts = cv2.connectedComponents(inside)[0] - 1
        holes = cv2.connectedComponents(1 - inside, connectivity=4)[0] - 2
        topology[name] = (parts, holes)
    plain = dict.fromkeys(("disc", "square", "triangle", "bar", "cross"), (1, 0))
    assert topology == {**plain, "ring": (1, 1), "stripes": (3, 0), "blobs": (5, 0)}


def test_the_slope_of_the_window_is_one_at_mid_grey_and_vanishes_at_its_ends() -> None:
    depth = np.array([[0.5, 2.85, 6.0]], np.float32)
    slope = window_slope(np.exp(-depth))
    assert slope[0, 1] == pytest.approx(1, abs=1e-3)
    assert slope[0, [0, 2]].max() < 0.11
