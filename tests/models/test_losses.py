"""Class weights and the weighted cross-entropy against equation 8."""

import numpy as np
import pytest
import torch

from models.config import PosWeight
from models.losses import BatchwiseBinaryCrossEntropy, BinaryCrossEntropy, weighted_loss


def labels_with(*positives: int, count: int = 12) -> torch.Tensor:
    labels = torch.zeros(count, len(positives))
    for column, number in enumerate(positives):
        labels[:number, column] = 1
    return labels


def test_weights_are_negatives_over_positives_of_each_class():
    loss, clipped = weighted_loss(PosWeight.per_class, labels_with(1, 4, 9), maximum=100.0)
    assert loss.pos_weight.tolist() == [11.0, 2.0, torch.tensor(1 / 3).item()]
    assert loss.pos_weight.dtype == torch.float32
    assert clipped == []


def test_a_scalar_weight_is_that_of_all_labels_together():
    loss, clipped = weighted_loss(PosWeight.scalar, labels_with(1, 4, 4), maximum=100.0)
    assert loss.pos_weight.tolist() == [3.0]  # 27 negatives, 9 positives
    assert clipped == []


def test_a_class_beyond_the_bound_or_without_positives_is_clipped_and_named():
    loss, clipped = weighted_loss(PosWeight.per_class, labels_with(1, 0, 2, count=20), maximum=9.0)
    assert loss.pos_weight.tolist() == [9.0, 9.0, 9.0]
    assert clipped == [0, 1]  # the third is 9 by itself


def equation_8(logits: np.ndarray, labels: np.ndarray, beta: np.ndarray | float) -> np.ndarray:
    predicted = 1 / (1 + np.exp(-logits))
    return -(beta * labels * np.log(predicted) + (1 - labels) * np.log(1 - predicted))


@pytest.mark.parametrize("beta", [None, np.array([0.3, 5.0, 40.0])])
def test_loss_is_equation_8_as_a_mean(beta):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(7, 3)) * 3, (rng.random((7, 3)) < 0.4).astype(float)
    terms = equation_8(logits, labels, 1.0 if beta is None else beta)
    criterion = BinaryCrossEntropy(None if beta is None else torch.from_numpy(beta))
    loss = criterion(torch.from_numpy(logits), torch.from_numpy(labels))
    assert loss.item() == pytest.approx(terms.mean(), rel=1e-12)
    assert loss.item() * 3 == pytest.approx(terms.sum(1).mean(), rel=1e-12)


@pytest.mark.parametrize(("positives", "beta"), [((1, 2, 3), 30 / 6), ((0, 0, 0), 36.0)])
def test_the_batchwise_weight_follows_the_labels_of_the_batch(positives, beta):
    labels = labels_with(*positives)
    logits = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    loss = BatchwiseBinaryCrossEntropy()(logits, labels.double())
    assert loss.item() == pytest.approx(
        equation_8(logits.numpy(), labels.numpy(), beta).mean(), rel=1e-12
    )
