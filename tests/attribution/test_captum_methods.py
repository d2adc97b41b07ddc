"""Occlusion and input x gradient against captum's own call, and worked by hand."""

import captum.attr
import pytest
import torch

from attribution.base import SCORES
from attribution.captum_methods import InputXGradient, Occlusion
from attribution.config import InputXGradientConfig, OcclusionConfig, Score
from models.densenet import DenseNet121

TARGETS = torch.tensor([2, 0, 1])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return DenseNet121(3).eval()


@pytest.fixture(scope="module")
def films():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def explain(method, model, images, targets=TARGETS, score=Score.logit):
    return method(model, images, targets, score=SCORES[score], seeds=[0] * len(images))


def test_input_x_gradient_is_captums_summed_over_the_channels(model, films):
    found = explain(InputXGradient(InputXGradientConfig()), model, films)
    captums = captum.attr.InputXGradient(model).attribute(
        films.clone().requires_grad_(), target=TARGETS
    )
    torch.testing.assert_close(found.maps, captums.detach().sum(1), rtol=1e-4, atol=1e-6)


def test_of_a_linear_score_input_x_gradient_says_what_each_pixel_adds(films):
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 3))
    found = explain(InputXGradient(InputXGradientConfig()), linear, films)
    expected = (linear[1].weight.detach()[TARGETS].view(films.shape) * films).sum(1)
    torch.testing.assert_close(found.maps, expected)
    added = found.diagnostics["score"] - linear[1].bias.detach()[TARGETS]
    torch.testing.assert_close(found.maps.sum((1, 2)), added, rtol=1e-4, atol=1e-4)


def test_occlusion_is_captums_with_a_square_of_an_eighth_moved_by_half_of_it(model, films):
    found = explain(Occlusion(OcclusionConfig(window=0.25)), model, films)
    captums = captum.attr.Occlusion(model).attribute(
        films, sliding_window_shapes=(3, 8, 8), strides=(3, 4, 4), target=TARGETS
    )
    scale = captums.abs().max().item()
    torch.testing.assert_close(found.maps, captums[:, 1], rtol=1e-4, atol=1e-5 * scale)


class Corner(torch.nn.Module):
    """The one output is the sum of the top left 4 x 4 pixels of the first channel."""

    def forward(self, images):
        return images[:, 0, :4, :4].sum((1, 2))[:, None]


def test_a_pixel_has_the_mean_fall_of_the_squares_that_cover_it():
    """8 x 8 pixels, squares of 4 x 4 moved by 2: the corner is covered by 16, 8 or 4 pixels."""
    images = torch.ones(3, 3, 8, 8)
    images[1] *= 2
    found = explain(
        Occlusion(OcclusionConfig(window=0.5)), Corner(), images, torch.zeros(3), Score.output
    ).maps
    along = torch.tensor([4.0, 2.0, 0.0])  # pixels of the corner that a square covers, by its place
    means = torch.stack([along[0], along[:2].mean(), along[1:].mean(), along[2]])
    expected = means.repeat_interleave(2)[:, None] * means.repeat_interleave(2)
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(found[1], 2 * expected)


def test_how_many_squares_a_forward_holds_changes_nothing(model, films):
    one, many = (
        explain(Occlusion(OcclusionConfig(window=0.5, internal_batch_size=size)), model, films)
        for size in (1, 7)
    )
    torch.testing.assert_close(one.maps, many.maps, rtol=1e-3, atol=1e-6)
