"""Guided Backprop and DeepLIFT against captum's own call, numbers by hand, and who is refused."""

import warnings

import captum.attr
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import densenet121, resnet18, swin_t

from attribution import explain as explain_any
from attribution.base import SCORES
from attribution.config import DeepLiftConfig, GuidedBackpropConfig, Score
from attribution.modified_backprop import DeepLift, GuidedBackprop
from models.densenet import DenseNet121, SeverityRegressor
from models.frozen_densenet import FrozenDenseNet

TARGETS = torch.tensor([2, 0, 1])
GUIDED, LIFTED = GuidedBackprop(GuidedBackpropConfig()), DeepLift(DeepLiftConfig())


def with_statistics(model, films):
    """Batch-norm statistics of the films, so that no activation explodes or dies."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(films)
    return model.eval()


@pytest.fixture(scope="module")
def films():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def model(films):
    torch.manual_seed(0)
    return with_statistics(DenseNet121(3), films)


def explain(method, model, images, targets=TARGETS, score=Score.logit):
    return method(model, images, targets, score=SCORES[score], seeds=[0] * len(images))


def captums(method, images, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return method.attribute(images.clone(), **arguments).detach()


def test_guided_backprop_is_captums_with_the_maximum_over_channels(model, films):
    expected = captums(captum.attr.GuidedBackprop(model), films, target=TARGETS)
    found = explain(GUIDED, model, films).maps
    scale = found.max().item()
    torch.testing.assert_close(found, expected.abs().amax(1), rtol=1e-4, atol=1e-5 * scale)


def test_deep_lift_is_captums_summed_over_the_channels(model, films):
    expected = captums(captum.attr.DeepLift(model), films, baselines=0, target=TARGETS)
    found = explain(LIFTED, model, films).maps
    scale = found.abs().max().item()
    torch.testing.assert_close(found, expected.sum(1), rtol=1e-4, atol=1e-5 * scale)


def test_deep_lift_adds_up_to_the_scores_change_from_the_grey_image(model, films):
    found = explain(LIFTED, model, films).diagnostics
    with torch.no_grad():
        ends, starts = (SCORES[Score.logit](model(x), TARGETS) for x in (films, 0 * films))
    torch.testing.assert_close(found["score"], ends)
    torch.testing.assert_close(found["baseline_score"], starts)
    assert ((ends - starts).abs() > 0.01).all()
    assert (found["completeness_error"].abs() < 1e-3 * (ends - starts).abs()).all()


def test_deep_lift_adds_up_behind_the_last_relu_of_a_regressor_too(films):
    regressor = with_statistics(SeverityRegressor(), films)
    with torch.no_grad():
        regressor.classifier[0].bias.fill_(3.0)
    found = explain(LIFTED, regressor, films, torch.zeros(3), Score.output).diagnostics
    change = (found["score"] - found["baseline_score"]).abs()
    assert (change > 1e-3).all()
    assert (found["completeness_error"].abs() < 1e-2 * change).all()


def test_a_batch_of_three_has_the_maps_of_three_batches_of_one(model, films):
    for method in (GUIDED, LIFTED):
        together = explain(method, model, films).maps
        alone = [explain(method, model, films[[n]], TARGETS[[n]]).maps[0] for n in range(3)]
        scale = together.abs().max().item()
        torch.testing.assert_close(torch.stack(alone), together, rtol=1e-3, atol=1e-4 * scale)


class Difference(nn.Module):
    """relu(a - b) - 2 relu(b) of the first two channels, averaged over the pixels, as an output."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 2, 1, bias=False)
        self.relu = nn.ReLU()
        self.join = nn.Conv2d(2, 1, 1, bias=False)
        with torch.no_grad():
            self.mix.weight[:, :, 0, 0] = torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, 0.0]])
            self.join.weight[0, :, 0, 0] = torch.tensor([1.0, -2.0])

    def forward(self, images):
        return self.join(self.relu(self.mix(images))).mean((2, 3))


def test_numbers_by_hand_of_what_passes_the_relus():
    """a = 3, b = 1: both ReLUs are open, but the second one's gradient is below 0 and not guided
    through. relu(3 - 1) - 2 relu(1) = 0, of which a has 3 and b -1 - 2."""
    images = torch.tensor([3.0, 1.0, 5.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    target = torch.zeros(1, dtype=torch.int64)
    guided = explain(GUIDED, Difference(), images, target).maps
    torch.testing.assert_close(guided, torch.full((1, 2, 2), 1 / 4))  # of a, and as much of b
    model = Difference()
    lifted = explain(LIFTED, model, images, target).maps
    torch.testing.assert_close(lifted, torch.zeros(1, 2, 2))
    with torch.no_grad():
        model.join.weight[0, 1] = 0.0
    lifted = explain(LIFTED, model, images, target).maps
    torch.testing.assert_close(lifted, torch.full((1, 2, 2), (3 - 1) / 4))


def test_deep_lift_rescales_where_the_gradient_is_zero():
    """At x = -1, relu(x + 2) from the grey image's 2 to 1; at x = -3 its gradient is 0, and it has
    fallen by 2 all the same."""

    class Bent(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Conv2d(3, 1, 1)
            self.relu = nn.ReLU()
            with torch.no_grad():
                self.shift.weight[0, :, 0, 0] = torch.tensor([1.0, 0.0, 0.0])
                self.shift.bias.fill_(2.0)

        def forward(self, images):
            return self.relu(self.shift(images)).mean((2, 3))

    images = torch.zeros(2, 3, 1, 1)
    images[:, 0, 0, 0] = torch.tensor([-1.0, -3.0])
    found = explain(LIFTED, Bent(), images, torch.zeros(2, dtype=torch.int64)).maps
    torch.testing.assert_close(found.flatten(), torch.tensor([-1.0, -2.0]))


class WithFunction(Difference):
    def forward(self, images):
        return self.join(F.relu(self.mix(images))).mean((2, 3))


class WithProduct(Difference):
    def forward(self, images):
        return super().forward(images * images.sigmoid())


@pytest.mark.parametrize("method", ["guided_backprop", "deep_lift"])
@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (WithFunction, r"Relu outside nn\.ReLU"),
        (WithProduct, "Mul, Sigmoid"),
        (lambda: densenet121(num_classes=2), r"Relu outside nn\.ReLU"),
        (lambda: swin_t(num_classes=2), "Gelu"),
    ],
)
def test_what_hooks_would_miss_is_refused_and_named(method, kind, fault):
    with pytest.raises(ValueError, match=f"the model runs .*{fault}.*each a module of its own"):
        explain_any(kind().eval(), torch.randn(1, 3, 64, 64), 0, method=method)


def test_a_frozen_network_is_refused_since_its_modules_are_not_its_layers(model, films):
    for method in (GUIDED, LIFTED):
        with pytest.raises(ValueError, match=r"the model runs .*_Block"):
            explain(method, FrozenDenseNet(model), films)


def test_a_resnet_is_guided_but_its_relus_which_run_twice_are_not_lifted(films):
    torch.manual_seed(0)
    model = resnet18(num_classes=3).eval()
    expected = captums(captum.attr.GuidedBackprop(model), films, target=TARGETS).abs().amax(1)
    found = explain_any(model, films, TARGETS, method="guided_backprop").maps
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match=r"one nn\.ReLU or nn\.MaxPool2d in several places"):
        explain_any(model, films, TARGETS, method="deep_lift")
