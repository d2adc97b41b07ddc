"""Maps are drawn by the centres of their cells, at every tap, side and method."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from attribution.base import SCORES
from attribution.config import AttributionConfig, BottleneckConfig, Score
from attribution.methods import METHODS
from attribution.placement import centres_of, interpolation_matrix, placed
from attribution.statistics import FeatureStatistics
from models.densenet import FINAL, TAPS, DenseNet121
from models.frozen_densenet import FrozenDenseNet

STEPS = {"block1": 4, "block2": 8, "block3": 16, FINAL: 32}
DRAWN = [
    *(name for name in METHODS if "iba" in name and name != "multilayer_iba"),
    *("grad_cam", "grad_cam_plus_plus", "layer_cam", "eigen_cam", "excitation_backprop"),
]


class OneBrightCell(nn.Module):
    """Feature maps of DenseNet's sizes, one cell of which is bright; the output is their sum."""

    cell_centres = staticmethod(DenseNet121.cell_centres)

    def __init__(self, cell, num_cells):
        super().__init__()
        self.cell = cell
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1))
        with torch.no_grad():
            self.head[-1].weight.fill_(num_cells)
            self.head[-1].bias.zero_()

    def forward_to(self, tap, images):
        row, column = self.cell
        height, width = (length // STEPS[tap] for length in images.shape[2:])
        features = torch.zeros(len(images), 2, height, width)
        features[:, :, row, column] = 6.0
        return features

    def forward_from(self, tap, feature_map):
        return self.head(feature_map)


def drawn(name, tap, side, cell):
    """The map (side, side) of a film on which one cell of the tap is bright."""
    model = OneBrightCell(cell, (side // STEPS[tap]) ** 2)
    settings = getattr(AttributionConfig(), name)
    if isinstance(settings, BottleneckConfig):
        shape = model.forward_to(tap, torch.zeros(1, 3, side, side)).shape[1:]
        statistics = FeatureStatistics(
            tap, torch.zeros(shape), torch.full(shape, 0.01), torch.ones(shape), 1000
        )
        few = type(settings)(tap=tap, beta=0.1, steps=6, noise_samples=2, sigma=0.0)
        method = METHODS[name](few, statistics)
    else:
        method = METHODS[name](replace(settings, tap=tap))
    regression = name.startswith("regression")
    targets = torch.full((1,), 12.0) if regression else torch.zeros(1, dtype=torch.int64)
    score = SCORES[Score.output if regression else Score.logit]
    images = torch.zeros(1, 3, side, side)
    return method(model, images, targets, score=score, seeds=[0]).maps[0]


@pytest.mark.parametrize("side", [64, 96, 160, 224, 256])
@pytest.mark.parametrize("tap", STEPS)
@pytest.mark.parametrize("name", DRAWN)
def test_one_bright_cell_is_drawn_at_its_place(name, tap, side):
    last = side // STEPS[tap] - 1
    for cell in {(0, last), (last // 2, (last + 1) // 2), (last, last)}:
        found = drawn(name, tap, side, cell)
        first, step = DenseNet121.cell_centres(tap)
        row, column = (int(first + step * place) for place in cell)
        assert found.max() > 0
        assert found[row, column] == found.max()
        # Halfway to the next cell the map has fallen by half of what it falls to that cell.
        if cell[0] not in (0, last) and step > 4:
            next_cell, between = found[row + int(step), column], found[row + int(step) // 2, column]
            torch.testing.assert_close(between, (found.max() + next_cell) / 2)


def test_the_centres_are_those_of_the_networks_strides_and_paddings():
    """A layer of kernel k, stride s and padding p moves the first centre by (k - 1) / 2 - p cells
    and makes the step s times as long (Dumoulin and Visin 2016)."""
    model = DenseNet121(2)
    first, step = 0.0, 1.0
    found = {}
    for name, module in model.features.named_modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
            sizes = (module.kernel_size, module.stride, module.padding)
            kernel, stride, padding = (
                each[0] if isinstance(each, tuple) else each for each in sizes
            )
            first, step = first + step * ((kernel - 1) / 2 - padding), step * stride
        if "." not in name and name.startswith("denseblock"):
            blocks = [f"denseblock{number}" for number in range(1, 5)]
            # Within a block nothing moves: its layers have stride 1 and pad by half a kernel.
            found[dict(zip(blocks, (*TAPS, FINAL), strict=True))[name]] = (first, step)
    assert found == {tap: DenseNet121.cell_centres(tap) for tap in (*TAPS, FINAL)}


@pytest.mark.parametrize("tap", TAPS)
def test_a_cell_answers_to_the_pixels_around_its_centre(tap):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FrozenDenseNet(DenseNet121(2).eval())
        images = torch.randn(2, 3, 192, 192).requires_grad_()
    first, step = model.cell_centres(tap)
    cell = int(96 // step)
    gradient = torch.zeros_like(images)
    features = model.forward_to(tap, images)[:, :, cell, cell]
    signs = torch.randn(features.shape, generator=torch.Generator().manual_seed(1)).sign()
    (gradient,) = torch.autograd.grad((features * signs).sum(), images)
    weight = gradient.square().sum((0, 1))
    pixels = torch.arange(192.0)
    centre = first + cell * step
    for axis in (0, 1):
        of_axis = weight.sum(1 - axis)
        assert (of_axis * pixels).sum() / of_axis.sum() == pytest.approx(centre, abs=0.5)


@pytest.mark.parametrize(("cells", "size"), [((3, 5), (40, 33)), ((7, 7), (112, 112))])
def test_without_centres_cells_share_the_image_evenly(cells, size):
    features = torch.rand(
        2, *cells, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    expected = F.interpolate(features[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(placed(features, size, None), expected)
    assert centres_of(nn.Identity(), "") is None


def test_an_even_map_stays_even_wherever_its_cells_lie():
    matrix = interpolation_matrix(50, 3, (2.0, 16.0))
    torch.testing.assert_close(matrix.sum(1), torch.ones(50, dtype=torch.float64))
    assert (matrix >= 0).all()
