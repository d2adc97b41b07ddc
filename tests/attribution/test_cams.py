"""The CAM family: GradCAM against Captum's, its relatives against their papers' sums."""

import captum.attr
import pytest
import torch

from attribution.base import SCORES
from attribution.cams import EigenCAM, GradCAM, GradCAMPlusPlus, LayerCAM
from attribution.config import GradCAMConfig, Score
from attribution.placement import placed
from models.densenet import DenseNet121


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return DenseNet121(3).eval()


@pytest.mark.parametrize(("tap", "layer"), [("final", "relu"), ("block3", "features.denseblock3")])
def test_equals_captums_layer_grad_cam(model, tap, layer):
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(3, 3, 64, 64, generator=generator)
    targets = torch.tensor([2, 0, 1])
    ours = GradCAM(GradCAMConfig(tap=tap))(
        model, images, targets, score=SCORES[Score.logit], seeds=[0, 1, 2]
    )
    captums = captum.attr.LayerGradCam(model, model.get_submodule(layer)).attribute(
        images, target=targets, relu_attributions=True
    )
    assert captums.amax() > 0
    expected = placed(captums[:, 0].detach(), (64, 64), model.cell_centres(tap))
    scale = expected.max().item()
    torch.testing.assert_close(ours.maps, expected, rtol=1e-4, atol=1e-5 * scale)


class TwoSpots(torch.nn.Module):
    """Channel 0 raises the logit, channel 1 lowers it; the tap is the image itself."""

    def forward(self, images):
        return (images[:, 0] - 2 * images[:, 1]).mean((1, 2))[:, None]

    def forward_to(self, tap, images):
        return images.clone()

    def forward_from(self, tap, feature_map):
        return self(feature_map)


def test_evidence_against_is_cut_off_and_magnitudes_are_kept():
    images = torch.zeros(2, 3, 4, 4)
    images[0, 0, 1, 1], images[0, 1, 3, 3] = 8.0, 8.0
    images[1, 0, 1, 1] = 16.0
    maps = (
        GradCAM(GradCAMConfig(tap="input"))(
            TwoSpots(),
            images,
            torch.zeros(2, dtype=torch.int64),
            score=SCORES[Score.output],
            seeds=[0, 0],
        )
    ).maps
    expected = torch.zeros(2, 4, 4)
    expected[0, 1, 1], expected[1, 1, 1] = 8 / 16, 16 / 16
    torch.testing.assert_close(maps, expected)


@pytest.fixture(scope="module")
def features():
    """Two images, three channels of 2 x 3 cells, none below 0, as behind a ReLU."""
    return torch.randn(2, 3, 2, 3, generator=torch.Generator().manual_seed(0)).relu()


@pytest.fixture(scope="module")
def gradient():
    return torch.randn(2, 3, 2, 3, generator=torch.Generator().manual_seed(1))


def test_grad_cam_plus_plus_is_the_papers_sum_over_channels_and_cells(features, gradient):
    """Eq. 19 of the paper with the derivatives of exp(S), over which exp(S) is divided."""
    found = GradCAMPlusPlus.cells(features, gradient)
    for image in range(2):
        total = torch.zeros(2, 3)
        for channel in range(3):
            a, g = features[image, channel], gradient[image, channel]
            alpha = g**2 / (2 * g**2 + a.sum() * g**3)
            total += (alpha * g.clamp(min=0)).sum() * a
        torch.testing.assert_close(found[image], total.clamp(min=0))


def test_a_cell_without_gradient_has_no_weight_in_grad_cam_plus_plus(features):
    assert (GradCAMPlusPlus.cells(features, torch.zeros_like(features)) == 0).all()


def test_layer_cam_weights_each_cell_by_its_own_positive_gradient():
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    gradient = torch.tensor([[[[0.5, -1.0]], [[2.0, 0.25]]]])
    assert LayerCAM.cells(features, gradient).tolist() == [[[0.5 + 6.0, 1.0]]]


def test_eigen_cam_is_the_projection_on_the_strongest_direction_whatever_the_gradient(
    features, gradient
):
    found = EigenCAM.cells(features, gradient)
    assert torch.equal(EigenCAM.cells(features, -gradient), found)
    for image in range(2):
        cells = features[image].flatten(1).T
        _, vectors = torch.linalg.eigh(cells.T @ cells)  # ascending
        expected = (cells @ vectors[:, -1]).abs().view(2, 3)
        torch.testing.assert_close(found[image], expected)
    assert found.min() >= 0


def test_eigen_cam_of_one_pattern_is_the_pattern_times_the_length_of_its_channels():
    pattern = torch.tensor([[0.0, 1.0], [2.0, 0.5]])
    features = torch.tensor([3.0, 4.0])[None, :, None, None] * pattern
    found = EigenCAM.cells(features, torch.zeros_like(features))
    torch.testing.assert_close(found[0], 5 * pattern)
