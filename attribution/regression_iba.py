"""Regression IBA: the bottleneck of a model with one output, under three losses (section 2.2)."""

from collections.abc import Callable

from torch import Tensor

from attribution.base import regression_output
from attribution.iba import BottleneckMethod
from attribution.mask_fit import for_samples
from attribution.operating_point import KEEPS_SCORE, NEAR_SCORE


def _squared_distance(reference: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda z_outputs: (
        regression_output(z_outputs) - for_samples(reference, z_outputs)
    ).square()


class MSEIBA(BottleneckMethod):
    """L_MSE = (Phi(Z) - y)^2: what brings the output to the reference score y, the targets.

    beta: auto is the largest at which the median of |Phi(Z) - Phi(X)| is at most half a point.
    Raises ValueError where the targets are no scores, or the model has several outputs.
    """

    rule = NEAR_SCORE

    def model_loss(self, outputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor]:
        if not targets.is_floating_point():
            raise ValueError(
                f"L_MSE compares the output with reference scores: targets must be float32, got "
                f"{targets.dtype}"
            )
        regression_output(outputs)
        return _squared_distance(targets)


class MaximisingIBA(BottleneckMethod):
    """L_RM = -Phi(Z)^2: what keeps the output high. The paper's Phi(Z)^2 is to be maximised.

    beta: auto is the largest at which the median of Phi(Z) is at least that of Phi(X).
    Raises ValueError where the model has several outputs.
    """

    rule = KEEPS_SCORE

    def model_loss(self, outputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor]:
        regression_output(outputs)
        return lambda z_outputs: -regression_output(z_outputs).square()


class DeviationIBA(BottleneckMethod):
    """L_DV = (Phi(Z) - Phi(X))^2: what keeps the output at the model's own. The paper writes X.

    beta: auto is the largest at which the median of |Phi(Z) - Phi(X)| is at most half a point.
    Raises ValueError where the model has several outputs.
    """

    rule = NEAR_SCORE

    def model_loss(self, outputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor]:
        return _squared_distance(regression_output(outputs))
