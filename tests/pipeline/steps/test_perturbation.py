"""What the model answers is measured under keys that hold all settings of one method's result."""

import pickle
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from attribution.config import IBAConfig, Score, StatisticsConfig
from evaluation.config import (
    Baseline,
    EqualAreaConfig,
    InsertionDeletionConfig,
    ROADConfig,
    SanityConfig,
)
from pipeline.step import UserFiles
from pipeline.steps.explainer import Explainer
from pipeline.steps.loaded_model import LoadedModel
from pipeline.steps.perturbation import EndScores, EqualArea, InsertionDeletion, OwnMetric, Road
from pipeline.steps.sanity import Sanity
from tests.pipeline.steps.running import given, run_step

FILES = {name: UserFiles(name, name) for name in ("model", "pack", "samples", "maps")}
ENDS = UserFiles("ends", "ends")
IBA = Explainer("iba", IBAConfig(), {}, Score.logit)


@dataclass
class KeptConfig:
    share: float = 0.1


def sanity(config):
    return Sanity(
        **FILES,
        train_index=UserFiles("train_index", "train_index"),
        train_pack=UserFiles("train_pack", "train_pack"),
        explainer=IBA,
        config=config,
        statistics=StatisticsConfig(),
        seed=0,
        threads=1,
    )


def equal_area():
    prediction = UserFiles("prediction", "prediction")
    return EqualArea(**FILES, prediction=prediction, config=EqualAreaConfig(), threads=1)


def road(config):
    return Road(**FILES, config=config, threads=1)


@pytest.mark.parametrize(
    ("step", "config"),
    [(road, ROADConfig()), (sanity, SanityConfig())],
)
def test_the_other_methods_that_are_measured_are_in_no_key(step, config):
    assert step(replace(config, methods=["lrp"])).key == step(config).key
    assert step(replace(config, max_samples=3)).key != step(config).key


def test_each_step_has_its_settings_batches_and_threads_in_its_key():
    steps = [
        InsertionDeletion(**FILES, ends=ENDS, config=InsertionDeletionConfig(), threads=1),
        equal_area(),
        road(ROADConfig()),
        OwnMetric(**FILES, metric="kept", settings=KeptConfig(), threads=1),
        OwnMetric(**FILES, metric="kept", settings=KeptConfig(0.2), threads=1),
        OwnMetric(**FILES, metric="left", settings=KeptConfig(), threads=1),
    ]
    others = [replace(step, **{name: 3}) for step in steps for name in ("shard", "threads")]
    assert len({step.key for step in (*steps, *others)}) == 3 * len(steps)


def test_only_what_costs_much_is_measured_on_some_of_the_samples():
    limited = InsertionDeletionConfig(max_samples=5)
    assert InsertionDeletion(**FILES, ends=ENDS, config=limited, threads=1).max_samples == 5
    assert road(ROADConfig(max_samples=6)).max_samples == 6
    assert equal_area().max_samples is None


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """Three samples in shards of two, on a model whose score is a film's mean; how often it ran."""
    films = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) + 0.5
    runs = []

    def probability(images, targets):
        runs.append(len(images))
        return images.mean((1, 2, 3))

    loaded = SimpleNamespace(
        films=SimpleNamespace(side=8),
        images=lambda part: films[part["sample"].to_numpy()],
        targets=lambda part: torch.tensor(part["target"].to_numpy()),
        probability=probability,
    )
    monkeypatch.setattr(LoadedModel, "load", lambda *_: loaded)
    samples = pd.DataFrame({"sample": range(3), "image": list("abc"), "patient": range(3)})
    samples = samples.assign(finding="Mass", target=0, turn=[2, 0, 1])
    (tmp_path / "samples").mkdir()
    samples.to_csv(tmp_path / "samples" / "samples.csv", index=False)
    shard = tmp_path / "maps" / "shards" / "00000"
    shard.mkdir(parents=True)
    np.save(shard / "maps.npy", np.random.default_rng(0).random((3, 8, 8), dtype=np.float32))
    for name in ("model", "pack"):
        (tmp_path / name).mkdir()
    return films, runs, {name: given(tmp_path / name) for name in ("model", "pack", "samples")}


def test_both_ends_of_the_curves_are_scored_once_and_not_for_each_method(scored, tmp_path):
    films, runs, sources = scored
    config = InsertionDeletionConfig(steps=4 * 224 // 8, max_samples=2, baselines=[Baseline.zero])
    run_step(EndScores(**sources, config=config, threads=1), tmp_path / "ends")
    assert sum(runs) == 2 * 2  # film and blank of the two samples that are measured
    runs.clear()
    step = InsertionDeletion(
        **sources,
        maps=given(tmp_path / "maps"),
        ends=given(tmp_path / "ends"),
        config=config,
        threads=1,
        shard=2,
    )
    run_step(step, tmp_path / "curves")
    assert sum(runs) == 2 * 2 * 3  # two games, three states between the ends
    rows = pd.read_csv(tmp_path / "curves" / "shards" / "00000" / "samples.csv")
    assert rows["sample"].tolist() == [1, 2]
    np.testing.assert_allclose(rows["score"], films[1:].mean((1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(rows["blank"], 0)


def test_equal_area_takes_the_films_score_from_the_prediction(scored, tmp_path):
    _, runs, sources = scored
    shard = tmp_path / "prediction" / "shards" / "0"
    shard.mkdir(parents=True)
    (tmp_path / "prediction" / "images.txt").write_text("c\nb\na")
    np.save(shard / "logits.npy", np.array([[3.0, 9], [2, 9], [1, 9]], np.float32))
    config = EqualAreaConfig(fractions=[1.0], baseline=Baseline.zero)
    step = EqualArea(
        **sources,
        maps=given(tmp_path / "maps"),
        prediction=given(tmp_path / "prediction"),
        config=config,
        threads=1,
    )
    run_step(step, tmp_path / "run")
    assert sum(runs) == 3  # without all pixels, and never as it is
    rows = pd.read_csv(tmp_path / "run" / "shards" / "00000" / "samples.csv")
    np.testing.assert_allclose(rows["value"], 1 / (1 + np.exp([-1.0, -2, -3])), rtol=1e-6)


def test_a_step_comes_to_a_worker_with_its_key():
    step = sanity(SanityConfig())
    assert pickle.loads(pickle.dumps(step)).key == step.key
