"""The gradient against Captum's saliency and the chain rule, SmoothGrad against its tunnel."""

import captum.attr
import torch

from attribution.base import SCORES
from attribution.config import GradientConfig, Score, SmoothGradConfig
from attribution.gradient import Gradient, SmoothGrad
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


def test_smooth_grad_is_captums_noise_tunnel_with_the_noise_of_each_images_seed(classifier, images):
    targets = torch.tensor([0, 2, 1, 3])
    ours = SmoothGrad(SmoothGradConfig(samples=6, noise=0.2, internal_batch_size=4))(
        classifier, images, targets, score=SCORES[Score.logit], seeds=[5, 6, 7, 8]
    )
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(classifier))
    for row in range(4):
        image = images[[row]]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5 + row)
            captums = tunnel.attribute(
                image,
                nt_type="smoothgrad",
                nt_samples=6,
                stdevs=0.2 * float(image.max() - image.min()),
                target=int(targets[row]),
                abs=False,
            )
        expected = captums.detach().abs().amax(1)[0]
        torch.testing.assert_close(ours.maps[row], expected, rtol=1e-3, atol=1e-6)


def test_without_much_noise_smooth_grad_is_the_gradient(classifier, images):
    targets = torch.tensor([0, 2, 1, 3])
    arguments = {"score": SCORES[Score.logit], "seeds": [0] * 4}
    smooth = SmoothGrad(SmoothGradConfig(samples=3, noise=1e-7))
    plain = Gradient(GradientConfig())(classifier, images, targets, **arguments)
    found = smooth(classifier, images, targets, **arguments)
    torch.testing.assert_close(found.maps, plain.maps, rtol=1e-2, atol=1e-4)
