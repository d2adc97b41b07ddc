"""Truth on disk: every sample has a mask at every place, empty where it has no such truth."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest

from data.brixia_score import ZONES
from data.phantom.markers import PLANTED_FINDING
from data.phantom.nih_layout import CHANGES, PLANTED, mask_name
from evaluation.config import BoxRounding
from evaluation.localization import box_masks
from pipeline.steps.films import POLYGONS
from pipeline.steps.truth import (
    BoxTruth,
    PhantomTruth,
    PolygonTruth,
    ZoneTruth,
    read_lungs_of,
    read_truth,
)
from tests.pipeline.steps.running import given, lay_out_samples, run_step

SIDE = 12


def lay_out_zones(folder, images):
    """Films whose zones are two columns of three squares, A-C and D-F; the outer rim is no lung."""
    folder.mkdir()
    rows, columns = np.indices((SIDE, SIDE))
    labels = (1 + rows * 3 // SIDE + 3 * (columns * 2 // SIDE)).astype(np.uint8)
    labels[0] = 0
    boxes = np.array([[SIDE // 2 * (k // 3), 4 * (k % 3), SIDE // 2, 4] for k in range(6)])
    np.save(folder / "labels.npy", np.stack([labels] * len(images)))
    np.save(folder / "boxes.npy", np.stack([boxes] * len(images)))
    pd.DataFrame({"image": images}).to_csv(folder / "films.csv", index=False)
    return labels


def zone_samples(folder, images):
    scores = dict(zip(ZONES, np.array([[3, 0, 0, 3, 0, 1]] * len(images)).T, strict=True))
    return lay_out_samples(folder, image=images, finding="Detector3", **scores)


def test_boxes_are_masks_in_more_than_one_chunk(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 800, (2, 70))
    samples = lay_out_samples(
        tmp_path / "samples", image=[f"{n}.png" for n in range(70)], finding="Mass",
        x=x, y=y, w=150, h=200,
    )  # fmt: skip
    folder = tmp_path / "truth"
    run_step(BoxTruth(samples, SIDE, BoxRounding.centre), folder)
    truth = read_truth(folder)
    assert list(truth) == ["box"]
    table = pd.read_csv(samples.path / "samples.csv")
    assert np.array_equal(truth["box"], box_masks(table, SIDE))
    assert isinstance(truth["box"], np.memmap)


def test_all_polygons_of_a_finding_on_a_film_are_one_mask(tmp_path):
    squares = {(x, y): [[x, y], [x + 512, y], [x + 512, y + 512], [x, y + 512]]
               for x in (0, 512) for y in (0, 512)}  # fmt: skip
    rows = [("a.png", "Mass", (0, 0)), ("a.png", "Mass", (512, 512)), ("a.png", "Nodule", (0, 512))]
    (tmp_path / "index").mkdir()
    pd.DataFrame(
        [(image, finding, json.dumps(squares[at])) for image, finding, at in rows],
        columns=["image", "finding", "points"],
    ).to_csv(tmp_path / "index" / POLYGONS, index=False)
    samples = lay_out_samples(
        tmp_path / "samples", image=["a.png", "a.png"], finding=["Nodule", "Mass"]
    )
    run_step(PolygonTruth(given(tmp_path / "index"), samples, SIDE), tmp_path / "truth")
    corners = np.zeros((2, SIDE, SIDE), dtype=bool)
    half = SIDE // 2
    corners[0, half:, :half] = corners[1, :half, :half] = corners[1, half:, half:] = True
    truth = read_truth(tmp_path / "truth")
    assert list(truth) == ["polygons"]
    np.testing.assert_array_equal(truth["polygons"], corners)


def test_zones_of_each_lungs_are_two_places_in_the_order_of_the_lungs(tmp_path):
    samples = zone_samples(tmp_path / "samples", ["a.dcm", "b.dcm"])
    labels = lay_out_zones(tmp_path / "predicted", ["a.dcm"])
    lay_out_zones(tmp_path / "true", ["b.dcm", "a.dcm"])
    zones = {which: given(tmp_path / which) for which in ("predicted", "true")}
    folder = tmp_path / "truth"
    run_step(ZoneTruth(samples, zones), folder)
    truth = read_truth(folder)
    assert list(truth) == ["mask_predicted", "box_predicted", "mask_true", "box_true"]
    shown = np.isin(labels, (1, 4))  # zones A and D have the score 3
    assert np.array_equal(truth["mask_predicted"][0], shown)
    assert np.array_equal(truth["mask_true"], np.stack([shown, shown]))
    assert np.array_equal(truth["box_predicted"][0], np.indices((SIDE, SIDE))[0] < 4)
    assert not truth["mask_predicted"][1].any()  # its lungs were not found
    assert not truth["box_predicted"][1].any()
    lungs = read_lungs_of(folder, "box_predicted")
    assert np.array_equal(lungs, np.stack([labels > 0, np.zeros_like(shown)]))


def test_zones_that_no_sample_has_are_an_error(tmp_path):
    samples = zone_samples(tmp_path / "samples", ["a.dcm"])
    lay_out_zones(tmp_path / "zones", ["b.dcm"])
    with pytest.raises(ValueError, match=r"no sample has a zone .* problems\.csv"):
        run_step(ZoneTruth(samples, {"given": given(tmp_path / "zones")}), tmp_path / "truth")


def test_the_truth_of_phantoms_is_what_changes_the_film_and_the_planted_token(tmp_path):
    pairs = [("a.png", "Nodule"), ("a.png", PLANTED_FINDING), ("b.png", PLANTED_FINDING)]
    images, findings = zip(*pairs, strict=True)
    samples = lay_out_samples(tmp_path / "samples", image=images, finding=findings)
    films = tmp_path / "films"
    for name in ("images", CHANGES, PLANTED):
        (films / name).mkdir(parents=True)
    grey = np.full((2 * SIDE, 2 * SIDE), 100, np.uint8)
    change, token = np.zeros_like(grey), np.zeros_like(grey)
    change[4:8, 6:10], token[:4, :4] = 20, 255
    for image, finding in pairs:
        cv2.imwrite(str(films / "images" / image), grey)
        cv2.imwrite(str(films / CHANGES / mask_name(image, finding)), change)
    cv2.imwrite(str(films / PLANTED / "a.png"), token)
    folder = tmp_path / "truth"
    run_step(PhantomTruth(given(films), samples, SIDE), folder)
    truth = read_truth(folder)
    causal, planted = np.zeros((2, SIDE, SIDE), bool)
    causal[2:4, 3:5], planted[:2, :2] = True, True
    assert list(truth) == ["causal", "planted"]
    assert np.array_equal(truth["causal"], np.stack([causal] * 3))
    assert np.array_equal(truth["planted"], np.stack([planted & False, planted, planted & False]))
