"""Binary cross-entropy per output, and the weights that balance its positives (Eq. 8)."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def positive_weights(labels: Tensor, maximum: float) -> tuple[Tensor, list[int]]:
    """Eq. 8's beta per class: negatives / positives in ``labels`` (N, C) of the train fold.

    Returns float32 weights (C,), bounded by ``maximum``, and the classes that the bound clipped,
    for the caller to state. A class without positives, which has nothing to weight, is one of them.
    """
    if labels.ndim != 2 or len(labels) == 0:
        raise ValueError(f"labels must be of shape (N, C) with N > 0, got {tuple(labels.shape)}")
    positives = (labels == 1).sum(0).double()
    negatives = (labels == 0).sum(0).double()
    ratio = torch.where(positives > 0, negatives / positives, torch.inf)
    clipped = torch.nonzero(ratio > maximum).flatten().tolist()
    return ratio.clamp(max=maximum).float(), clipped


def classification_loss(logits: Tensor, labels: Tensor, pos_weight: Tensor | None = None) -> Tensor:
    """Eq. 8 of logits and labels (N, C), as a mean over films and classes (published code).

    The equation sums over the classes; the mean is that sum / C, which the learning rate absorbs.
    """
    return binary_cross_entropy_with_logits(logits, labels, pos_weight=pos_weight)
