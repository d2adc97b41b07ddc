"""Grad-CAM against Captum's."""

import captum.attr
import pytest
import torch

from attribution.base import SCORES
from attribution.config import GradCAMConfig, Score
from attribution.grad_cam import GradCAM
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
