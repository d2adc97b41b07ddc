"""LRP against Captum, zennit and the conservation of relevance."""

import copy

import captum.attr
import pytest
import torch
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, IdentityRule
from torch import nn
from torch.nn import functional as F

from attribution.base import SCORES
from attribution.config import LRPConfig, Score
from attribution.lrp import LRP, RULES
from attribution.relevance import propagate
from attribution.tapped import TappedModule
from models.densenet import DenseNet121

TARGETS = torch.tensor([2, 0])


@pytest.fixture(scope="module")
def images():
    """Smooth, as films are, and normalised."""
    coarse = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return F.interpolate(coarse, (64, 64), mode="bilinear")


@pytest.fixture(scope="module")
def model(images):
    """Batch normalisation of no layer alike, with the statistics of the images."""
    torch.manual_seed(0)
    model = DenseNet121(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            module.momentum = None
    nn.init.constant_(model.classifier.bias, 0.5)
    with torch.no_grad():
        model.train()(images)
    return model.eval()


def explain(model, images, targets=TARGETS, score=Score.logit):
    return LRP(LRPConfig())(
        model, images[:2], targets, score=SCORES[score], seeds=[0] * len(targets)
    )


def test_the_logit_less_its_bias_arrives_at_the_pixels(model, images):
    found = explain(model, images)
    logits = model(images[:2]).gather(1, TARGETS[:, None])[:, 0].detach()
    torch.testing.assert_close(found.diagnostics["score"], logits)
    difference = (found.maps.sum((1, 2)) - (logits - 0.5)).abs()
    assert (difference < 0.01 * found.maps.abs().sum((1, 2))).all()
    torch.testing.assert_close(found.diagnostics["relevance"], found.maps.sum((1, 2)))
    torch.testing.assert_close(
        found.diagnostics["conservation_ratio"],
        found.maps.sum((1, 2)) / (logits - 0.5),
        rtol=1e-3,
        atol=0,
    )
    assert (found.diagnostics["conservation_error"] < 0.01).all()


def relevance_at_pool0(model, images, epsilon):
    """Ours, from the outputs to the first max pool, which z+ and flat rules leave alike."""
    with torch.no_grad():
        features = model.features[:4](images)
    chosen = F.one_hot(TARGETS, 3)
    return propagate(
        model,
        lambda x: model.classifier(torch.flatten(model.pool(model.relu(model.features[4:](x))), 1)),
        features,
        lambda outputs: outputs * chosen,
        RULES,
        epsilon=epsilon,
    ).inputs


def test_equals_captum_at_the_first_pool(model, images):
    copied = copy.deepcopy(model)
    for module in copied.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.rule = IdentityRule()
        elif isinstance(module, nn.Conv2d):
            module.rule = Alpha1_Beta0_Rule()
    captums = captum.attr.LayerLRP(copied, copied.features.pool0).attribute(
        images[:2].clone().requires_grad_(), target=TARGETS
    )
    ours = relevance_at_pool0(model, images[:2], 1e-9)
    scale = ours.abs().max().item()
    assert scale > 0
    torch.testing.assert_close(ours, captums.detach(), rtol=1e-3, atol=1e-4 * scale)


def test_equals_zennit_at_the_first_pool_and_at_the_pixels(model, images):
    pytest.importorskip("zennit", reason="make setup EXTRAS=lrp installs zennit")
    from zennit.attribution import Gradient
    from zennit.composites import EpsilonPlusFlat

    copied = copy.deepcopy(model)
    pooled = []
    copied.features.pool0.register_forward_hook(
        lambda module, args, output: pooled.append(output) or output.retain_grad()
    )
    chosen = F.one_hot(TARGETS, 3)
    with Gradient(model=copied, composite=EpsilonPlusFlat()) as attributor:
        _, expected = attributor(images[:2].clone().requires_grad_(), lambda out: chosen * out)
    ours = relevance_at_pool0(model, images[:2], LRPConfig().epsilon)
    scale = ours.abs().max().item()
    torch.testing.assert_close(ours, pooled[0].grad, rtol=1e-4, atol=1e-5 * scale)
    found = explain(model, images).maps
    scale = found.abs().max().item()
    torch.testing.assert_close(found, expected.sum(1).detach(), rtol=1e-4, atol=1e-5 * scale)


def test_the_sigmoids_relevance_is_the_logits_times_its_slope(model, images):
    logit, sigmoid = (explain(model, images, score=s) for s in (Score.logit, Score.sigmoid))
    share = sigmoid.diagnostics["score"]
    slope = (share * (1 - share))[:, None, None]
    scale = sigmoid.maps.abs().max().item()
    torch.testing.assert_close(sigmoid.maps, logit.maps * slope, rtol=1e-3, atol=1e-4 * scale)


def test_a_second_call_gives_the_same_bytes(model, images):
    assert torch.equal(explain(model, images).maps, explain(model, images).maps)


def test_a_model_that_adds_feature_maps_is_refused_instead_of_counting_twice(images):
    from torchvision.models import resnet18

    with pytest.raises(ValueError, match="no relevance rule for Add"):
        explain(TappedModule(resnet18(num_classes=3)), images)
