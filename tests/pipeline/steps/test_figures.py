"""Which films the figures show and what they say of their maps, from what steps left of them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attribution.config import Score
from data.brixia_score import ZONES
from pipeline.steps.figures import Figures
from pipeline.steps.scored_figures import ScoredFigures
from tests.packing import pack
from tests.pipeline.steps.running import given, run_step

SIDE, COUNT = 16, 5
IMAGES = [f"{number}.npy" for number in range(COUNT)]
LOGITS = np.array([2.0, 1, -1, 3, 2])
IOU = np.array([0.5, 0.4, 0.0, 0.1, 0.2])  # film 4 is the median, film 3 the worst predicted one
BEHIND = -np.log(9)  # as a probability 0.1


def write_samples(folder: Path, **columns: object) -> None:
    folder.mkdir(parents=True)
    samples = pd.DataFrame({"sample": range(COUNT), "image": IMAGES, "patient": range(COUNT)})
    samples.assign(**columns).to_csv(folder / "samples.csv", index=False)


def write_prediction(folder: Path, outputs: np.ndarray) -> None:
    (folder / "shards" / "0").mkdir(parents=True)
    (folder / "images.txt").write_text("\n".join(IMAGES))
    np.save(folder / "shards" / "0" / "logits.npy", outputs[:, None].astype(np.float32))


def write_maps(folder: Path, behind: float | None) -> None:
    shard = folder / "shards" / "0"
    shard.mkdir(parents=True)
    np.save(shard / "maps.npy", np.ones((COUNT, SIDE, SIDE), np.float32))
    told = pd.DataFrame({"sample": range(COUNT), "score": LOGITS})
    told = told if behind is None else told.assign(bottleneck_score=behind)
    told.to_csv(shard / "diagnostics.csv", index=False)


def write_pack(root: Path) -> None:
    films = pd.DataFrame({"image": IMAGES, "path": IMAGES})
    grey = np.full((SIDE, SIDE), 100, np.uint8)
    pack(films, root, root / "pack", SIDE, shard_size=4, threads=1, reader=lambda *_: (grey, ""))


def figures(root: Path) -> Figures:
    return Figures(
        films=None,
        pack=given(root / "pack"),
        trainings={},
        prediction=given(root / "prediction"),
        samples=given(root / "samples"),
        causal=given(root / "causal"),
        maps={name: given(root / name) for name in ("iba", "inverse_iba", "multilayer_iba")},
        lesion_samples=given(root / "samples"),
        lesion_causal=given(root / "causal"),
        lesion_maps={name: given(root / name) for name in ("iba", "inverse_iba")},
        score=Score.logit,
        tables=given(root / "tables"),
        dataset="nih_phantoms",
        examples_per_finding=1,
        hash_ids=False,
    )


@pytest.fixture
def boxed(tmp_path) -> Path:
    """Films of a large heart across the middle, explained by three methods, without tables."""
    box = {"x": 256.0, "y": 256.0, "w": 512.0, "h": 512.0}
    write_samples(tmp_path / "samples", finding="Cardiomegaly", target=0, **box)
    write_prediction(tmp_path / "prediction", LOGITS)
    write_pack(tmp_path)
    for name in ("iba", "inverse_iba"):
        write_maps(tmp_path / name, BEHIND)
    write_maps(tmp_path / "multilayer_iba", None)
    (tmp_path / "causal").mkdir()
    np.save(tmp_path / "causal" / "causal.npy", np.zeros((COUNT, SIDE, SIDE), bool))
    (tmp_path / "causal" / "places.txt").write_text("causal")
    (tmp_path / "tables").mkdir()
    return tmp_path


def record(folder: Path) -> dict:
    return json.loads((folder / "figures.json").read_text())


def films_of(said: str) -> list[str]:
    return [film for film in IMAGES for _ in range(said.count(f"Film {film}"))]


def write_iou(folder: Path, name: str, **columns: object) -> None:
    rows = pd.DataFrame({"sample": range(COUNT), "iou": IOU}).assign(**columns)
    methods = pd.Series(["iba", "inverse_iba", "multilayer_iba"], name="method")
    rows.merge(methods, how="cross").to_csv(folder / f"{name}.csv", index=False)


def test_fig_1_and_4_show_the_median_film_and_the_worst_of_those_predicted(boxed):
    write_iou(boxed / "tables", "table1_samples")
    run_step(figures(boxed), boxed / "figures")
    drawn = record(boxed / "figures")
    for name, method in (("fig1", "Inverse IBA"), ("fig4", "Multi-layer IBA")):
        said = drawn[name]["alt"]
        assert said.index("Median film. Film 4.npy") < said.index(f"Worst of {method}. Film 3.npy")
        assert films_of(said) == ["3.npy", "4.npy"]
        assert f"whose IoU by {method} is the median" in drawn[name]["caption"]
        assert "white: the pixels that the finding changes" in drawn[name]["caption"]
    assert drawn["fig1"]["methods"] == ["iba", "inverse_iba"]
    assert "Inverse IBA, maximum 1 bits/pixel, IoU 0.20 · 256 bits" in drawn["fig1"]["alt"]
    assert "probability behind: 0.10, 50 % on the lesser side" in drawn["fig1"]["alt"]
    assert "Multi-layer IBA, IoU 0.10." in drawn["fig4"]["alt"]  # which has no bottleneck


def test_films_with_several_lesions_are_shown_by_the_recall_of_the_least_lesion(boxed):
    rows = [
        {"method": method, "sample": sample, "metric": metric, "value": recall}
        for method, recalls in (("iba", (0.0, 0.1, 0.2)), ("inverse_iba", (0.6, 0.5, 0.7)))
        for sample, recall in enumerate(recalls)
        for metric in ("least_recall", "evenness")
    ]
    table = pd.DataFrame(rows).assign(task="lesions")
    other = table.assign(task="threes", value=0.9)
    pd.concat([table, other]).to_csv(boxed / "tables" / "all_regions_samples.csv", index=False)
    notes = run_step(figures(boxed), boxed / "figures")
    drawn = record(boxed / "figures")["fig1_lesions"]
    assert films_of(drawn["alt"]) == ["0.npy", "1.npy"]
    assert "Median film. Film 0.npy" in drawn["alt"]
    assert "recall of the least: 0.60" in drawn["alt"]
    assert "recall of the least lesion by Inverse IBA" in drawn["caption"]
    assert any("no fig1: of" in note for note in notes)  # no IoU was measured


def scored_figures(root: Path) -> ScoredFigures:
    maps = {name: given(root / name) for name in ("iba", "inverse_iba")}
    return ScoredFigures(
        tables=given(root / "tables"),
        trainings={},
        pack=given(root / "pack"),
        zones=given(root / "zones"),
        detector_prediction=given(root / "prediction"),
        detector_samples=given(root / "detected"),
        detector_maps=maps,
        score=Score.logit,
        severity_prediction=given(root / "severity"),
        severity_samples=given(root / "scored"),
        severity_maps={"regression_iba_dv": given(root / "regression_iba_dv")},
        hash_ids=False,
    )


@pytest.fixture
def scored(tmp_path) -> Path:
    """Films with three zones of score 3, which two of Detector3's methods and a regressor see."""
    scores = dict(zip(ZONES, (3, 3, 3, 1, 0, 0), strict=True))
    write_samples(tmp_path / "detected", finding="Detector3", target=0, **scores, score=10)
    write_samples(tmp_path / "scored", finding="severity", target=10.0, **scores, score=10)
    write_prediction(tmp_path / "prediction", LOGITS)
    write_prediction(tmp_path / "severity", np.array([10.0, 9, 14, 11, 2]))
    write_pack(tmp_path)
    for name in ("iba", "inverse_iba"):
        write_maps(tmp_path / name, BEHIND)
    write_maps(tmp_path / "regression_iba_dv", 9.8)
    (tmp_path / "zones").mkdir()
    labels = np.zeros((COUNT, SIDE, SIDE), np.uint8)
    for zone in range(6):
        labels[:, 2 * zone + 2 : 2 * zone + 4, 2:6] = zone + 1
    np.save(tmp_path / "zones" / "labels.npy", labels)
    np.save(tmp_path / "zones" / "boxes.npy", np.zeros((COUNT, 6, 4), int))
    pd.DataFrame({"image": IMAGES}).to_csv(tmp_path / "zones" / "films.csv", index=False)
    (tmp_path / "tables").mkdir()
    return tmp_path


def test_fig_3a_shows_the_detectors_maps_and_the_regressors_on_scored_zones(scored):
    pcc = pd.DataFrame({"method": "regression_iba_dv", "sample": range(COUNT)})
    pcc["pcc_lungs"] = [0.5, 0.4, 0.0, 0.1, 0.2]  # film 2 is predicted wrong, by 4 points
    pcc.to_csv(scored / "tables" / "pcc_samples.csv", index=False)
    assert not run_step(scored_figures(scored), scored / "figures")[1:]
    drawn = record(scored / "figures")["fig3a"]
    assert films_of(drawn["alt"]) == ["3.npy", "4.npy"]
    assert "Median film. Film 4.npy" in drawn["alt"]
    assert "predicted severity 11.0 of 18 · scored 10 of 18" in drawn["alt"]
    assert "Detector3 predicts 0.88, probability behind: 0.10" in drawn["alt"]
    assert "PCC in the lungs 0.20, severity behind: 9.8" in drawn["alt"]
    assert drawn["methods"] == ["iba", "inverse_iba", "regression_iba_dv"]


def test_fig_1_of_scored_films_shows_them_by_the_recall_of_the_least_zone(scored):
    rows = pd.DataFrame({"sample": range(COUNT), "metric": "least_recall", "value": IOU})
    rows = pd.concat([rows.assign(task="threes"), rows.assign(task="lesions", value=1 - IOU)])
    methods = pd.Series(["iba", "inverse_iba"], name="method")
    path = scored / "tables" / "all_regions_samples.csv"
    rows.merge(methods, how="cross").to_csv(path, index=False)
    run_step(scored_figures(scored), scored / "figures")
    drawn = record(scored / "figures")["fig1_scored"]
    assert films_of(drawn["alt"]) == ["3.npy", "4.npy"]
    assert "recall of the least: 0.20" in drawn["alt"]
    assert "in zones of score 3" in drawn["alt"]
    assert "recall of the least zone by Inverse IBA" in drawn["caption"]


def test_a_film_that_the_detectors_did_not_explain_is_not_in_fig_3a(scored):
    samples = pd.read_csv(scored / "detected" / "samples.csv")
    samples.assign(image="other.npy").to_csv(scored / "detected" / "samples.csv", index=False)
    pcc = pd.DataFrame({"method": "regression_iba_dv", "sample": range(COUNT), "pcc_lungs": 0.1})
    pcc.to_csv(scored / "tables" / "pcc_samples.csv", index=False)
    (scored / "prediction" / "images.txt").write_text("\n".join(["other.npy", *IMAGES[1:]]))
    notes = run_step(scored_figures(scored), scored / "figures")
    assert "fig3a" not in record(scored / "figures")
    assert any(note.startswith("no fig3a: of") for note in notes)
