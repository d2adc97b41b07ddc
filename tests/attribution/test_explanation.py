"""``explain`` is the method built by hand, and what it cannot do it names."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from attribution import explain
from attribution.base import SCORES
from attribution.config import GradCAMConfig, IBAConfig, ModelLoss, Score, StatisticsConfig
from attribution.iba import IBA
from attribution.statistics import estimate_statistics
from attribution.tapped import TappedModule

ROOT = Path(__file__).resolve().parents[2]


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return resnet18(num_classes=5).eval()


IMAGES = normal(2, 3, 64, 64)
REFERENCE = [normal(4, 3, 64, 64, seed=1), normal(4, 3, 64, 64, seed=2)]


def test_the_lines_of_the_readme_run_on_a_torchvision_model(model):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    (block,) = (text for text in blocks if "from attribution import explain" in text)
    assert len([line for line in block.splitlines() if line]) == 3
    names = {"model": model, "images": IMAGES, "targets": [0, 3], "batches": REFERENCE}
    exec(block, names)
    assert names["maps"].shape == (2, 64, 64)
    total = names["maps"].sum((1, 2)).numpy()
    assert total == pytest.approx(names["bits"].numpy(), rel=1e-4)
    assert (names["bits"] > 0).all()


def test_explain_is_the_method_built_by_hand_with_the_statistics_of_the_reference(model):
    settings = IBAConfig(beta=2.0, steps=3, noise_samples=2, model_loss=ModelLoss.softmax_ce)
    found = explain(
        *(model, IMAGES, [0, 3]),
        layer="layer2",
        reference=REFERENCE,
        settings=settings,
        seeds=[7, 8],
    )
    tapped = TappedModule(model)
    statistics = estimate_statistics(tapped, "layer2", REFERENCE, StatisticsConfig())
    by_hand = IBA(replace(settings, tap="layer2"), statistics)(
        tapped, IMAGES, torch.tensor([0, 3]), score=SCORES[Score.logit], seeds=[7, 8]
    )
    assert torch.equal(found.maps, by_hand.maps)


def test_gradients_are_those_of_autograd_and_need_no_layer(model):
    images = IMAGES.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(images)[:, 1].sum(), images)
    found = explain(model, IMAGES, [1, 1], method="gradient").maps
    torch.testing.assert_close(found, expected.abs().amax(1))


def test_grad_cam_looks_at_the_layer_that_is_named(model):
    deep, shallow = (
        explain(model, IMAGES, [1, 2], method="grad_cam", layer=layer).maps
        for layer in ("layer4", "layer2")
    )
    assert not torch.allclose(deep, shallow)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"method": "ibba"}, "unknown method 'ibba'; known: gradient, grad_cam"),
        ({"reference": REFERENCE}, "layer: iba needs the name of one"),
        ({"layer": "layer3"}, "reference: iba needs batches"),
        ({"layer": "layer9", "reference": REFERENCE}, "no layer 'layer9'.*layer1, layer2"),
        ({"method": "gradient", "layer": "layer3"}, "layer: gradient looks at none"),
        (
            {"method": "grad_cam", "layer": "layer3", "reference": REFERENCE},
            "reference: grad_cam takes no statistics",
        ),
        ({"settings": GradCAMConfig()}, "settings: iba takes a IBAConfig, not GradCAMConfig"),
        ({"method": "multilayer_iba"}, "several layers"),
    ],
)
def test_what_is_missing_superfluous_or_unknown_is_named(model, arguments, said):
    with pytest.raises(ValueError, match=said):
        explain(model, IMAGES, [0, 1], **arguments)


def test_the_wing_is_imported_without_torch():
    code = "import attribution, sys; assert 'torch' not in sys.modules; attribution.explain"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
