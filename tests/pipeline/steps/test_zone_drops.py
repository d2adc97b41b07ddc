"""Zone drops: the score without each ill zone, of a model of known weights, and maps beside."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from data.brixia_score import ZONES
from data.phantom.brixia_layout import WITHOUT
from evaluation.correlation import zone_agreement, zone_groups
from pipeline.executors.base import PiecesMissingError
from pipeline.steps.loaded_model import LoadedModel
from pipeline.steps.zone_drops import AgainstDrops, ZoneDrops
from tests.pipeline.steps.running import given, run_step

SCORES = np.array([[0, 1, 2, 3, 0, 0], [3, 3, 0, 1, 2, 1], [0, 0, 0, 0, 0, 2]])
WEIGHTS = np.array([1.0, 2, 4, 8, 16, 32])  # of a zone's score in the model's


@dataclass(frozen=True)
class Films:
    """A cohort whose film is a row of six scores, written as text."""

    def read_square(self, path, side):
        return np.array([[int(digit) for digit in path.read_text()]], np.uint8), ""


@pytest.fixture
def drops(tmp_path, monkeypatch):
    for name in ("samples", "model", "pack", f"films/{WITHOUT}", "zones"):
        (tmp_path / name).mkdir(parents=True)
    images = [f"{number}.dcm" for number in range(3)]
    samples = pd.DataFrame({"sample": range(3), "image": images, "patient": range(3)})
    samples = samples.assign(finding="severity", target=SCORES.sum(axis=1).astype(float))
    samples[list(ZONES)] = SCORES
    samples.to_csv(tmp_path / "samples" / "samples.csv", index=False)
    for number, scores in enumerate(SCORES):
        for zone in np.flatnonzero(scores):
            healthy = scores.copy()
            healthy[zone] = 0
            path = tmp_path / "films" / WITHOUT / f"{number}_{ZONES[zone]}.dcm"
            path.write_text("".join(map(str, healthy)))
    np.save(tmp_path / "zones" / "labels.npy", np.zeros((2, 2, 2), np.uint8))
    np.save(tmp_path / "zones" / "boxes.npy", np.zeros((2, 6, 4), int))
    pd.DataFrame({"image": images[1:]}).to_csv(tmp_path / "zones" / "films.csv", index=False)

    stored = dict(zip(images, SCORES[:, None].astype(np.uint8), strict=True))
    loaded = SimpleNamespace(
        device="cpu",
        films=SimpleNamespace(load=lambda names: np.stack([stored[name] for name in names])),
        targets=lambda part: torch.tensor(part["target"].to_numpy()),
        probability=lambda films, targets: films[:, 0, 0].double() @ torch.from_numpy(WEIGHTS),
    )
    monkeypatch.setattr(LoadedModel, "load", lambda *_: loaded)
    monkeypatch.setattr("models.densenet.normalise", lambda films: films[:, None])
    sources = {name: given(tmp_path / name) for name in ("samples", "model", "pack", "films")}
    return ZoneDrops(**sources, cohort=Films(), side=1, threads=1, shard=2)


def against(tmp_path, means=None):
    if means is not None:
        (tmp_path / "severity").mkdir()
        np.save(tmp_path / "severity" / "zone_means.npy", means)
    step = AgainstDrops(
        *(given(tmp_path / name) for name in ("drops", "samples", "zones")),
        severity=None if means is None else given(tmp_path / "severity"),
    )
    run_step(step, tmp_path / "run")
    rows = pd.read_csv(tmp_path / "run" / "samples.csv")
    return rows.pivot(index="sample", columns="metric", values="value").reset_index()


def test_a_drop_is_what_the_zone_gave_the_score_and_0_for_a_healthy_one(drops, tmp_path):
    run_step(drops, tmp_path / "drops")
    shards = sorted((tmp_path / "drops" / "shards").iterdir())
    found = pd.concat([pd.read_csv(shard / "drops.csv") for shard in shards])
    np.testing.assert_allclose(found[list(ZONES)], SCORES * WEIGHTS)
    assert found["sample"].tolist() == [0, 1, 2]


def test_the_model_is_set_against_the_scores_on_films_whose_zones_are_known(drops, tmp_path):
    run_step(drops, tmp_path / "drops")
    rows, known = against(tmp_path), SCORES[1:]
    assert rows["sample"].tolist() == [1, 2]
    expected = zone_agreement(known * WEIGHTS, known, "scores")
    expected |= zone_groups(known * WEIGHTS, known)
    for name, values in expected.items():
        np.testing.assert_allclose(rows[name], values)
    assert rows["drop_score2"].tolist() == [32, 64]
    assert rows["drop_score3"].tolist()[0] == (3 + 6) / 2


def test_maps_are_set_against_the_drops_and_the_scores(drops, tmp_path):
    run_step(drops, tmp_path / "drops")
    rows = against(tmp_path, means=2.0 * (SCORES * WEIGHTS)[1:] + 1)
    np.testing.assert_allclose(rows["drops_pearson"], 1)
    np.testing.assert_allclose(rows["drops_spearman"], 1)
    expected = zone_agreement((SCORES * WEIGHTS)[1:], SCORES[1:], "scores")
    np.testing.assert_allclose(rows["scores_pearson"], expected["scores_pearson"])


def test_phantoms_without_counterfactuals_say_so_and_have_no_rows(drops, tmp_path):
    for path in (tmp_path / "films" / WITHOUT).iterdir():
        path.unlink()
    (tmp_path / "films" / WITHOUT).rmdir()
    assert "no film with a zone made healthy" in run_step(drops, tmp_path / "drops")[0]
    assert against(tmp_path).empty


def test_a_counterfactual_that_is_absent_is_an_error(drops, tmp_path):
    (tmp_path / "films" / WITHOUT / "1_D.dcm").unlink()
    with pytest.raises(PiecesMissingError, match=r"1_D\.dcm"):
        run_step(drops, tmp_path / "drops")
