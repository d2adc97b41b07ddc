import math

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional as F

from attribution.base import SCORES
from attribution.config import IBAConfig, ModelLoss, Score, StatisticsConfig
from attribution.iba import IBA
from attribution.statistics import FeatureStatistics, estimate_statistics

LOGIT = SCORES[Score.logit]
BETA = 0.03
"""Leaves the small network's mask between open (from 0.001 down) and closed (from 1 up)."""


class SmallNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, 8, 5, stride=3, padding=2), nn.BatchNorm2d(8))
        self.rest = nn.Sequential(
            nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.classifier = nn.Linear(8, 4)

    def forward_to(self, tap, images):
        return self.head(images)

    def forward_from(self, tap, feature_map):
        return self.classifier(self.rest(feature_map))

    def forward(self, images):
        return self.forward_from("block3", self.forward_to("block3", images))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    net = SmallNet()
    with torch.no_grad():
        net.classifier.weight.mul_(8)
        net.train()(torch.randn(64, 3, 30, 24))
    return net.eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(6, 3, 30, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def statistics(model):
    generator = torch.Generator().manual_seed(2)
    batches = [torch.randn(16, 3, 30, 24, generator=generator) for _ in range(4)]
    return estimate_statistics(model, "block3", batches, StatisticsConfig())


def targets_of(images):
    return torch.arange(len(images)) % 4


def explain(model, images, statistics, seeds=None, targets=None, **settings):
    return IBA(IBAConfig(**({"beta": BETA} | settings)), statistics)(
        model,
        images,
        targets_of(images) if targets is None else targets,
        score=LOGIT,
        seeds=range(len(images)) if seeds is None else seeds,
    )


def oracle(model, image, target, seed, statistics, config):
    """Eq. 1-4 for one image, the noise samples one by one, in the order of the equations."""
    with torch.no_grad():
        r = model.head(image[None])[0]
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
        noise = torch.randn(config.noise_samples, *r.shape, generator=generator)
        for eps in noise:
            z = lam * r + (1 - lam) * (mu + sigma * eps)
            logits = model.classifier(model.rest(z[None]))[0]
            loss = loss + {
                ModelLoss.target: lambda x: -torch.log(torch.sigmoid(x[target])),
                ModelLoss.softmax_ce: lambda x: -torch.log_softmax(x, 0)[target],
                ModelLoss.bce_onehot: lambda x: torch.stack(
                    [-torch.log(torch.sigmoid(v if k == target else -v)) for k, v in enumerate(x)]
                ).mean(),
            }[config.model_loss](logits) / len(noise)
        adam.zero_grad()
        loss.backward()
        adam.step()
    bits = capacity(mask()).detach().sum(0) / math.log(2)
    area = bits.numel() / (image.shape[1] * image.shape[2])
    return F.interpolate(bits[None, None] * area, image.shape[1:], mode="bilinear")[0, 0]


@pytest.mark.parametrize("model_loss", list(ModelLoss))
def test_equals_a_plain_loop_over_the_equations_with_the_same_noise(
    model, images, statistics, model_loss
):
    config = IBAConfig(model_loss=model_loss, noise_samples=4, beta=BETA)
    found = IBA(config, statistics)(
        model, images[:3], targets_of(images[:3]), score=LOGIT, seeds=[11, 12, 13]
    )
    for row in range(3):
        expected = oracle(model, images[row], row, 11 + row, statistics, config)
        assert spearmanr(found.maps[row].flatten(), expected.flatten()).statistic > 0.999
        torch.testing.assert_close(found.maps[row], expected, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_map_does_not_depend_on_the_other_images_of_the_batch(model, images, statistics, size):
    together = explain(model, images, statistics)
    for start in range(0, len(images), size):
        rows = slice(start, start + size)
        apart = explain(
            model,
            images[rows],
            statistics,
            seeds=range(len(images))[rows],
            targets=targets_of(images)[rows],
        )
        for alone, among in zip(apart.maps, together.maps[rows], strict=True):
            assert spearmanr(alone.flatten(), among.flatten()).statistic > 0.999
        torch.testing.assert_close(apart.maps, together.maps[rows], rtol=1e-3, atol=1e-5)


def test_the_same_seeds_give_the_same_bytes_and_others_another_map(model, images, statistics):
    first, second = (explain(model, images[:2], statistics, seeds=[4, 5]) for _ in range(2))
    other = explain(model, images[:2], statistics, seeds=[4, 6])
    assert torch.equal(first.maps, second.maps)
    assert not torch.equal(first.maps[1], other.maps[1])


def test_an_open_mask_reproduces_the_models_output(model, images, statistics):
    found = explain(model, images, statistics, initial_alpha=40.0, steps=1).diagnostics
    expected = model(images).gather(1, targets_of(images)[:, None])[:, 0].detach()
    torch.testing.assert_close(found["score"], expected)
    torch.testing.assert_close(found["bottleneck_score"], expected, rtol=1e-5, atol=1e-5)


def test_a_huge_beta_leaves_no_bits_and_no_beta_keeps_the_score(model, images, statistics):
    closed = explain(model, images, statistics, beta=1e6, steps=40).diagnostics
    free = explain(model, images, statistics, beta=0.0).diagnostics
    assert closed["bits"].max() < 1e-3
    assert free["bits"].min() > 100
    assert (free["bottleneck_score"] > free["score"] - 0.05).all()


def test_bits_fall_as_beta_rises(model, images, statistics):
    bits = [
        explain(model, images, statistics, beta=b).diagnostics["bits"] for b in (0.001, BETA, 1)
    ]
    assert (bits[0] > bits[1]).all()
    assert (bits[1] > bits[2]).all()


def test_a_maps_sum_is_the_images_bits(model, images, statistics):
    found = explain(model, images, statistics)
    assert found.maps.shape == (6, 30, 24)
    assert found.maps.min() >= 0
    torch.testing.assert_close(found.maps.sum((1, 2)), found.diagnostics["bits"], rtol=1e-5, atol=0)


def test_first_step_losses_are_those_of_the_initial_mask(model, images, statistics):
    config = IBAConfig()
    found = explain(model, images, statistics).diagnostics
    with torch.no_grad():
        r = model.head(images)
    kept = 1 / (1 + math.exp(-config.initial_alpha))
    passed = torch.distributions.Normal(
        kept * r + (1 - kept) * statistics.mean, (1 - kept) * statistics.std
    )
    noise = torch.distributions.Normal(statistics.mean, statistics.std)
    information = torch.distributions.kl_divergence(passed, noise).mean((1, 2, 3))
    torch.testing.assert_close(found["information_first"], information, rtol=1e-4, atol=0)
    # Noise of less than 1 % at the start: the loss is nearly that without the bottleneck.
    plain = F.softplus(-found["score"])
    torch.testing.assert_close(found["model_loss_first"], plain, rtol=0.05, atol=0.01)
    assert (found["information_last"] < found["information_first"]).all()


@pytest.mark.parametrize("beta", [0.0, 1e8])
def test_a_mask_driven_to_its_ends_stays_finite(model, images, statistics, beta):
    found = explain(
        model, images, statistics, beta=beta, learning_rate=50.0, steps=20, initial_alpha=80.0
    )
    assert found.maps.isfinite().all()
    assert all(values.isfinite().all() for values in found.diagnostics.values())


class PatchNet(nn.Module):
    """The logit is a linear function of one patch of the feature map, which is the image."""

    rows, columns = slice(2, 5), slice(7, 10)

    def forward_to(self, tap, images):
        return images.clone()

    def forward_from(self, tap, feature_map):
        return feature_map[:, :, self.rows, self.columns].sum((1, 2, 3))[:, None]


def test_information_gathers_where_the_score_comes_from():
    images = torch.randn(3, 3, 14, 14, generator=torch.Generator().manual_seed(5))
    images[:, :, PatchNet.rows, PatchNet.columns] += 1
    statistics = FeatureStatistics(
        "block3",
        mean=torch.zeros(3, 14, 14),
        std=torch.ones(3, 14, 14),
        active=torch.ones(3, 14, 14),
        num_images=1000,
    )
    maps = explain(
        PatchNet(),
        images,
        statistics,
        targets=torch.zeros(3, dtype=torch.int64),
        beta=10.0,
        steps=20,
    ).maps
    # The smoothing of the mask reaches two pixels beyond the patch, which is 1/4 of the map.
    near = maps[:, 0:7, 5:12].sum((1, 2)) / maps.sum((1, 2))
    inside = maps[:, PatchNet.rows, PatchNet.columns].mean((1, 2))
    outside = maps.clone()
    outside[:, 0:7, 5:12] = 0
    assert (near > 0.9).all()
    assert (inside > 20 * outside.sum((1, 2)) / (14 * 14 - 49)).all()


def test_statistics_of_another_tap_and_empty_optimisations_are_refused(statistics):
    with pytest.raises(ValueError, match="tap is block1"):
        IBA(IBAConfig(tap="block1"), statistics)
    with pytest.raises(ValueError, match="steps"):
        IBA(IBAConfig(steps=0), statistics)
    with pytest.raises(ValueError, match="noise_samples"):
        IBA(IBAConfig(noise_samples=0), statistics)
