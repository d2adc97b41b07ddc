"""Half-precision models and autocast: only the network computes in half precision."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from attribution.base import SCORES, own_prediction
from attribution.bottleneck import Bottleneck
from attribution.config import AttributionConfig, Score, StatisticsConfig
from attribution.methods import METHODS, NEEDS_LAYERS, build_method, method_config
from attribution.precision import CallersAutocast
from attribution.statistics import FeatureStatistics, estimate_statistics
from evaluation.sanity import spearman
from models.bfloat16 import explained_network
from models.config import FrozenPrecision
from models.densenet import DenseNet121
from models.frozen_densenet import FrozenDenseNet

SIDE = 32
OF_REGRESSORS = ("regression_iba_mse", "regression_iba_rm", "regression_iba_dv")
ONE_MAP = [name for name in METHODS if name not in ("multilayer_iba", "random")]
"""Multi-layer IBA is a threshold of these: one pixel that rounding moves over it is no error."""


class InFloat32(nn.Module):
    """A half-precision model as one that takes and gives float32: what is left is float32 alone."""

    def __init__(self, model, dtype):
        super().__init__()
        self.model, self.dtype = model, dtype

    def forward(self, images):
        return self.model(images.to(self.dtype)).float()

    def forward_to(self, tap, images):
        return self.model.forward_to(tap, images.to(self.dtype)).float()

    def forward_to_all(self, taps, images):
        return {tap: self.forward_to(tap, images) for tap in taps}

    def forward_from(self, tap, feature_map):
        return self.model.forward_from(tap, feature_map.to(self.dtype)).float()


def explain(name, model, images):
    reference = torch.randn(32, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    statistics = {
        tap: estimate_statistics(model, tap, [reference.to(images)], StatisticsConfig())
        for tap in ("block1", "block2", "block3")
    }
    if name in OF_REGRESSORS:
        targets, score = torch.tensor([3.0, 9.0, 0.0, 18.0]), Score.output
    else:
        targets, score = torch.tensor([0, 2, 1, 3]), Score.logit
    return build_method(name, AttributionConfig(), statistics)(
        model, images, targets, score=SCORES[score], seeds=[7, 8, 9, 10]
    )


@pytest.fixture(scope="module")
def model_of(classifier, regressor):
    return lambda name: regressor if name in OF_REGRESSORS else classifier


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", [name for name in ONE_MAP if name not in NEEDS_LAYERS])
def test_of_a_half_precision_model_everything_but_the_network_is_float32(
    name, dtype, model_of, images
):
    model = copy.deepcopy(model_of(name)).to(dtype)
    images = images.to(dtype)
    found = explain(name, model, images)
    expected = explain(name, InFloat32(model, dtype), images.float())
    assert torch.equal(found.maps, expected.maps)
    for diagnostic, values in expected.diagnostics.items():
        assert torch.equal(found.diagnostics[diagnostic], values), diagnostic


@pytest.mark.parametrize("name", ONE_MAP)
def test_autocast_moves_a_map_by_no_more_than_the_rounding_of_the_network(name, model_of, images):
    model = model_of(name)
    expected = explain(name, model, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = explain(name, model, images)
    assert found.maps.dtype == torch.float32
    difference = (found.maps - expected.maps).abs().sum() / expected.maps.abs().sum()
    # bfloat16 rounds by up to 1 / 256. Measured: input x gradient 0.069 and Occlusion 0.067, which
    # are differences of larger numbers, gradient 0.045.
    assert difference < 0.08
    if name in NEEDS_LAYERS:
        assert difference == 0
    if "bits" in found.diagnostics:
        torch.testing.assert_close(
            found.diagnostics["bits"], expected.diagnostics["bits"], rtol=0.03, atol=0.02
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", sorted(NEEDS_LAYERS))
def test_what_goes_through_layers_in_half_precision_is_refused(name, dtype, classifier, images):
    model = copy.deepcopy(classifier).to(dtype)
    with pytest.raises(ValueError, match=rf"weights are {dtype}.*model\.float\(\)"):
        explain(name, model, images.to(dtype))


def test_the_mask_and_its_capacity_are_those_of_float32_features():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 6, 5, generator=generator).bfloat16()
    alpha = 3 * torch.randn(2, 3, 6, 5, generator=generator)
    ones = torch.ones(3, 6, 5)
    statistics = FeatureStatistics("block3", 0.3 * ones, 0.7 * ones, ones, 1000)
    settings = {"sigma": 1.0, "min_std": 0.01, "active_threshold": 0.01}
    exact = Bottleneck(features.float(), statistics, **settings)
    expected = exact.capacity(exact.noise_share(alpha))
    for autocast in (nullcontext(), torch.autocast("cpu", dtype=torch.bfloat16)):
        with autocast:
            bottleneck = Bottleneck(features, statistics, **settings)
            share = bottleneck.noise_share(alpha)
            assert share.dtype == torch.float32
            assert torch.equal(bottleneck.capacity(share), expected)


def test_a_regressors_own_prediction_is_a_float32_target(regressor, images):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert own_prediction(regressor, images).dtype == torch.float32


def test_the_callers_autocast_reaches_what_runs_where_it_is_off():
    ones = torch.ones(2, 2)
    with torch.autocast("cpu", dtype=torch.float16):
        callers = CallersAutocast(ones.device)
    with torch.autocast("cpu", enabled=False):
        assert (ones @ ones).dtype == torch.float32
        with callers():
            assert (ones @ ones).dtype == torch.float16
    with torch.autocast("cpu", dtype=torch.bfloat16), CallersAutocast(ones.device)():
        assert (ones @ ones).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["gradient", "grad_cam", "integrated_gradients", "iba"])
def test_the_rearranged_network_ignores_autocast(name):
    torch.manual_seed(0)
    frozen = FrozenDenseNet(DenseNet121(4).eval())
    films = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    statistics = {"block3": estimate_statistics(frozen, "block3", [films], StatisticsConfig())}
    method = build_method(name, AttributionConfig(), statistics)
    arguments = {"score": SCORES[Score.logit], "seeds": [0, 1]}
    expected = method(frozen, films, torch.tensor([1, 3]), **arguments)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = method(frozen, films, torch.tensor([1, 3]), **arguments)
    assert torch.equal(found.maps, expected.maps)


@pytest.mark.parametrize("name", ["iba", "iba_block2", "iba_block1", "inverse_iba"])
def test_with_the_network_behind_it_in_bfloat16_a_bottlenecks_map_has_the_same_order(name):
    torch.manual_seed(0)
    model = DenseNet121(4).eval()
    generator = torch.Generator().manual_seed(1)
    films, reference = (torch.randn(n, 3, 64, 64, generator=generator) for n in (2, 16))
    config = AttributionConfig()
    tap = method_config(name, config).tap
    found = []
    for precision in FrozenPrecision:
        network = explained_network(model, precision)
        statistics = {tap: estimate_statistics(network, tap, [reference], StatisticsConfig())}
        method = build_method(name, config, statistics)
        targets, score = torch.tensor([1, 3]), SCORES[Score.logit]
        found.append(method(network, films, targets, score=score, seeds=[0, 1]))
    full, half = found
    assert not torch.equal(half.maps, full.maps)
    assert spearman(half.maps.numpy(), full.maps.numpy()).min() > 0.98
    # The first capacity is of mask and statistics alone, which know no bfloat16.
    first = "information_first"
    assert torch.equal(half.diagnostics[first], full.diagnostics[first])


def test_sums_over_the_noise_are_float32_with_the_network_in_bfloat16():
    torch.manual_seed(0)
    network = explained_network(DenseNet121(4).eval(), FrozenPrecision.bf16)
    films = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    statistics = {"block3": estimate_statistics(network, "block3", [films], StatisticsConfig())}
    behind, seen = network.forward_from, []

    def recorded(tap, z):
        outputs = behind(tap, z)
        seen.append((z.dtype, outputs.dtype))
        if z.requires_grad:
            z.register_hook(lambda gradient: seen.append((gradient.dtype,)))
        return outputs

    network.forward_from = recorded
    method = build_method("iba", AttributionConfig(), statistics)
    method(network, films, torch.tensor([1, 3]), score=SCORES[Score.logit], seeds=[0, 1])
    assert len(seen) > 10
    assert {dtype for dtypes in seen for dtype in dtypes} == {torch.float32}
