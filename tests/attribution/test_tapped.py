"""Models cut at a layer, by their graph or by hooks, give the outputs of the whole."""

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torchvision.models import resnet18, resnet50

from attribution.base import SCORES
from attribution.cams import GradCAM
from attribution.config import GradCAMConfig, IBAConfig, Score, StatisticsConfig
from attribution.iba import IBA
from attribution.statistics import estimate_statistics
from attribution.tapped import TappedModule


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return resnet50(num_classes=3).eval()


@pytest.fixture(scope="module")
def images():
    return normal(2, 3, 64, 64)


def test_iba_on_a_resnet50_is_the_same_by_its_tail_and_by_hooks(resnet, images):
    tail, hooks = TappedModule(resnet), TappedModule(resnet, split=False)
    assert tail.tail("layer3") is not None
    assert hooks.tail("layer3") is None
    statistics = estimate_statistics(
        tail, "layer3", [normal(8, 3, 64, 64, seed=1)], StatisticsConfig()
    )
    method = IBA(IBAConfig(tap="layer3", steps=3, noise_samples=2, beta=1.0), statistics)
    by_tail, by_hooks = (
        method(model, images, torch.tensor([0, 2]), score=SCORES[Score.logit], seeds=[1, 2])
        for model in (tail, hooks)
    )
    torch.testing.assert_close(by_hooks.maps, by_tail.maps)
    for name, values in by_tail.diagnostics.items():
        torch.testing.assert_close(by_hooks.diagnostics[name], values)
    assert (by_tail.diagnostics["bits"] > 0).all()


@pytest.mark.parametrize("tap", ["relu", "layer2", "layer4"])
def test_cut_and_joined_again_a_model_gives_its_outputs(resnet, images, tap):
    with torch.no_grad():
        expected = resnet(images)
        for model in (TappedModule(resnet), TappedModule(resnet, split=False)):
            features = model.forward_to(tap, images)
            torch.testing.assert_close(model(images), expected)
            torch.testing.assert_close(model.forward_from(tap, features), expected)
            repeated = model.forward_from(tap, features.repeat_interleave(2, 0))
            torch.testing.assert_close(repeated, expected.repeat_interleave(2, 0))


def test_a_tail_leaves_out_what_comes_before_the_layer(resnet, images):
    model = TappedModule(resnet)
    features = model.forward_to("layer3", images)
    ran = []
    handles = [
        getattr(resnet, name).register_forward_hook(lambda *_, name=name: ran.append(name))
        for name in ("conv1", "layer3", "layer4", "fc")
    ]
    with torch.no_grad():
        model.forward_from("layer3", features)
        model.forward_to("conv1", images)
    for handle in handles:
        handle.remove()
    assert ran == ["layer4", "fc", "conv1"]


def test_a_layer_beside_a_shortcut_cannot_be_split_and_is_replaced_by_hooks():
    torch.manual_seed(1)
    network = resnet18(num_classes=3).eval()
    model, images = TappedModule(network), normal(2, 3, 32, 32)
    tap = "layer2.0.conv2"  # the shortcut around it needs the images
    assert model.tail(tap) is None
    with torch.no_grad():
        features = model.forward_to(tap, images)
        torch.testing.assert_close(model.forward_from(tap, features), network(images))
        swapped = model.forward_from(tap, features.flip(0))
    assert not torch.allclose(swapped, network(images).flip(0), atol=1e-4)


def test_in_place_layers_around_the_tap_do_not_touch_what_is_kept():
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    images = normal(1, 3, 8, 8)
    for split in (True, False):
        model = TappedModule(network, split=split)
        features = model.forward_to("0", images)
        assert features.min() < 0
        kept = features.clone()
        leaf = features.detach().requires_grad_()
        model.forward_from("0", leaf).sum().backward()
        assert torch.equal(features, kept)
        assert leaf.grad.abs().max() > 0


def test_several_taps_come_from_one_pass(resnet, images):
    model = TappedModule(resnet)
    taps = ("layer1", "layer2", "layer3")
    together = model.forward_to_all(taps, images)
    for tap in taps:
        assert torch.equal(together[tap], model.forward_to(tap, images))


def test_grad_cam_at_any_layer_of_any_model(resnet, images):
    maps = [
        GradCAM(GradCAMConfig(tap="layer4"))(
            model, images, torch.tensor([1, 1]), score=SCORES[Score.logit], seeds=[0, 0]
        ).maps
        for model in (TappedModule(resnet), TappedModule(resnet, split=False))
    ]
    torch.testing.assert_close(maps[0], maps[1])


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        self.idle = nn.Conv2d(3, 3, 1)

    def forward(self, images):
        if images.sum() > 1e9:  # no stand-in has a truth value: this cannot be traced
            return images
        return self.layer(self.layer(images)).mean((2, 3))


def test_layers_that_are_absent_idle_or_run_twice_are_named():
    model, images = TappedModule(Twice()), normal(1, 3, 4, 4)
    with pytest.raises(ValueError, match=r"no layer 'layer9'.*layer, idle"):
        model.forward_to("layer9", images)
    with pytest.raises(ValueError, match=r"without its layer.* idle"):
        model.forward_to("idle", images)
    features = model.forward_to("layer", images)
    assert model.tail("layer") is None
    with pytest.raises(ValueError, match="'layer' runs 2 times"):
        model.forward_from("layer", features)


def test_feature_maps_of_other_images_or_another_shape_are_refused(resnet, images):
    model = TappedModule(resnet, split=False)
    with pytest.raises(ValueError, match="2 feature maps do not belong to the 0 images"):
        model.forward_from("layer3", normal(2, 1024, 4, 4))
    model.forward_to("layer3", images)
    with pytest.raises(ValueError, match="3 feature maps do not belong to the 2 images"):
        model.forward_from("layer3", normal(3, 1024, 4, 4))
    with pytest.raises(ValueError, match=r"\(2, 1024, 5, 5\) cannot replace"):
        model.forward_from("layer3", normal(2, 1024, 5, 5))


def test_a_model_is_traced_as_it_evaluates_and_left_in_its_mode():
    class Noisy(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

        def forward(self, images):
            pooled = self.layer(images).mean((2, 3))
            return self.head(nn.functional.dropout(pooled, training=self.training))

    network = Noisy().train()
    model, images = TappedModule(network), normal(2, 3, 8, 8)
    assert model.tail("layer") is not None
    assert network.training
    network.eval()
    features = model.forward_to("layer", images)
    torch.testing.assert_close(model.forward_from("layer", features), network(images))


def test_iba_maps_agree_in_rank_whatever_the_batch(resnet, images):
    model = TappedModule(resnet, split=False)
    statistics = estimate_statistics(
        model, "layer4", [normal(8, 3, 64, 64, seed=1)], StatisticsConfig()
    )
    method = IBA(IBAConfig(tap="layer4", steps=3, noise_samples=2, beta=0.1), statistics)
    arguments = {"score": SCORES[Score.logit]}
    together = method(model, images, torch.tensor([0, 2]), seeds=[1, 2], **arguments).maps
    alone = method(model, images[1:], torch.tensor([2]), seeds=[2], **arguments).maps
    assert spearmanr(alone[0].flatten(), together[1].flatten()).statistic > 0.999
