"""A small tapped model, and the bottleneck as a plain loop over its equations."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from attribution.config import StatisticsConfig
from attribution.statistics import estimate_statistics

SIDE = 32


class ThreeTaps(nn.Module):
    """Three taps of 16, 8 and 4 pixels a side, with negative values at each, and ``final``."""

    def __init__(self, num_outputs):
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6))
        self.block2 = nn.Sequential(
            nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        )
        self.block3 = nn.Sequential(
            nn.ReLU(), nn.Conv2d(8, 10, 3, stride=2, padding=1), nn.BatchNorm2d(10)
        )
        self.final = nn.Sequential(nn.ReLU(), nn.Conv2d(10, 12, 1), nn.ReLU())
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(12, num_outputs)
        )

    def _between(self, start, end):
        names = ["block1", "block2", "block3", "final", "head"]
        return nn.Sequential(*(getattr(self, name) for name in names[start:end]))

    def _end(self, tap):
        return ["block1", "block2", "block3", "final"].index(tap) + 1

    def forward_to(self, tap, images):
        return self._between(0, self._end(tap))(images)

    def forward_to_all(self, taps, images):
        return {tap: self.forward_to(tap, images) for tap in taps}

    def forward_from(self, tap, feature_map):
        return self._between(self._end(tap), 5)(feature_map)

    def forward(self, images):
        return self._between(0, 5)(images)


def make_model(num_outputs):
    """Batch-norm statistics of the images below, and outputs that differ between images."""
    torch.manual_seed(0)
    model = ThreeTaps(num_outputs)
    with torch.no_grad():
        model.head[-1].weight.mul_(8)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        model.train()(torch.randn(64, 3, SIDE, SIDE))
    return model.eval()


@pytest.fixture(scope="session")
def classifier():
    return make_model(4)


@pytest.fixture(scope="session")
def regressor():
    model = make_model(1)
    model.head.append(nn.ReLU())
    with torch.no_grad():
        model.head[-2].bias.fill_(6.0)
    return model


@pytest.fixture(scope="session")
def images():
    return torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def statistics_of():
    """(model) -> its feature statistics by tap."""

    def estimate(model):
        batch = torch.randn(64, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(2))
        return {
            tap: estimate_statistics(model, tap, [batch], StatisticsConfig())
            for tap in ("block1", "block2", "block3")
        }

    return estimate


@pytest.fixture(scope="session")
def plain_loop():
    """Eq. 1-6 for one image, the noise samples one by one, in the order of the equations.

    (features (C, h, w), tail, loss of one row of outputs, seed, statistics, config, side,
    inverse=False) -> map in bits/pixel.
    """

    def explain(r, tail, model_loss, seed, statistics, config, side, inverse=False):
        mu, sigma = statistics.mean, statistics.std.clamp(min=config.min_std)
        line = torch.arange(-2, 3, dtype=torch.float32)
        kernel = torch.exp(-(line[:, None] ** 2 + line[None] ** 2) / 2)
        kernel = (kernel / kernel.sum()).expand(len(r), 1, 5, 5)
        alpha = torch.full_like(r, config.initial_alpha, requires_grad=True)
        adam = torch.optim.Adam([alpha], lr=config.learning_rate)
        generator = torch.Generator().manual_seed(seed)

        def mask():
            padded = F.pad(torch.sigmoid(alpha)[None], (2, 2, 2, 2), mode="reflect")
            return F.conv2d(padded, kernel, groups=len(r))[0]

        def capacity(lam):
            passed = torch.distributions.Normal(lam * r + (1 - lam) * mu, (1 - lam) * sigma)
            return torch.distributions.kl_divergence(passed, torch.distributions.Normal(mu, sigma))

        for _ in range(config.steps):
            lam = mask()
            loss = config.beta * capacity(lam).mean()
            shape = (r.shape[1], r.shape[2], r.shape[0])
            drawn = config.noise_samples // (2 if config.antithetic else 1)
            noise = [torch.randn(shape, generator=generator).permute(2, 0, 1) for _ in range(drawn)]
            if config.antithetic:
                noise += [-standard for standard in noise]
            for standard in noise:
                eps = mu + sigma * standard
                z = lam * eps + (1 - lam) * r if inverse else lam * r + (1 - lam) * eps
                sample_loss = model_loss(tail(z[None])[0]) / len(noise)
                loss = loss - sample_loss if inverse else loss + sample_loss
            adam.zero_grad()
            loss.backward()
            adam.step()
        bits = capacity(mask()).detach().sum(0) / math.log(2)
        area = bits.numel() / (side[0] * side[1])
        return F.interpolate(bits[None, None] * area, side, mode="bilinear")[0, 0]

    return explain
