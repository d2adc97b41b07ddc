"""The rules of relevance, operation by operation, and its conservation."""

import itertools

import pytest
import torch
from torch import nn

from attribution.lrp import RULES
from attribution.relevance import (
    by_contribution,
    by_positive_contribution,
    evenly,
    pass_on,
    propagate,
)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def connections(layer, inputs):
    """(output, input, weight) of every connection of a layer, as flat indices: its Jacobian."""
    rows = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0], inputs)
    rows = rows.reshape(-1, inputs.numel())
    return [(k, j, float(rows[k, j])) for k, j in itertools.product(*map(range, rows.shape))]


@pytest.fixture
def convolution():
    torch.manual_seed(0)
    return nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False).double()


@pytest.fixture
def linear():
    torch.manual_seed(1)
    return nn.Linear(6, 3).double()


def shared(layer, inputs, relevance, share):
    """The definition, connection by connection: R_j = sum_k share(a_j, w_jk) / sum_i (..) R_k."""
    flat, from_above = inputs.flatten(), relevance.flatten()
    shares = torch.zeros(len(from_above), len(flat), dtype=torch.float64)
    for k, j, weight in connections(layer, inputs):
        shares[k, j] = share(float(flat[j]), weight)
    total = shares.sum(1)
    return ((shares / total.where(total != 0, 1)[:, None]).T @ from_above).view_as(inputs)


def test_a_positive_contribution_takes_its_part_of_the_relevance(convolution):
    inputs, relevance = normal(2, 2, 5, 4), normal(2, 3, 3, 2, seed=1)
    found, absorbed = by_positive_contribution(convolution, inputs, relevance, 1e-20)
    for row in range(2):
        expected = shared(convolution, inputs[row], relevance[row], lambda a, w: max(a * w, 0))
        torch.testing.assert_close(found[row], expected)
    assert (absorbed == 0).all()


def test_activations_that_are_not_negative_give_the_plain_z_plus_rule(linear):
    inputs, relevance = normal(2, 6).abs(), normal(2, 3, seed=1)
    found, absorbed = by_positive_contribution(linear, inputs, relevance, 1e-20)
    for row in range(2):
        expected = shared(linear, inputs[row], relevance[row], lambda a, w: a * max(w, 0))
        torch.testing.assert_close(found[row], expected)
    assert (absorbed == 0).all()


def test_by_contribution_of_either_sign_the_bias_keeps_its_own(linear):
    inputs, relevance = normal(2, 6), normal(2, 3, seed=1)
    found, absorbed = by_contribution(linear, inputs, relevance, 0.0)
    outputs = linear(inputs)
    contributions = inputs[:, None, :] * linear.weight
    expected = (contributions / outputs[..., None] * relevance[..., None]).sum(1)
    torch.testing.assert_close(found, expected.detach())
    torch.testing.assert_close(found.sum(1) + absorbed, relevance.sum(1))


def test_an_average_pool_shares_by_activation():
    inputs = normal(1, 2, 4, 4)
    relevance = normal(1, 2, 2, 2, seed=1)
    found, _ = by_contribution(nn.AvgPool2d(2), inputs, relevance, 0.0)
    windows = inputs.unfold(2, 2, 2).unfold(3, 2, 2)
    expected = windows / windows.sum((4, 5), keepdim=True) * relevance[..., None, None]
    torch.testing.assert_close(found.unfold(2, 2, 2).unfold(3, 2, 2), expected)


def test_evenly_gives_every_input_that_an_output_sees_the_same(convolution):
    inputs, relevance = normal(1, 2, 5, 4), normal(1, 3, 3, 2, seed=1)
    found, _ = evenly(convolution, inputs, relevance, 0.0)
    seen = shared(convolution, inputs[0], relevance[0], lambda a, w: float(w != 0))
    torch.testing.assert_close(found[0], seen)
    torch.testing.assert_close(found.sum(), relevance.sum())


class Net(nn.Module):
    """One of everything that a DenseNet does."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.second = nn.Conv2d(4, 5, 3, padding=1, bias=False)
        self.average = nn.AvgPool2d(2)
        self.head = nn.Sequential(
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(9, 2)
        )

    def forward(self, images):
        early = self.pool(self.relu(self.norm(self.first(images))))
        return self.head(self.average(torch.cat([early, self.second(early)], 1)))


@pytest.fixture
def net():
    torch.manual_seed(3)
    net = Net().double().eval()
    net.norm.running_mean.normal_()
    return net


def run(net, function, inputs, **settings):
    return propagate(net, function, inputs, lambda outputs: outputs, RULES, **settings)


def test_relevance_is_conserved_through_everything_that_a_densenet_does(net):
    images = normal(3, 3, 8, 8)
    found = run(net, net, images, first=evenly, epsilon=1e-12)
    torch.testing.assert_close(found.outputs, net(images).detach())
    torch.testing.assert_close(
        found.inputs.sum((1, 2, 3)) + found.absorbed, found.outputs.sum(1), rtol=1e-6, atol=1e-9
    )
    torch.testing.assert_close(found.absorbed, net.head[-1].bias.sum().expand(3).detach())


def test_only_the_convolution_that_reads_the_inputs_themselves_is_the_first(net):
    first = run(net, net, normal(1, 3, 8, 8), first=evenly, epsilon=1e-12).inputs
    later = run(net, lambda x: net(net.pool(x)), normal(1, 3, 16, 16), first=evenly, epsilon=1e-12)
    # Flat gives all three channels of a pixel the same.
    torch.testing.assert_close(first, first.mean(1, keepdim=True).expand_as(first))
    assert later.inputs.std(1).max() > 1e-6


@pytest.mark.parametrize(
    ("change", "operation"),
    [(torch.relu, "Relu"), (lambda x: x + 1, "Add"), (nn.Sigmoid(), "Sigmoid")],
)
def test_an_operation_without_a_rule_is_refused_by_name(net, change, operation):
    def function(images):
        early = net.first(images)
        return net.head(torch.cat([early, change(net.second(early))], 1))

    with pytest.raises(ValueError, match=f"no relevance rule for {operation}"):
        run(net, function, normal(1, 3, 8, 8), epsilon=1e-12)


def test_hooks_and_in_place_layers_come_back_even_after_an_error(net):
    def fail(images):
        net(images)
        raise KeyError

    with pytest.raises(KeyError):
        run(net, fail, normal(1, 3, 8, 8), epsilon=1e-12)
    assert net.relu.inplace
    assert not any(module._forward_hooks for module in net.modules())


def test_passing_on_changes_nothing():
    relevance = normal(2, 3)
    found, absorbed = pass_on(nn.ReLU(), normal(2, 3), relevance, 0.0)
    assert torch.equal(found, relevance)
    assert (absorbed == 0).all()
