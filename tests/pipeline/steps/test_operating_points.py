"""The step that finds a beta: its films, what it writes, and who reads it."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from attribution.config import (
    AttributionConfig,
    IBAConfig,
    OperatingPointsConfig,
    Score,
    StatisticsConfig,
)
from models import bfloat16
from models.checkpoints import save_checkpoint
from models.config import FrozenPrecision
from models.densenet import DenseNet121, SeverityRegressor
from pipeline.config import compose_config
from pipeline.explained_task import explained_task
from pipeline.plan import plan_run
from pipeline.step import Machine
from pipeline.steps.explainer import BETA, Explainer, found_beta
from pipeline.steps.loaded_model import WEIGHTS, LoadedModel
from pipeline.steps.maps import Maps, Statistics
from pipeline.steps.operating_points import (
    TRIED,
    OperatingPoint,
    OperatingPointFilms,
    operating_points_table,
    predicted_positives,
    validation_films,
)
from pipeline.steps.sanity import Sanity
from pipeline.store import Store
from tests.pipeline.steps.films import LABELS, write_films
from tests.pipeline.steps.running import given, run_step

SETTINGS = OperatingPointsConfig(rounds=2)
FEW = IBAConfig(beta="auto", steps=2, noise_samples=2, antithetic=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Of an index, a pack, an untrained model of each kind and its statistics."""
    folder = tmp_path_factory.mktemp("films")
    index, pack = write_films(folder)
    found = {"index": index, "pack": pack}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        models = {"classifier": DenseNet121(len(LABELS)), "regressor": SeverityRegressor()}
    for name, model in models.items():
        found[name] = folder / name
        found[name].mkdir()
        labels = LABELS[: model.num_outputs]
        save_checkpoint(found[name] / WEIGHTS, model.eval(), labels, {})
        step = Statistics(
            model=given(found[name]),
            index=given(index),
            pack=given(pack),
            taps=("block2", "block3"),
            config=StatisticsConfig(),
            seed=0,
            threads=1,
        )
        found[f"{name} statistics"] = folder / f"{name} statistics"
        run_step(step, found[f"{name} statistics"])
    return found


def find(folders, explainer, folder, model="classifier", labels=LABELS):
    """Makes an operating point, and before it its films; what the two noted."""
    model_and_pack = {"model": given(folders[model]), "pack": given(folders["pack"]), "threads": 1}
    films = OperatingPointFilms(
        index=given(folders["index"]), labels=labels, num_films=4, seed=0, **model_and_pack
    )
    notes = run_step(films, folder.parent / "point films")
    point = OperatingPoint(
        films=given(folder.parent / "point films"),
        explainer=explainer,
        statistics=given(folders[f"{model} statistics"]),
        score=Score.sigmoid if labels else Score.output,
        config=SETTINGS,
        batch_size=2,
        **model_and_pack,
    )
    return notes + run_step(point, folder)


def test_it_writes_the_beta_with_all_that_were_tried(folders, tmp_path):
    explainer = Explainer("iba", FEW, {}, Score.logit)
    find(folders, explainer, tmp_path / "point")
    about = json.loads((tmp_path / "point" / BETA).read_text())
    tried = pd.read_csv(tmp_path / "point" / TRIED)
    assert len(tried) == SETTINGS.rounds
    assert about["beta"] in tried["beta"].to_list()
    assert about["met"] in tried["met"].to_list()
    # One of two positives of each finding among the two validation films is the surer.
    assert about["films"] == 2
    assert 0 < about["score"] < 1  # a probability, whatever score the maps explain
    table = operating_points_table({"findings bce": {"iba": tmp_path / "point"}})
    assert table.loc[0, ["model", "method", "tap"]].tolist() == ["findings bce", "iba", "block3"]
    assert table.loc[0, "beta"] == about["beta"]


def test_a_regressor_is_measured_by_its_score_on_films_of_any_score(folders, tmp_path):
    settings = replace(AttributionConfig().regression_iba_dv, beta="auto", steps=2, noise_samples=2)
    explainer = Explainer("regression_iba_dv", settings, {}, Score.output)
    notes = find(folders, explainer, tmp_path / "point", "regressor", labels=())
    about = json.loads((tmp_path / "point" / BETA).read_text())
    assert about["films"] == 2
    assert about["rule"] == "keeps the score within 0.5"
    assert bool(notes) == (not about["met"])


def test_a_rule_that_no_beta_meets_is_noted_and_no_error(folders, tmp_path):
    images = pd.read_csv(folders["index"] / "images.csv")
    images.loc[images["fold"] == "train", list(LABELS)] = 0
    (tmp_path / "index").mkdir()
    images.to_csv(tmp_path / "index" / "images.csv", index=False)
    explainer = Explainer("inverse_iba", FEW, {}, Score.logit)
    rare = {**folders, "index": tmp_path / "index"}
    notes = find(rare, explainer, tmp_path / "point")
    # An untrained network says about a half, whatever it sees: nothing takes that away.
    assert not json.loads((tmp_path / "point" / BETA).read_text())["met"]
    assert "inverse_iba: no beta between 0.01 and 1000 leaves at most a tenth" in notes[0]


def test_films_are_the_positives_that_the_model_is_surest_of_in_turn_of_the_labels(folders):
    loaded = LoadedModel.load(
        folders["classifier"], folders["pack"], Machine(folders["index"].parent, "cpu"), 1
    )
    fold = validation_films(folders["index"], loaded.films, seed=0)
    assert set(fold["image"]) == {"4.npy", "5.npy"}
    every = pd.read_csv(folders["index"] / "images.csv", dtype={"image": str}).head(8)
    found = predicted_positives(every, LABELS, 4, loaded)
    assert found["finding"].tolist() == ["Mass", "Nodule", "Mass", "Nodule"]
    positives = every[every["Mass"] == 1]["image"].to_list()
    samples = pd.DataFrame({"image": positives, "target": 0})
    with torch.no_grad():
        sure = loaded.probability(loaded.images(samples), loaded.targets(samples)).numpy()
    surest = np.array(positives)[np.argsort(-sure)[:2]]
    assert found[found["finding"] == "Mass"]["image"].tolist() == surest.tolist()
    assert predicted_positives(every, LABELS, 1, loaded)["finding"].tolist() == ["Mass"]


def test_a_fold_without_positives_asks_for_a_number(folders, tmp_path):
    images = pd.read_csv(folders["index"] / "images.csv")
    (tmp_path / "index").mkdir()
    images[["Mass", "Nodule"]] = 0
    images.to_csv(tmp_path / "index" / "images.csv", index=False)
    of_nobody = {**folders, "index": tmp_path / "index"}
    explainer = Explainer("iba", FEW, {}, Score.logit)
    with pytest.raises(ValueError, match=r"give a number as attribution\.<method>\.beta"):
        find(of_nobody, explainer, tmp_path / "point")


def test_maps_are_made_at_the_beta_that_was_found(folders, tmp_path):
    (tmp_path / "samples").mkdir()
    samples = pd.DataFrame({"sample": [0], "image": ["6.npy"], "target": [1], "seed": [3]})
    samples.to_csv(tmp_path / "samples" / "samples.csv", index=False)
    (tmp_path / "point").mkdir()
    (tmp_path / "point" / BETA).write_text('{"beta": 0.5}')
    assert found_beta(tmp_path / "point") == 0.5

    def bits(explainer, name):
        maps = Maps(
            model=given(folders["classifier"]),
            pack=given(folders["pack"]),
            samples=given(tmp_path / "samples"),
            explainer=explainer,
            statistics={"block3": given(folders["classifier statistics"])},
            batch_size=1,
            shard_size=1,
            threads=1,
        )
        run_step(maps, tmp_path / name)
        (shard,) = (tmp_path / name).glob("shards/*/diagnostics.csv")
        return pd.read_csv(shard)["bits"].item()

    points = {"iba": given(tmp_path / "point")}
    auto = Explainer("iba", FEW, {}, Score.logit, points)
    by_number = Explainer("iba", replace(FEW, beta=0.5), {}, Score.logit)
    other = Explainer("iba", replace(FEW, beta=50), {}, Score.logit)
    assert bits(auto, "auto") == bits(by_number, "number") != bits(other, "other")


def test_a_beta_in_bfloat16_is_found_where_that_is_faster_and_refused_elsewhere(
    folders, tmp_path, monkeypatch
):
    explainer = Explainer("iba", FEW, {}, Score.logit, precision=FrozenPrecision.bf16)
    monkeypatch.setattr(bfloat16, "product_rate", lambda _, dtype: 1e9 * dtype.itemsize)
    with pytest.raises(ValueError, match=r"2\.0 times as long in bfloat16"):
        find(folders, explainer, tmp_path / "slow")
    monkeypatch.setattr(bfloat16, "product_rate", lambda _, dtype: 1e9 / dtype.itemsize)
    find(folders, explainer, tmp_path / "fast")
    assert (tmp_path / "fast" / BETA).exists()


def test_scores_in_bfloat16_are_those_of_float32_up_to_its_rounding(folders):
    loaded = LoadedModel.load(
        folders["classifier"], folders["pack"], Machine(folders["index"].parent, "cpu"), 1
    )
    samples = pd.DataFrame({"image": ["4.npy", "5.npy"], "target": 0})
    given_to = loaded.images(samples), loaded.targets(samples)
    with torch.no_grad():
        full = loaded.probability(*given_to)
        half = replace(loaded, precision=FrozenPrecision.bf16).probability(*given_to)
    assert not torch.equal(half, full)
    torch.testing.assert_close(half, full, rtol=0, atol=0.01)


def planned(tmp_path, *overrides):
    config = compose_config([f"paths.outputs={tmp_path}", *overrides])
    return config, plan_run(config, Store(tmp_path / "store").digests)


def test_every_model_tap_and_method_has_an_operating_point_of_its_own(tmp_path):
    config, plan = planned(tmp_path)
    points = {
        (name, loss, method): step
        for name, explained in plan.tasks.items()
        for loss, by_method in explained.operating_points.items()
        for method, step in by_method.items()
    }
    bottlenecks = ("iba", "iba_block1", "iba_block2", "inverse_iba")
    primary = config.train.primary.value
    for task, loss in (("findings", primary), ("detectors", config.brixia.detector.primary.value)):
        assert {method for name, of, method in points if (name, of) == (task, loss)} == {
            *bottlenecks
        }
    others = {
        (loss, method) for name, loss, method in points if name == "findings" and loss != primary
    }
    assert others == {("bce", "inverse_iba")}  # Table 3's other model
    assert {method for name, _, method in points if name == "severity"} == {
        *("regression_iba_mse", "regression_iba_rm", "regression_iba_dv")
    }
    assert len({step.key for step in points.values()}) == len(points)
    assert len({step.title for step in points.values()}) == len(points)
    for name, explained in plan.tasks.items():
        for method, maps in explained.maps.items():
            if isinstance(maps, Maps) and "iba" in method:
                own = points[explained.task.models_of or name, explained.task.primary, method]
                assert maps.explainer.operating_points == {method: own}
                assert maps.inputs[f"explainer.operating_points.{method}"] is own


def test_the_films_of_operating_points_are_chosen_once_for_each_model(tmp_path):
    _, plan = planned(tmp_path)
    for explained in plan.tasks.values():
        for points in explained.operating_points.values():
            assert len({point.inputs["films"].key for point in points.values()}) == 1
    films = [step for step in plan.order if isinstance(step, OperatingPointFilms)]
    assert {step.label for step in films} == {"findings", "findings bce", "detectors", "severity"}


def test_multilayer_iba_takes_the_operating_points_of_its_layers(tmp_path):
    _, plan = planned(tmp_path)
    findings = plan.tasks["findings"]
    points = findings.operating_points[findings.task.primary]
    layers = findings.explainers["multilayer_iba"].operating_points
    assert layers == {name: points[name] for name in ("iba_block1", "iba_block2", "iba")}
    joined = findings.maps["multilayer_iba"]
    assert {name: each.explainer.operating_points for name, each in joined.layers.items()} == {
        name: {name: points[name]} for name in layers
    }


def test_with_a_number_the_key_holds_the_number_alone(tmp_path):
    _, plan = planned(tmp_path, "attribution.iba.beta=20")
    findings = plan.tasks["findings"]
    assert "iba" not in findings.operating_points[findings.task.primary]
    maps = findings.maps["iba"]
    assert maps.explainer.operating_points == {}
    assert maps.key_parts["settings"]["explainer"]["settings"]["beta"] == 20.0
    assert not any("operating_points" in role for role in maps.inputs)


def test_published_settings_find_no_operating_point(tmp_path):
    config, plan = planned(tmp_path, "attribution=default")
    assert all(not each.operating_points for each in plan.tasks.values())
    assert explained_task(config, plan.tasks["findings"].task).statistics.keys() == {
        *("block1", "block2", "block3")
    }


def test_one_step_holds_the_statistics_of_all_taps_of_a_model(tmp_path):
    _, plan = planned(tmp_path)
    findings = plan.tasks["findings"]
    assert len({step.key for step in findings.statistics.values()}) == 1
    assert findings.statistics["block1"].taps == ("block1", "block2", "block3")


def test_sanity_reads_the_beta_of_the_trained_model(tmp_path):
    _, plan = planned(tmp_path)
    sanity = [step for step in plan.order if isinstance(step, Sanity)]
    with_beta = [step for step in sanity if "beta" in vars(step.explainer.settings)]
    assert with_beta
    for each in with_beta:
        assert each.explainer.operating_points
