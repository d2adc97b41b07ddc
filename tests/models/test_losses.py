import numpy as np
import pytest
import torch

from models.losses import classification_loss, positive_weights


def test_weights_are_negatives_over_positives() -> None:
    labels = torch.zeros(12, 3)
    labels[:1, 0] = 1
    labels[:4, 1] = 1
    labels[:9, 2] = 1
    weights, clipped = positive_weights(labels, maximum=100.0)
    assert weights.tolist() == [11.0, 2.0, torch.tensor(1 / 3).item()]
    assert weights.dtype == torch.float32
    assert clipped == []


def test_a_class_beyond_the_bound_or_without_positives_is_clipped_and_named() -> None:
    labels = torch.zeros(20, 3)
    labels[:1, 0] = 1
    labels[:2, 2] = 1
    weights, clipped = positive_weights(labels, maximum=9.0)
    assert weights.tolist() == [9.0, 9.0, 9.0]
    assert clipped == [0, 1]  # the third is 9 by itself


@pytest.mark.parametrize("labels", [torch.zeros(0, 3), torch.zeros(3)])
def test_weights_of_no_labels_are_refused(labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"\(N, C\)"):
        positive_weights(labels, maximum=9.0)


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_is_equation_8_as_a_mean(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(7, 3)) * 3, (rng.random((7, 3)) < 0.4).astype(float)
    beta = np.array([0.3, 5.0, 40.0]) if weighted else np.ones(3)
    predicted = 1 / (1 + np.exp(-logits))
    terms = -(beta * labels * np.log(predicted) + (1 - labels) * np.log(1 - predicted))
    loss = classification_loss(
        torch.from_numpy(logits),
        torch.from_numpy(labels),
        torch.from_numpy(beta) if weighted else None,
    )
    assert loss.item() == pytest.approx(terms.mean(), rel=1e-12)
    assert loss.item() * 3 == pytest.approx(terms.sum(1).mean(), rel=1e-12)
