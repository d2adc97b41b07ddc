"""The rearranged network against the one that it stands for, in double precision."""

import pytest
import torch
from torch import nn

from models.densenet import FINAL, TAPS, DenseNet121, SeverityRegressor
from models.frozen_densenet import FrozenDenseNet

SIDE = 72  # feature maps of 18, 9, 4 and 2: a transition leaves a row and a column out


def double(model):
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.bias.data, module.running_mean):
                values.normal_(0, 0.5, generator=generator)
            module.weight.data[::7] = 0
            module.running_var.uniform_(0.5, 2, generator=generator)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 4:
                weights.mul_(2)
    return model.double().eval()


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, 3, SIDE, SIDE + 8, generator=generator, dtype=torch.float64)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return double(DenseNet121(5)).requires_grad_(False)


@pytest.fixture(scope="module")
def frozen(model):
    return FrozenDenseNet(model)


def test_outputs_and_feature_maps_are_those_of_the_network(model, frozen, images):
    with torch.no_grad():
        torch.testing.assert_close(frozen(images), model(images))
        expected = model.forward_to_all((*TAPS, FINAL), images)
        found = frozen.forward_to_all((*TAPS, FINAL), images)
    assert found.keys() == expected.keys()
    for tap, feature_map in expected.items():
        torch.testing.assert_close(found[tap], feature_map)
        assert feature_map.std() > 0.01, tap


@pytest.mark.parametrize("tap", [*TAPS, FINAL])
def test_outputs_and_gradients_behind_a_tap_are_those_of_the_network(model, frozen, images, tap):
    with torch.no_grad():
        feature_map = model.forward_to(tap, images)
    found = []
    for network in (model, frozen):
        leaf = feature_map.clone().requires_grad_()
        outputs = network.forward_from(tap, leaf)
        found.append((outputs.detach(), *torch.autograd.grad(outputs[:, 1].sum(), leaf)))
    for ours, expected in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, expected)
    assert found[0][1].abs().max() > 0


def test_the_gradient_in_the_images_is_that_of_the_network(model, frozen, images):
    gradients = []
    for network in (model, frozen):
        leaf = images.clone().requires_grad_()
        gradients += torch.autograd.grad(network(leaf)[:, 0].sum(), leaf)
    torch.testing.assert_close(gradients[1], gradients[0])


def test_a_regressors_head_is_kept(images):
    model = double(SeverityRegressor())
    with torch.no_grad():
        torch.testing.assert_close(FrozenDenseNet(model)(images), model(images))


def test_the_network_is_left_as_it_is_and_later_changes_do_not_reach_the_copy(images):
    model = double(DenseNet121(2))
    frozen = FrozenDenseNet(model)
    assert all(weights.requires_grad for weights in model.parameters())
    with torch.no_grad():
        before = frozen(images)
        for weights in model.parameters():
            weights.zero_()
        assert torch.equal(frozen(images), before)


def test_an_unknown_tap_is_named(frozen, images):
    with pytest.raises(ValueError, match="block5"):
        frozen.forward_to("block5", images)
    with pytest.raises(ValueError, match="block5"):
        frozen.forward_from("block5", images)


def test_autocast_changes_neither_outputs_nor_gradients(images):
    torch.manual_seed(0)
    frozen = FrozenDenseNet(DenseNet121(3).eval())
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            leaf = images.float().requires_grad_()
            outputs = frozen(leaf)
            behind = frozen.forward_to("block3", leaf)
            found.append((outputs, behind, *torch.autograd.grad(outputs[:, 1].sum(), leaf)))
    for with_it, without in zip(found[1][:2], found[0][:2], strict=True):
        assert torch.equal(with_it, without)
    scale = found[0][2].abs().max()
    # The way back through torch's own operations is under the autocast of whoever asks for it.
    torch.testing.assert_close(found[1][2] / scale, found[0][2] / scale, rtol=0, atol=0.02)
