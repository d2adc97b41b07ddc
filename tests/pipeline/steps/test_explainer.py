"""A method as steps use it: its settings come from the explainer alone, and all are in the key."""

from dataclasses import dataclass, replace

import pytest
import torch

from attribution import methods
from attribution.config import (
    OWN_METHODS,
    AttributionConfig,
    GradCAMConfig,
    IBAConfig,
    MultilayerIBAConfig,
    Score,
)
from attribution.multilayer_iba import MultilayerIBA
from attribution.statistics import FeatureStatistics
from models.config import FrozenPrecision
from pipeline.step import UserFiles
from pipeline.steps.explainer import Explainer
from pipeline.steps.maps import Maps


@dataclass
class TilesConfig:
    tiles: int = 4


class Tiles:
    def __init__(self, config):
        self.config = config


@pytest.fixture
def own_method():
    methods.register_method("tiles", Tiles, TilesConfig())
    yield
    del methods.METHODS["tiles"], OWN_METHODS["tiles"]


def multilayer():
    layers = {"iba_block1": IBAConfig(tap="block1", steps=3), "iba": IBAConfig(tap="block2")}
    settings = MultilayerIBAConfig(layers=list(layers), thresholds=[1.0, 2.0])
    return Explainer("multilayer_iba", settings, layers, Score.logit)


def maps(explainer):
    files = {name: UserFiles(name, name) for name in ("model", "pack", "samples")}
    return Maps(**files, explainer=explainer, statistics={}, batch_size=4, shard_size=8, threads=1)


def test_a_method_is_built_with_the_explainers_settings():
    settings = GradCAMConfig(tap="block2")
    assert Explainer("grad_cam", settings, {}, Score.logit).build({}).config == settings


def test_multilayer_iba_is_built_with_the_settings_of_its_layers():
    explainer = multilayer()
    assert explainer.taps == ("block1", "block2")
    one = torch.ones(1, 2, 2)
    method = explainer.build(
        {tap: FeatureStatistics(tap, one, one, one, 2) for tap in explainer.taps}
    )
    assert isinstance(method, MultilayerIBA)
    assert [layer.config for layer in method.layers] == list(explainer.layers.values())


def test_a_users_own_method_is_built_with_the_settings_that_its_key_holds(own_method):
    explainer = Explainer("tiles", TilesConfig(tiles=7), {}, Score.logit)
    assert explainer.taps == ()
    assert explainer.build({}).config == TilesConfig(tiles=7)


def test_an_explainer_of_a_configuration_takes_the_method_and_its_layers_along():
    config = AttributionConfig(multilayer_iba=multilayer().settings)
    explainer = Explainer.of("multilayer_iba", config, Score.logit, 224)
    assert explainer.layers == {"iba_block1": config.iba_block1, "iba": config.iba}
    assert Explainer.of("iba", config, Score.output, 224) == Explainer(
        "iba", config.iba, {}, Score.output
    )


@pytest.mark.parametrize(("side", "cells"), [(224, 1.0), (112, 0.5), (64, 64 / 224)])
def test_sigma_is_a_length_and_scales_with_the_side(side, cells):
    config = AttributionConfig(multilayer_iba=multilayer().settings)
    joint = Explainer.of("multilayer_iba", config, Score.logit, side)
    alone = Explainer.of("iba", config, Score.logit, side)
    for settings in (*joint.layers.values(), alone.settings):
        assert settings.sigma == pytest.approx(cells)
    assert Explainer.of("grad_cam", config, Score.logit, side).settings == config.grad_cam


def test_maps_of_other_settings_layers_or_scores_have_other_keys():
    explainer = multilayer()
    layers = {**explainer.layers, "iba": IBAConfig(tap="block2", beta=1.0)}
    others = [
        replace(explainer, layers=layers),
        replace(explainer, score=Score.sigmoid),
        replace(explainer, settings=replace(explainer.settings, thresholds=[1.0, 3.0])),
        Explainer("iba", IBAConfig(), {}, Score.logit),
        Explainer("inverse_iba", IBAConfig(), {}, Score.logit),
    ]
    keys = {maps(each).key for each in (explainer, *others)}
    assert len(keys) == 1 + len(others)
    assert maps(multilayer()).key == maps(explainer).key


def test_the_precision_is_in_the_keys_of_bottlenecks_alone_and_float32_in_none():
    of_run = AttributionConfig(precision=FrozenPrecision.bf16)
    for method, has_network_behind in (
        ("iba", True),
        ("multilayer_iba", True),
        ("gradient", False),
    ):
        full, half = (
            Explainer.of(method, config, Score.logit, 224)
            for config in (AttributionConfig(), of_run)
        )
        assert (maps(half).key != maps(full).key) == has_network_behind, method
        assert "precision" not in maps(full).key_parts["settings"]["explainer"]
