"""Binary cross-entropy per output, plain or with the weights that balance its positives (Eq. 8)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from models.config import PosWeight


class BinaryCrossEntropy(nn.Module):
    """Eq. 8 of logits and labels (N, C), as a mean over films and classes (published code).

    ``pos_weight`` (C,) or (1,) is Eq. 8's beta; None is plain cross-entropy. The equation sums over
    the classes; the mean is that sum / C, which the learning rate absorbs.
    """

    def __init__(self, pos_weight: Tensor | None = None) -> None:
        super().__init__()
        self.pos_weight: Tensor | None
        self.register_buffer("pos_weight", pos_weight, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return binary_cross_entropy_with_logits(logits, labels, pos_weight=self.pos_weight)


class BatchwiseBinaryCrossEntropy(nn.Module):
    """Eq. 8 with one beta for all classes: negatives / positives over all labels of the batch.

    In a batch without positives beta, which then multiplies nothing, is the number of negatives
    (published code, ``weighted_cross_entropy_batchwise``).
    """

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        negatives, positives = (labels == 0).sum(), (labels == 1).sum()
        beta = (negatives / positives.clamp(min=1)).to(logits)
        return binary_cross_entropy_with_logits(logits, labels, pos_weight=beta)


def weighted_loss(kind: PosWeight, labels: Tensor, maximum: float) -> tuple[nn.Module, list[int]]:
    """Weighted cross-entropy for the train fold's ``labels`` (N, C), and the classes it clips.

    A class is clipped, for the caller to state, where its weight would pass ``maximum``; a class
    without positives, which has nothing to weight, is one of them.
    """
    if kind is PosWeight.batchwise:
        return BatchwiseBinaryCrossEntropy(), []
    counted = labels if kind is PosWeight.per_class else labels.reshape(-1, 1)
    positives = (counted == 1).sum(0).double()
    negatives = (counted == 0).sum(0).double()
    ratio = torch.where(positives > 0, negatives / positives, torch.inf)
    clipped = torch.nonzero(ratio > maximum).flatten().tolist()
    return BinaryCrossEntropy(ratio.clamp(max=maximum).float()), clipped
