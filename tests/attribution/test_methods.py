"""What every attribution method keeps to, whichever it is."""

import copy
from dataclasses import replace

import pytest
import torch

from attribution.base import SCORES
from attribution.config import AttributionConfig, BottleneckConfig, Score, required_taps
from attribution.methods import METHODS, build_method, method_config

OF_REGRESSORS = ("regression_iba_mse", "regression_iba_rm", "regression_iba_dv")


@pytest.fixture(scope="module")
def config():
    settings = AttributionConfig()
    short = {
        name: replace(own, steps=3, noise_samples=2)
        for name in METHODS
        if isinstance(own := getattr(settings, name), BottleneckConfig)
    }
    return replace(
        settings,
        **short,
        integrated_gradients=replace(settings.integrated_gradients, steps=8),
        multilayer_iba=replace(settings.multilayer_iba, thresholds=[0.5, 0.5, 0.5]),
    )


@pytest.fixture(scope="module")
def model_of(classifier, regressor):
    """(method's name) -> a model of the kind that it explains."""
    return lambda name: regressor if name in OF_REGRESSORS else classifier


@pytest.fixture(scope="module")
def statistics(classifier, regressor, statistics_of):
    """By kind of model and tap."""
    return {id(model): statistics_of(model) for model in (classifier, regressor)}


def explain(name, model, config, statistics, images, rows=slice(None)):
    if name in OF_REGRESSORS:
        targets, score = torch.tensor([3.0, 9.0, 0.0, 18.0]), Score.output
    else:
        targets, score = torch.tensor([0, 2, 1, 3]), Score.logit
    return build_method(name, config, statistics)(
        model, images[rows], targets[rows], score=SCORES[score], seeds=[7, 8, 9, 10][rows]
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_float32_maps_of_the_images_size_and_repeats_itself(
    name, model_of, config, statistics, images
):
    model = model_of(name)
    first, second = (explain(name, model, config, statistics[id(model)], images) for _ in range(2))
    assert first.maps.shape == (4, 32, 32)
    assert first.maps.dtype == torch.float32
    assert first.maps.max() > 0
    assert torch.equal(first.maps, second.maps)
    for values in first.diagnostics.values():
        assert values.shape == (4,)
        assert values.dtype == torch.float32
        assert values.device.type == "cpu"
        assert values.isfinite().all()


@pytest.mark.parametrize("name", METHODS)
def test_no_method_lets_the_images_of_a_batch_mix(name, model_of, config, statistics, images):
    model = model_of(name)
    together = explain(name, model, config, statistics[id(model)], images).maps
    alone = explain(name, model, config, statistics[id(model)], images, slice(1, 2)).maps
    largest = float(together[1].max())
    torch.testing.assert_close(alone[0], together[1], rtol=1e-3, atol=1e-3 * largest)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_leaves_the_model_as_it_was(name, model_of, config, statistics, images):
    original = model_of(name)
    net = copy.deepcopy(original).train()
    net.block2[2].eval()
    net.block1[0].weight.requires_grad_(False)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    attributes = [set(vars(module)) for module in net.modules()]
    training = [module.training for module in net.modules()]
    trainable = [parameter.requires_grad for parameter in net.parameters()]
    explain(name, net, config, statistics[id(original)], images)
    assert [module.training for module in net.modules()] == training
    assert [parameter.requires_grad for parameter in net.parameters()] == trainable
    assert [set(vars(module)) for module in net.modules()] == attributes
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())
    for module in net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._backward_hooks
        assert not module._backward_pre_hooks


def test_every_method_has_settings_under_its_name(config):
    for name in METHODS:
        assert method_config(name, config) is getattr(config, name)


def test_only_bottlenecks_need_statistics_and_say_so(config):
    needed = {name: required_taps(name, config) for name in METHODS}
    assert {name: taps for name, taps in needed.items() if taps} == {
        "iba": ("block3",),
        "iba_block1": ("block1",),
        "iba_block2": ("block2",),
        "inverse_iba": ("block3",),
        "multilayer_iba": ("block1", "block2", "block3"),
        "regression_iba_mse": ("block3",),
        "regression_iba_rm": ("block3",),
        "regression_iba_dv": ("block3",),
    }
    with pytest.raises(ValueError, match="iba needs the feature statistics at block3"):
        build_method("iba", config, {})
    with pytest.raises(ValueError, match=r"multilayer_iba needs the .* block1, block2, block3"):
        build_method("multilayer_iba", config, {})


def test_an_unknown_method_is_refused_with_the_known_ones(config):
    with pytest.raises(ValueError, match=r"'lime'.*gradient, grad_cam, .*regression_iba_dv"):
        build_method("lime", config, {})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("grey", [-2.1179, 0.0, 2.64])
@pytest.mark.parametrize("name", METHODS)
def test_a_film_of_one_grey_and_a_batch_of_one_have_a_finite_map(
    name, model_of, config, statistics, grey
):
    model = model_of(name)
    films = torch.full((1, 3, 32, 32), grey)
    result = explain(name, model, config, statistics[id(model)], films, slice(0, 1))
    assert result.maps.shape == (1, 32, 32)
    assert result.maps.isfinite().all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", METHODS)
def test_a_film_that_is_not_finite_is_named_and_not_explained(
    name, model_of, config, statistics, images, value
):
    model = model_of(name)
    films = images.clone()
    films[2, 0, 5, 5] = value
    with pytest.raises(ValueError, match=r"row\(s\) \[2\] hold NaN or infinity"):
        explain(name, model, config, statistics[id(model)], films)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "random"])
def test_a_model_that_computes_no_numbers_is_an_error_and_no_map(
    name, model_of, config, statistics, images, value
):
    original = model_of(name)
    net = copy.deepcopy(original)
    with torch.no_grad():
        net.final[1].weight[:] = value
    with pytest.raises(FloatingPointError, match=r"sample\(s\) \[0, 1, 2, 3\]"):
        explain(name, net, config, statistics[id(original)], images)
