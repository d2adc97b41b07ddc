"""Regions on disk: which films have two or more, and what maps and priors hold of them."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest

from data.brixia_score import ZONES
from data.phantom.nih_layout import LESIONS
from evaluation.all_regions import all_regions
from pipeline.steps.films import POLYGONS
from pipeline.steps.regions import AllRegions, LesionRegions, PolygonRegions, ZoneRegions
from tests.pipeline.steps.running import given, lay_out_samples, run_step

SIDE = 12


def regions_of(folder):
    return np.load(folder / "rows.npy").tolist(), np.load(folder / "regions.npy")


@pytest.fixture
def lesions(tmp_path):
    """Three samples, of which the first and the last have two lesions."""
    several, one = np.zeros((2, 2 * SIDE, 2 * SIDE), np.uint8)
    several[4:8, 6:10], several[16:22, 12:18] = 1, 2
    one[4:8, 6:10] = 1
    folder = tmp_path / "films" / LESIONS
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "a_Mass.png"), several)
    cv2.imwrite(str(folder / "b_Mass.png"), one)
    cv2.imwrite(str(folder / "b_Nodule.png"), several.T)
    findings = ["Mass", "Mass", "Nodule"]
    samples = lay_out_samples(
        tmp_path / "samples", image=["a.png", "b.png", "b.png"], finding=findings
    )
    step = LesionRegions(given(tmp_path / "films"), samples, SIDE)
    assert run_step(step, tmp_path / "regions") == ["2 samples have two regions or more"]
    return several[::2, ::2]


def test_films_with_several_lesions_of_the_finding_have_each_of_them(lesions, tmp_path):
    rows, found = regions_of(tmp_path / "regions")
    assert rows == [0, 2]
    np.testing.assert_array_equal(found, [lesions, lesions.T])


def test_each_polygon_is_a_region_and_the_smaller_one_counts_where_they_overlap(tmp_path):
    outer, inner, apart = (
        [[x, 0], [x + w, 0], [x + w, w], [x, w]] for x, w in ((0, 512), (0, 256), (768, 256))
    )
    rows = [("a.png", outer), ("a.png", inner), ("a.png", apart), ("b.png", outer)]
    (tmp_path / "index").mkdir()
    pd.DataFrame(
        [(image, "Mass", json.dumps(points)) for image, points in rows],
        columns=["image", "finding", "points"],
    ).to_csv(tmp_path / "index" / POLYGONS, index=False)
    samples = lay_out_samples(tmp_path / "samples", image=["b.png", "a.png"], finding="Mass")
    step = PolygonRegions(given(tmp_path / "index"), samples, SIDE)
    assert run_step(step, tmp_path / "regions") == ["1 samples have two regions or more"]
    rows, found = regions_of(tmp_path / "regions")
    assert rows == [1]
    numbers, areas = np.unique(found[0], return_counts=True)
    assert numbers.tolist() == [0, 1, 2, 3]
    assert areas[1:].tolist() == [36 - 9, 9, 9]
    assert found[0][0, 0] != found[0][5, 5]


def test_zones_of_score_3_are_regions_on_films_whose_zones_are_known(tmp_path):
    several, one = [3, 0, 0, 3, 1, 2], [3, 0, 0, 0, 0, 0]
    scores = np.transpose([several, one, several])
    samples = lay_out_samples(
        tmp_path / "samples",
        image=["a.dcm", "b.dcm", "absent.dcm"],
        finding="Detector3",
        **dict(zip(ZONES, scores, strict=True)),
    )
    rows, columns = np.indices((SIDE, SIDE))
    labels = (1 + rows * 3 // SIDE + 3 * (columns * 2 // SIDE)).astype(np.uint8)
    zones = tmp_path / "zones"
    zones.mkdir()
    np.save(zones / "labels.npy", np.stack([labels, labels]))
    np.save(zones / "boxes.npy", np.zeros((2, 6, 4), int))
    pd.DataFrame({"image": ["a.dcm", "b.dcm"]}).to_csv(zones / "films.csv", index=False)
    run_step(ZoneRegions(samples, given(zones)), tmp_path / "run")
    kept, found = regions_of(tmp_path / "run")
    assert kept == [0]
    np.testing.assert_array_equal(found[0], np.where(np.isin(labels, [1, 4]), labels, 0))


@pytest.fixture
def step(lesions, tmp_path):
    shards = tmp_path / "maps" / "shards"
    maps = np.random.default_rng(0).random((3, SIDE, SIDE), dtype=np.float32)
    for number, part in enumerate((maps[:2], maps[2:])):
        (shards / f"{number:05d}").mkdir(parents=True)
        np.save(shards / f"{number:05d}" / "maps.npy", part)
    truth = tmp_path / "truth"
    truth.mkdir()
    np.save(truth / "box.npy", np.stack([lesions > 0, lesions == 1, lesions.T > 0]))
    (truth / "places.txt").write_text("box")
    sources = {name: given(tmp_path / name) for name in ("samples", "regions", "truth", "maps")}
    return AllRegions(**sources, place=None, prior=None), maps


def test_maps_are_measured_on_the_samples_that_have_regions(step, tmp_path):
    measure, maps = step
    run_step(measure, tmp_path / "run")
    frame = pd.read_csv(tmp_path / "run" / "samples.csv")
    assert frame["sample"].tolist() == [0, 2]
    assert frame["finding"].tolist() == ["Mass", "Nodule"]
    expected = all_regions(maps[[0, 2]], regions_of(tmp_path / "regions")[1])
    pd.testing.assert_frame_equal(frame[list(expected)], expected)


def test_a_prior_learns_of_all_films_and_is_measured_on_the_same(step, tmp_path):
    measure = AllRegions(
        **{name: getattr(step[0], name) for name in ("samples", "regions", "truth")},
        place="box", maps=None, prior="location_prior",
    )  # fmt: skip
    run_step(measure, tmp_path / "run")
    frame = pd.read_csv(tmp_path / "run" / "samples.csv")
    truth = np.load(tmp_path / "truth" / "box.npy").astype(np.float32)
    others = np.stack([truth[1:].mean(axis=0), truth[:2].mean(axis=0)])
    expected = all_regions(others, regions_of(tmp_path / "regions")[1])
    pd.testing.assert_frame_equal(frame[list(expected)], expected)


def test_without_any_region_there_is_no_row(step, tmp_path):
    np.save(tmp_path / "regions" / "rows.npy", np.array([], dtype=np.intp))
    np.save(tmp_path / "regions" / "regions.npy", np.zeros((0, SIDE, SIDE), np.uint8))
    run_step(step[0], tmp_path / "run")
    assert pd.read_csv(tmp_path / "run" / "samples.csv").empty
