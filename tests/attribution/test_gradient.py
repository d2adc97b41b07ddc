"""The plain gradient against Captum's saliency and the chain rule."""

import captum.attr
import torch

from attribution.base import SCORES
from attribution.config import GradientConfig, Score
from attribution.gradient import Gradient
from models.densenet import DenseNet121


def test_equals_captums_saliency_with_the_maximum_over_channels():
    torch.manual_seed(0)
    model = DenseNet121(3).eval()
    images, targets = torch.randn(2, 3, 32, 32), torch.tensor([2, 0])
    ours = Gradient(GradientConfig())(
        model, images, targets, score=SCORES[Score.logit], seeds=[0, 1]
    )
    saliency = captum.attr.Saliency(model).attribute(
        images.clone().requires_grad_(), target=targets, abs=True
    )
    assert ours.maps.min() >= 0
    torch.testing.assert_close(ours.maps, saliency.amax(1), rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(
        ours.diagnostics["score"], model(images).gather(1, targets[:, None])[:, 0].detach()
    )


def test_the_gradient_of_the_sigmoid_is_that_of_the_logit_times_its_slope():
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    images, targets = torch.randn(3, 3, 2, 2), torch.tensor([0, 1, 1])
    method = Gradient(GradientConfig())
    logit = method(model, images, targets, score=SCORES[Score.logit], seeds=[0, 0, 0])
    sigmoid = method(model, images, targets, score=SCORES[Score.sigmoid], seeds=[0, 0, 0])
    share = sigmoid.diagnostics["score"]
    slope = (share * (1 - share))[:, None, None]
    torch.testing.assert_close(sigmoid.maps, logit.maps * slope)


def test_works_where_the_caller_has_switched_gradients_off():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    with torch.no_grad():
        result = Gradient(GradientConfig())(
            model,
            torch.ones(1, 3, 2, 2),
            torch.tensor([1]),
            score=SCORES[Score.logit],
            seeds=[0],
        )
    expected = model[1].weight[1].detach().abs().view(3, 2, 2).amax(0)
    torch.testing.assert_close(result.maps[0], expected)
