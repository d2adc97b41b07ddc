"""Which test films have samples: boxes, several lesions, several zones of score 3; or none."""

import cv2
import numpy as np
import pandas as pd
import pytest

from data.brixia_score import ZONES, label_columns
from data.phantom.nih_layout import LESIONS, mask_name
from pipeline.steps.regions import AllRegions, LesionRegions
from pipeline.steps.samples import BoxSamples, LesionSamples, ThreesSamples, read_samples
from pipeline.steps.truth import BoxTruth, ZoneTruth, read_truth
from tests.packing import pack
from tests.pipeline.steps.running import given, run_step

IMAGES = ["a.png", "b.png", "c.png", "d.png", "absent.png"]
FOLDS = ["test", "test", "train", "test", "test"]
LABELS = ("Mass", "Nodule")
SIDE = 32


@pytest.fixture
def sources(tmp_path):
    """Films of two findings each with as many lesions as ``several`` says; one cannot be read."""
    several = {"a.png": (2, 1), "b.png": (1, 3), "c.png": (2, 2), "d.png": (0, 2)}
    rows = []
    (tmp_path / "films" / LESIONS).mkdir(parents=True)
    for image, counts in several.items():
        for finding, count in zip(LABELS, counts, strict=True):
            if count:
                lesions = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) % (count + 1)
                path = tmp_path / "films" / LESIONS / mask_name(image, finding)
                cv2.imwrite(str(path), lesions)
                rows.append({"image": image, "finding": finding})
    boxes = pd.DataFrame([*rows, {"image": "absent.png", "finding": "Mass"}])
    boxes["fold"] = boxes["image"].map(dict(zip(IMAGES, FOLDS, strict=True)))
    boxes["patient"] = boxes["image"].map(IMAGES.index)
    (tmp_path / "index").mkdir()
    boxes.assign(x=0.0, y=0.0, w=512.0, h=512.0).to_csv(tmp_path / "index/boxes.csv", index=False)
    films = pd.DataFrame({"image": IMAGES[:-1], "path": IMAGES[:-1]})
    grey = np.zeros((SIDE, SIDE), np.uint8)
    pack(films, tmp_path, tmp_path / "pack", SIDE, reader=lambda *_: (grey, ""))
    return {name: given(tmp_path / name) for name in ("index", "pack")}


def drawn(step, folder):
    notes = run_step(step, folder)
    samples = read_samples(folder)
    return list(zip(samples["image"], samples["finding"], strict=True)), notes


def lesions(sources, tmp_path, **changed):
    settings = {"labels": LABELS, "findings": None, "max_samples": None, "seed": 0, **changed}
    return LesionSamples(films=given(tmp_path / "films"), **sources, **settings)


def test_boxes_of_readable_test_films_are_samples(sources, tmp_path):
    step = BoxSamples(**sources, labels=LABELS, findings=None, max_samples=None, seed=0)
    found, notes = drawn(step, tmp_path / "run")
    of_two = [(image, finding) for image in ("a.png", "b.png") for finding in LABELS]
    assert found == [*of_two, ("d.png", "Nodule")]
    assert notes == [
        "5 of 5 are explained, on 3 films of 3 patients",
        "2 boxes lie on films outside the test fold: left out",
    ]


def test_a_film_with_several_lesions_of_a_finding_is_a_sample_for_it(sources, tmp_path):
    found, notes = drawn(lesions(sources, tmp_path), tmp_path / "run")
    assert found == [("a.png", "Mass"), ("b.png", "Nodule"), ("d.png", "Nodule")]
    assert notes == ["3 of 3 are explained, on 3 films of 3 patients"]
    assert read_samples(tmp_path / "run")["w"].tolist() == [512.0] * 3
    few, _ = drawn(lesions(sources, tmp_path, max_samples=2), tmp_path / "few")
    assert {finding for _, finding in few} == {*LABELS}  # even over the findings
    asked, _ = drawn(lesions(sources, tmp_path, findings=("Mass",)), tmp_path / "asked")
    assert asked == [("a.png", "Mass")]


def test_without_such_a_film_all_that_follows_is_made_of_no_sample(sources, tmp_path):
    for path in (tmp_path / "films" / LESIONS).iterdir():
        cv2.imwrite(str(path), np.ones((SIDE, SIDE), np.uint8))
    found, _ = drawn(lesions(sources, tmp_path), tmp_path / "samples")
    assert found == []
    samples = given(tmp_path / "samples")
    run_step(LesionRegions(given(tmp_path / "films"), samples, SIDE), tmp_path / "regions")
    run_step(BoxTruth(samples, SIDE, rounding=None), tmp_path / "truth")
    assert read_truth(tmp_path / "truth")["box"].shape == (0, 0, 0)
    (tmp_path / "maps" / "shards").mkdir(parents=True)
    for maps, prior in ((given(tmp_path / "maps"), None), (None, "class_prior")):
        step = AllRegions(
            samples=samples,
            regions=given(tmp_path / "regions"),
            truth=given(tmp_path / "truth"),
            place=None,
            maps=maps,
            prior=prior,
        )
        run_step(step, tmp_path / f"of {prior}")
        assert pd.read_csv(tmp_path / f"of {prior}" / "samples.csv").empty


def test_no_box_at_all_is_an_error_that_names_the_file(sources, tmp_path):
    boxes = pd.read_csv(tmp_path / "index" / "boxes.csv")
    boxes.assign(fold="train").to_csv(tmp_path / "index" / "boxes.csv", index=False)
    step = BoxSamples(**sources, labels=LABELS, findings=None, max_samples=None, seed=0)
    with pytest.raises(ValueError, match=r"nothing to explain: .*BBox_List_2017\.csv"):
        run_step(step, tmp_path / "run")


def test_a_film_with_two_zones_of_score_3_is_a_sample_of_the_detector_of_that_score(
    sources, tmp_path
):
    scores = np.array(
        [[3, 0, 0, 3, 0, 0], [3, 2, 1, 0, 0, 0], [3] * 6, [0, 3, 3, 3, 0, 0], [3] * 6]
    )
    images = pd.DataFrame({"image": IMAGES, "path": IMAGES, "fold": FOLDS, "patient": range(5)})
    images = images.join(label_columns(scores.astype(np.uint8)))
    images.to_csv(tmp_path / "index" / "images.csv", index=False)
    step = ThreesSamples(**sources, max_samples=None, seed=0)
    found, _ = drawn(step, tmp_path / "run")
    assert found == [("a.png", "Detector3"), ("d.png", "Detector3")]
    samples = read_samples(tmp_path / "run")
    assert samples["target"].tolist() == [2, 2]
    assert samples[list(ZONES)].to_numpy().tolist() == scores[[0, 3]].tolist()
    images.assign(fold="train").to_csv(tmp_path / "index" / "images.csv", index=False)
    assert drawn(step, tmp_path / "none")[0] == []
    zones = tmp_path / "zones"
    zones.mkdir()
    pd.DataFrame({"image": []}).to_csv(zones / "films.csv", index=False)
    for name in ("labels", "boxes"):
        np.save(zones / f"{name}.npy", np.zeros((0, SIDE, SIDE), np.uint8))
    run_step(ZoneTruth(given(tmp_path / "none"), {"true": given(zones)}), tmp_path / "truth")
    assert read_truth(tmp_path / "truth")["mask_true"].shape == (0, 0, 0)
