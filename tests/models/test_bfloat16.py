"""bfloat16 is behind a tap or in all of a network, its logits are float32, and slow is refused."""

import pytest
import torch

from models import bfloat16
from models.bfloat16 import Bfloat16Behind, check_precision, explained_network, product_rate
from models.config import FrozenPrecision
from models.densenet import FINAL, TAPS, DenseNet121
from models.frozen_densenet import FrozenDenseNet

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return DenseNet121(3).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def rates(monkeypatch, **gflops):
    monkeypatch.setattr(
        bfloat16,
        "product_rate",
        lambda device, dtype: 1e9 * gflops[str(dtype).removeprefix("torch.")],
    )


def test_only_what_follows_a_tap_is_in_bfloat16(model, images):
    expected, found = (
        explained_network(model, precision)
        for precision in (FrozenPrecision.float32, FrozenPrecision.bf16)
    )
    with torch.no_grad():
        assert torch.equal(found(images), expected(images))
        maps = expected.forward_to_all(TAPS, images)
        for tap, features in found.forward_to_all(TAPS, images).items():
            assert torch.equal(features, maps[tap])
            ours, theirs = (each.forward_from(tap, features) for each in (found, expected))
            assert not torch.equal(ours, theirs)
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0.03)


def test_gradients_behind_a_tap_point_where_those_of_float32_do(model, images):
    half, full = Bfloat16Behind(model), FrozenDenseNet(model)
    for tap in TAPS:
        leaf = full.forward_to(tap, images).requires_grad_()
        found, expected = (
            torch.autograd.grad(network.forward_from(tap, leaf)[:, 1].sum(), leaf)[0].flatten()
            for network in (half, full)
        )
        assert found.dtype == torch.float32
        assert torch.cosine_similarity(found, expected, dim=0) > 0.98, tap


def test_logits_of_bfloat16_are_float32_and_not_rounded_to_it(model, images):
    half = FrozenDenseNet(model, torch.bfloat16)
    with torch.no_grad():
        logits, features = half(images), half.forward_to(FINAL, images)
        assert logits.dtype == features.dtype == torch.float32
        assert not torch.equal(logits, logits.bfloat16().float())
        torch.testing.assert_close(half.forward_from(FINAL, features), logits)


def test_a_processor_that_is_no_faster_in_bfloat16_is_refused_with_both_rates(monkeypatch):
    rates(monkeypatch, float32=150, bfloat16=84)
    with pytest.raises(ValueError, match=r"1\.8 times as long in bfloat16.*84 and 150 GFLOP/s"):
        check_precision(FrozenPrecision.bf16, CPU)
    check_precision(FrozenPrecision.float32, CPU)


def test_a_processor_that_is_faster_in_bfloat16_takes_it(monkeypatch):
    rates(monkeypatch, float32=150, bfloat16=290)
    check_precision(FrozenPrecision.bf16, CPU)


def test_a_rate_is_measured_once_in_a_process():
    product_rate.cache_clear()
    assert product_rate(CPU, torch.float32) == product_rate(CPU, torch.float32) > 1e8
    assert product_rate.cache_info().misses == 1
