"""The bottleneck: its mask, noise and bits against closed forms and finite differences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from attribution.bottleneck import Bottleneck, bits_per_pixel, inject, smoothing_matrix
from attribution.statistics import FeatureStatistics


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def make(features, seed=1, active=None, **options):
    """Statistics that do not fit the features on purpose: nothing may cancel."""
    shape = features.shape[1:]
    statistics = FeatureStatistics(
        tap="block3",
        mean=normal(*shape, seed=seed),
        std=normal(*shape, seed=seed + 1).abs() + 0.2,
        active=torch.ones(shape) if active is None else active,
        num_images=1000,
    )
    options = {"sigma": 1.0, "min_std": 0.01, "active_threshold": 0.01} | options
    return Bottleneck(features, statistics, **options), statistics


def smoothed_sigmoid(alpha, sigma):
    """The published way: a normalised 2-D kernel over each channel, reflection padding."""
    radius = round(2 * sigma)
    line = torch.arange(-radius, radius + 1, dtype=alpha.dtype)
    kernel = torch.exp(-(line[:, None] ** 2 + line[None, :] ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(alpha.shape[1], 1, -1, -1)
    padded = F.pad(torch.sigmoid(alpha), (radius,) * 4, mode="reflect")
    return F.conv2d(padded, kernel, groups=alpha.shape[1])


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_the_mask_is_the_published_smoothing_of_the_sigmoid(sigma):
    alpha = 4 * normal(2, 3, 9, 7)
    bottleneck, _ = make(normal(2, 3, 9, 7, seed=5), sigma=sigma)
    torch.testing.assert_close(1 - bottleneck.noise_share(alpha), smoothed_sigmoid(alpha, sigma))


@given(size=st.integers(1, 40), sigma=st.floats(0, 6))
@settings(max_examples=60, deadline=None)
def test_smoothing_keeps_a_constant_and_no_smoothing_keeps_everything(size, sigma):
    matrix = smoothing_matrix(size, sigma)
    assert (matrix >= 0).all()
    torch.testing.assert_close(matrix.sum(1), torch.ones(size, dtype=torch.float64))
    assert torch.equal(smoothing_matrix(size, 0.0), torch.eye(size, dtype=torch.float64))


def test_capacity_is_the_divergence_of_the_two_normal_distributions():
    features, alpha = normal(2, 3, 6, 6), 3 * normal(2, 3, 6, 6, seed=3)
    bottleneck, statistics = make(features)
    kept = smoothed_sigmoid(alpha, 1.0)
    noise = Normal(statistics.mean, statistics.std)
    passed = Normal(kept * features + (1 - kept) * statistics.mean, (1 - kept) * statistics.std)
    found = bottleneck.capacity(bottleneck.noise_share(alpha))
    torch.testing.assert_close(found, kl_divergence(passed, noise))


def test_injection_has_the_mean_and_deviation_that_the_capacity_assumes():
    features, alpha = normal(1, 2, 4, 4), normal(1, 2, 4, 4, seed=3)
    bottleneck, statistics = make(features)
    share = bottleneck.noise_share(alpha)
    samples = 20_000
    z = inject(*bottleneck.distribution(share), normal(1, samples, 2, 4, 4, seed=4))
    kept = 1 - share[0]
    mean = kept * features[0] + share[0] * statistics.mean
    deviation = share[0] * statistics.std
    assert z.shape == (samples, 2, 4, 4)
    assert ((z.mean(0) - mean) / deviation).abs().max() < 5 / math.sqrt(samples)
    assert (z.std(0) / deviation - 1).abs().max() < 5 / math.sqrt(2 * samples)


def test_each_image_meets_its_own_noise():
    features = normal(2, 1, 3, 3)
    bottleneck, statistics = make(features)
    noise = normal(2, 4, 1, 3, 3, seed=8)
    share = bottleneck.noise_share(normal(2, 1, 3, 3, seed=9))
    z = inject(*bottleneck.distribution(share), noise)
    for image in range(2):
        for sample in range(4):
            eps = statistics.mean + statistics.std * noise[image, sample]
            expected = (1 - share[image]) * features[image] + share[image] * eps
            torch.testing.assert_close(z[image * 4 + sample], expected)


def test_neurons_below_the_threshold_pass_nothing_and_cost_nothing():
    active = torch.tensor([1.0, 0.25, 0.0, 0.26])[:, None, None].expand(4, 3, 3)
    bottleneck, _ = make(normal(1, 4, 3, 3), active=active, active_threshold=0.25)
    share = bottleneck.noise_share(normal(1, 4, 3, 3, seed=2))
    z = inject(*bottleneck.distribution(share), normal(1, 5, 4, 3, 3, seed=3))
    for found in (z, bottleneck.capacity(share)):
        assert (found[:, [1, 2]] == 0).all()
        assert (found[:, [0, 3]] != 0).all()


def test_a_dead_neurons_deviation_is_bounded_below():
    features = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    statistics = FeatureStatistics(
        "block3", torch.ones(1, 1, 1), torch.zeros(1, 1, 1), torch.ones(1, 1, 1), 10
    )
    bottleneck = Bottleneck(features, statistics, sigma=0, min_std=0.5, active_threshold=0)
    kept, share = 0.25, torch.full((1, 1, 1, 1), 0.75, dtype=torch.float64)
    expected = 0.5 * (0.75**2 + (kept * 2) ** 2 - 1) - math.log(0.75)
    assert bottleneck.capacity(share).item() == pytest.approx(expected)


@pytest.mark.parametrize("part", ["capacity", "inject"])
def test_gradients_in_alpha_equal_finite_differences(part):
    features, noise = normal(2, 2, 4, 3), normal(2, 3, 2, 4, 3, seed=6)
    active = torch.ones(2, 4, 3)
    active[0, 0, 0] = 0
    bottleneck, _ = make(features, active=active)

    def function(alpha):
        share = bottleneck.noise_share(alpha)
        if part == "capacity":
            return bottleneck.capacity(share)
        return inject(*bottleneck.distribution(share), noise)

    alpha = (3 * normal(2, 2, 4, 3, seed=7)).requires_grad_()
    assert torch.autograd.gradcheck(function, alpha)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("value", [-1e4, -60.0, 20.0, 60.0, 1e4])
def test_a_saturated_mask_is_finite_with_finite_gradients(value, dtype):
    bottleneck, _ = make(normal(1, 2, 4, 4, dtype=dtype))
    alpha = torch.full((1, 2, 4, 4), value, dtype=dtype, requires_grad=True)
    share = bottleneck.noise_share(alpha)
    z = inject(*bottleneck.distribution(share), normal(1, 3, 2, 4, 4, dtype=dtype))
    capacity = bottleneck.capacity(share)
    (1e6 * capacity.mean() + z.square().mean()).backward()
    for tensor in (share, z, capacity, alpha.grad):
        assert tensor.isfinite().all()
    if value < 0:
        assert capacity.max() < 1e-6


def test_capacity_grows_where_single_precision_would_round_the_mask_to_one():
    bottleneck, _ = make(normal(1, 1, 4, 4, dtype=torch.float32))
    totals = [
        bottleneck.capacity(bottleneck.noise_share(torch.full((1, 1, 4, 4), value))).mean().item()
        for value in (20.0, 30.0, 40.0)
    ]
    assert totals[1] - totals[0] == pytest.approx(10, abs=1e-3)
    assert totals[2] - totals[1] == pytest.approx(10, abs=1e-3)


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    up=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_bits_add_up_at_any_image_size(height, width, up, seed):
    capacity = normal(2, 3, height, width, seed=seed).abs()
    capacity[1] *= 1e-6
    maps = bits_per_pixel(capacity, (height + up[0], width + up[1]))
    bits = capacity.sum((1, 2, 3)) / math.log(2)
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps.double().sum((1, 2)), bits, rtol=1e-5, atol=0)


def test_by_a_whole_factor_interpolation_itself_conserves_the_bits():
    capacity = normal(2, 3, 7, 7).abs()
    plain = F.interpolate(capacity.sum(1, keepdim=True), (112, 112), mode="bilinear")[:, 0]
    maps = bits_per_pixel(capacity, (112, 112))
    torch.testing.assert_close(maps, (plain / math.log(2) / 256).float(), rtol=1e-5, atol=0)


def test_an_even_capacity_gives_an_even_map_and_none_gives_none():
    maps = bits_per_pixel(torch.full((1, 4, 3, 3), math.log(2)), (10, 20))
    torch.testing.assert_close(maps, torch.full((1, 10, 20), 4 * 9 / 200))
    assert (bits_per_pixel(torch.zeros(1, 4, 3, 3), (10, 20)) == 0).all()


def test_statistics_of_another_image_size_are_refused():
    _, statistics = make(normal(1, 2, 4, 4))
    with pytest.raises(ValueError, match=r"\(2, 4, 4\).*\(2, 7, 7\)"):
        Bottleneck(normal(1, 2, 7, 7), statistics, sigma=1, min_std=0.01, active_threshold=0.01)
