import pytest
import torch
from torch import nn

from attribution.base import SCORES
from attribution.config import AttributionConfig, Score, StatisticsConfig, required_taps
from attribution.methods import METHODS, build_method, method_config
from attribution.statistics import estimate_statistics


class SmallNet(nn.Module):
    """Two cuts, and everything that must not be left switched on: BatchNorm and Dropout."""

    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.BatchNorm2d(6))
        self.body = nn.Sequential(nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2), nn.ReLU())
        self.tail = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(8, 3)
        )

    def forward_to(self, tap, images):
        features = self.head(images)
        return {"block3": lambda: features, "final": lambda: self.body(features)}[tap]()

    def forward_from(self, tap, feature_map):
        return self.tail({"block3": self.body, "final": nn.Identity()}[tap](feature_map))

    def forward(self, images):
        return self.forward_from("final", self.forward_to("final", images))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return SmallNet().eval()


@pytest.fixture(scope="module")
def config():
    settings = AttributionConfig()
    settings.iba.steps, settings.iba.noise_samples = 3, 2
    return settings


@pytest.fixture(scope="module")
def statistics(model, config):
    batch = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return {
        tap: estimate_statistics(model, tap, [batch], StatisticsConfig())
        for name in METHODS
        for tap in required_taps(name, config)
    }


def explain(name, model, config, statistics, rows=slice(None)):
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    return build_method(name, config, statistics)(
        model,
        images[rows],
        torch.tensor([0, 2, 1])[rows],
        score=SCORES[Score.logit],
        seeds=[7, 8, 9][rows],
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_float32_maps_of_the_images_size_and_repeats_itself(
    name, model, config, statistics
):
    first, second = (explain(name, model, config, statistics) for _ in range(2))
    assert first.maps.shape == (3, 64, 64)
    assert first.maps.dtype == torch.float32
    assert first.maps.max() > 0
    assert torch.equal(first.maps, second.maps)
    for values in first.diagnostics.values():
        assert values.shape == (3,)
        assert values.dtype == torch.float32
        assert values.device.type == "cpu"


@pytest.mark.parametrize("name", METHODS)
def test_no_method_lets_the_images_of_a_batch_mix(name, model, config, statistics):
    together = explain(name, model, config, statistics).maps
    alone = explain(name, model, config, statistics, slice(1, 2)).maps
    largest = float(together[1].max())
    torch.testing.assert_close(alone[0], together[1], rtol=1e-3, atol=1e-3 * largest)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_leaves_the_model_as_it_was(name, config, statistics):
    torch.manual_seed(0)
    net = SmallNet().train()
    net.head[1].eval()
    net.head[0].weight.requires_grad_(False)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    training = [module.training for module in net.modules()]
    trainable = [parameter.requires_grad for parameter in net.parameters()]
    explain(name, net, config, statistics)
    assert [module.training for module in net.modules()] == training
    assert [parameter.requires_grad for parameter in net.parameters()] == trainable
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


def test_only_the_bottleneck_needs_statistics_and_says_so(config):
    assert {name: required_taps(name, config) for name in METHODS} == {
        "gradient": (),
        "grad_cam": (),
        "random": (),
        "iba": ("block3",),
    }
    with pytest.raises(ValueError, match="iba needs the feature statistics at block3"):
        build_method("iba", config, {})


def test_an_unknown_method_is_refused_with_the_known_ones(config):
    with pytest.raises(ValueError, match=r"'lime'.*gradient, grad_cam, random, iba"):
        build_method("lime", config, {})
