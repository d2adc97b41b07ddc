"""IBA and inverse IBA against a plain loop over the equations, limits and planted evidence."""

import math

import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional as F

from attribution.base import SCORES, generators
from attribution.bottleneck import Bottleneck
from attribution.config import IBAConfig, InverseIBAConfig, ModelLoss, Score, StatisticsConfig
from attribution.iba import IBA, InverseIBA
from attribution.mask_fit import Objective, draw_normal, mask_losses, noise_parts
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

    def forward_to_all(self, taps, images):
        return {tap: self.forward_to(tap, images) for tap in taps}

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


def explain(model, images, statistics, seeds=None, targets=None, inverse=False, **settings):
    method, config = (InverseIBA, InverseIBAConfig) if inverse else (IBA, IBAConfig)
    return method(config(**({"beta": BETA} | settings)), statistics)(
        model,
        images,
        targets_of(images) if targets is None else targets,
        score=LOGIT,
        seeds=range(len(images)) if seeds is None else seeds,
    )


PLAIN_LOSSES = {
    ModelLoss.target: lambda x, target: -torch.log(torch.sigmoid(x[target])),
    ModelLoss.softmax_ce: lambda x, target: -torch.log_softmax(x, 0)[target],
    ModelLoss.bce_onehot: lambda x, target: torch.stack(
        [-torch.log(torch.sigmoid(v if k == target else -v)) for k, v in enumerate(x)]
    ).mean(),
}


@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("method", [IBA, InverseIBA])
@pytest.mark.parametrize("model_loss", list(ModelLoss))
def test_equals_a_plain_loop_over_the_equations_with_the_same_noise(
    model, images, statistics, plain_loop, model_loss, method, antithetic
):
    settings = {"noise_samples": 4, "antithetic": antithetic, "beta": BETA}
    settings["model_loss"] = model_loss
    config = (InverseIBAConfig if method is InverseIBA else IBAConfig)(**settings)
    found = method(config, statistics)(
        model, images[:3], targets_of(images[:3]), score=LOGIT, seeds=[11, 12, 13]
    )
    for row in range(3):
        with torch.no_grad():
            features = model.head(images[row : row + 1])[0]
        expected = plain_loop(
            features,
            lambda z: model.classifier(model.rest(z)),
            lambda outputs, row=row: PLAIN_LOSSES[model_loss](outputs, row),
            11 + row,
            statistics,
            config,
            (30, 24),
            inverse=method is InverseIBA,
        )
        assert spearmanr(found.maps[row].flatten(), expected.flatten()).statistic > 0.999
        torch.testing.assert_close(found.maps[row], expected, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("inverse", [False, True])
def test_the_gradient_of_the_loss_equals_finite_differences(inverse):
    generator = torch.Generator().manual_seed(3)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    features, noise = normal(2, 2, 4, 3), normal(2, 3, 2, 4, 3)
    statistics = FeatureStatistics(
        "block3", normal(2, 4, 3), normal(2, 4, 3).abs() + 0.2, torch.ones(2, 4, 3), 1000
    )
    bottleneck = Bottleneck(features, statistics, sigma=1, min_std=0.01, active_threshold=0.01)
    weight = normal(3, 24)
    objective = Objective(
        tail=lambda z: F.linear(z.flatten(1).tanh(), weight),
        model_loss=lambda outputs: F.softplus(-outputs[:, 1]),
        beta=0.7,
        inverse=inverse,
    )
    alpha, step = 3 * normal(2, 2, 4, 3), 1e-5
    parts = [noise[:, :2], noise[:, 2:]]

    def total(alpha):
        found = mask_losses(alpha, parts, bottleneck, objective)
        sign = -1 if inverse else 1
        return (sign * found.model_loss + objective.beta * found.information).sum()

    expected = torch.empty_like(alpha).flatten()
    for place in range(alpha.numel()):
        shift = torch.zeros_like(expected)
        shift[place] = step
        shift = shift.view_as(alpha)
        expected[place] = (total(alpha + shift) - total(alpha - shift)) / (2 * step)
    found = mask_losses(alpha, parts, bottleneck, objective).gradient
    torch.testing.assert_close(found, expected.view_as(alpha), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("at_once", [1, 3, 4])  # of 10 samples
def test_noise_in_parts_gives_the_map_that_it_gives_at_once(
    model, images, statistics, monkeypatch, at_once, antithetic
):
    whole = explain(model, images, statistics, seeds=range(6), antithetic=antithetic).maps
    monkeypatch.setattr("attribution.mask_fit.TAIL_NEURONS", at_once * 6 * 8 * 10 * 8)
    parts = explain(model, images, statistics, seeds=range(6), antithetic=antithetic).maps
    torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("at_once", [1, 2, 3, 5, 100])
def test_antithetic_noise_is_normal_noise_and_its_negative_never_more_at_once_than_fits(at_once):
    features, config = torch.zeros(2, 3, 5, 4), IBAConfig(noise_samples=8, antithetic=True)
    parts = list(noise_parts(features, config, at_once, generators([3, 4])))
    assert max(part.shape[1] for part in parts) <= at_once
    noise = torch.cat(parts, 1)
    assert noise.shape == (2, 8, 3, 5, 4)
    torch.testing.assert_close(noise.sum(1), torch.zeros(2, 3, 5, 4), rtol=0, atol=1e-6)
    drawn = draw_normal(features, 4, generators([3, 4]))
    for of_image, expected in zip(noise, drawn, strict=True):
        for sample in expected:  # once as drawn, once negated
            assert (of_image == sample).flatten(1).all(1).sum() == 1
            assert (of_image == -sample).flatten(1).all(1).sum() == 1


def test_the_gradient_of_a_linear_model_is_the_same_under_every_antithetic_pair():
    """What is odd in the noise cancels: only even terms of the loss are left to chance."""
    statistics = FeatureStatistics(
        "block3", torch.zeros(2, 4, 3), torch.ones(2, 4, 3), torch.ones(2, 4, 3), 1000
    )
    features = torch.linspace(-1, 1, 24, dtype=torch.float64).view(1, 2, 4, 3)
    bottleneck = Bottleneck(features, statistics, sigma=1, min_std=0.01, active_threshold=0.01)
    objective = Objective(
        tail=lambda z: z.flatten(1).sum(1, keepdim=True),
        model_loss=lambda outputs: outputs[:, 0],
        beta=0.0,
        inverse=False,
    )

    def gradient(seed, antithetic):
        config = IBAConfig(noise_samples=2, antithetic=antithetic)
        noise = noise_parts(features, config, 2, generators([seed]))
        return mask_losses(torch.zeros_like(features), noise, bottleneck, objective).gradient

    torch.testing.assert_close(gradient(1, True), gradient(2, True), rtol=1e-12, atol=1e-15)
    assert (gradient(1, False) - gradient(2, False)).abs().max() > 1e-3


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_map_does_not_depend_on_the_other_images_of_the_batch(
    model, images, statistics, size, inverse
):
    together = explain(model, images, statistics, inverse=inverse)
    for start in range(0, len(images), size):
        rows = slice(start, start + size)
        apart = explain(
            model,
            images[rows],
            statistics,
            seeds=range(len(images))[rows],
            targets=targets_of(images)[rows],
            inverse=inverse,
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


def test_nothing_removed_reproduces_the_models_output_and_everything_removed_all_bits(
    model, images, statistics
):
    kept = explain(model, images, statistics, inverse=True, initial_alpha=-40.0, steps=1)
    expected = model(images).gather(1, targets_of(images)[:, None])[:, 0].detach()
    torch.testing.assert_close(kept.diagnostics["bottleneck_score"], expected, rtol=1e-5, atol=1e-5)
    assert kept.diagnostics["bits"].max() < 1e-3
    removed = explain(model, images, statistics, inverse=True, initial_alpha=40.0, steps=1)
    assert removed.diagnostics["bits"].min() > 1e4


def test_inverse_lowers_the_score_and_a_huge_beta_removes_nothing(model, images, statistics):
    free = explain(model, images, statistics, inverse=True, beta=0.0).diagnostics
    closed = explain(model, images, statistics, inverse=True, beta=1e6, steps=40).diagnostics
    assert (free["bottleneck_score"] < free["score"]).all()
    assert closed["bits"].max() < 1e-3
    torch.testing.assert_close(closed["bottleneck_score"], closed["score"], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("inverse", [False, True])
def test_bits_fall_as_beta_rises(model, images, statistics, inverse):
    bits = [
        explain(model, images, statistics, beta=b, inverse=inverse).diagnostics["bits"]
        for b in (0.001, BETA, 1)
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


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("beta", [0.0, 1e8])
def test_a_mask_driven_to_its_ends_stays_finite(model, images, statistics, beta, inverse):
    found = explain(
        model,
        images,
        statistics,
        inverse=inverse,
        beta=beta,
        learning_rate=50.0,
        steps=20,
        initial_alpha=80.0,
    )
    assert found.maps.isfinite().all()
    assert all(values.isfinite().all() for values in found.diagnostics.values())


def test_the_capacity_of_each_channel_adds_up_to_the_map(model, images, statistics):
    arguments = {"score": LOGIT, "seeds": range(6)}
    method = IBA(IBAConfig(beta=BETA), statistics)
    fit = method.fit(model, images, targets_of(images), **arguments)
    found = method(model, images, targets_of(images), **arguments)
    assert fit.capacity.shape == (6, 8, 10, 8)
    bits = fit.capacity.double().sum((1, 2, 3)) / math.log(2)
    torch.testing.assert_close(found.maps.double().sum((1, 2)), bits, rtol=1e-5, atol=0)
    assert fit.diagnostics.keys() == found.diagnostics.keys()


class TwoPatches(nn.Module):
    """The logit is that of the stronger of two patches: of two equal ones, either suffices."""

    corners = ((slice(1, 4), slice(1, 4)), (slice(9, 12), slice(9, 12)))

    def forward_to(self, tap, images):
        return images.clone()

    def forward_from(self, tap, feature_map):
        patches = [
            3 * feature_map[:, :, rows, columns].mean((1, 2, 3)) for rows, columns in self.corners
        ]
        return torch.stack(patches).logsumexp(0)[:, None]


def test_of_two_sufficient_patches_inverse_removes_both():
    images = torch.zeros(1, 3, 14, 14)
    for rows, columns in TwoPatches.corners:
        images[:, :, rows, columns] = 1
    shape = (3, 14, 14)
    statistics = FeatureStatistics(
        "block3", torch.zeros(shape), torch.ones(shape), torch.ones(shape), 1000
    )
    found = explain(
        TwoPatches(),
        images,
        statistics,
        inverse=True,
        targets=torch.zeros(1, dtype=torch.int64),
        beta=0.1,
        steps=20,
    )
    patches = [found.maps[0, rows, columns] for rows, columns in TwoPatches.corners]
    elsewhere = (found.maps.sum() - sum(patch.sum() for patch in patches)) / (14 * 14 - 18)
    assert min(patch.mean() for patch in patches) > 8 * elsewhere
    # Two patches give log 2 + 3, one alone would still give log(1 + exp 3) = 3.05.
    assert found.diagnostics["score"].item() == pytest.approx(math.log(2) + 3)
    assert found.diagnostics["bottleneck_score"] < 1.5


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
    with pytest.raises(ValueError, match=r"noise_samples.*even, got 3"):
        IBA(IBAConfig(noise_samples=3, antithetic=True), statistics)


def test_a_regressors_targets_are_refused_with_what_to_use(model, images, statistics):
    with pytest.raises(ValueError, match=r"float32.*int64"):
        explain(model, images, statistics, targets=torch.zeros(6))
