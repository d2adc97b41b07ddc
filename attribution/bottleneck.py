"""The information bottleneck at one feature map: mask, capacity and injection (Eq. 1-3, 5).

Z = lambda R + (1 - lambda) eps with eps ~ N(mu, sigma^2) per neuron, and the capacity
KL(P(Z|R) || N(mu, sigma^2)) bounds the information that passes (Schulz et al. 2020).
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attribution.placement import Centres, placed
from attribution.precision import in_float32, without_autocast
from attribution.statistics import FeatureStatistics

_LEAST_NOISE = 1e-30
"""Floor of 1 - lambda: a saturated mask stays finite (at most 69 nats a neuron) in float32 too."""


def smoothing_matrix(size: int, sigma: float) -> Tensor:
    """Gaussian smoothing of a line of ``size`` pixels with reflected ends, as a float64 matrix.

    Along both sides it equals the published kernel, 2 round(2 sigma) + 1 wide and truncated
    there, because that kernel is an outer product. Rows sum to 1; sigma 0 is the identity.
    """
    radius = round(2 * sigma)
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-(offsets.double() ** 2) / (2 * max(sigma, 1e-12) ** 2))
    weights /= weights.sum()
    period = max(2 * (size - 1), 1)
    rows = torch.arange(size)[:, None]
    folded = (rows + offsets).remainder(period)
    columns = torch.minimum(folded, period - folded)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    return matrix.index_put_((rows.expand_as(columns), columns), weights.expand_as(columns), True)


class _Noisy(torch.autograd.Function):
    """centre + spread x noise: (N, C, h, w) twice, noise (N, K, C, h, w). Autograd's own backward
    would write a product as large as the noise."""

    @staticmethod
    def forward(ctx: Any, centre: Tensor, spread: Tensor, noise: Tensor) -> Tensor:
        ctx.save_for_backward(noise)
        return torch.addcmul(centre.unsqueeze(1), spread.unsqueeze(1), noise)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        (noise,) = ctx.saved_tensors
        in_spread = gradient[:, 0] * noise[:, 0]
        for sample in range(1, noise.shape[1]):
            in_spread.addcmul_(gradient[:, sample], noise[:, sample])
        return gradient.sum(1), in_spread, None


class Bottleneck:
    """A bottleneck for each image of a batch, at features R (N, C, h, w); channels-last inside.

    In float32, whatever the network's precision (float64 for float64 features).

    Raises ValueError where the statistics belong to another shape.
    """

    def __init__(
        self,
        features: Tensor,
        statistics: FeatureStatistics,
        *,
        sigma: float,
        min_std: float,
        active_threshold: float,
    ) -> None:
        if statistics.mean.shape != features.shape[1:]:
            raise ValueError(
                f"the statistics at {statistics.tap} are of shape {tuple(statistics.mean.shape)}, "
                f"the features of shape {tuple(features.shape[1:])}: estimate them on images of "
                "the same side and with the same model"
            )
        features = in_float32(features).contiguous(memory_format=torch.channels_last)
        mean, std, active = (
            values.to(features)[None].contiguous(memory_format=torch.channels_last)
            for values in (statistics.mean, statistics.std, statistics.active)
        )
        std = std.clamp(min=min_std)
        self.active = (active > active_threshold).to(features)
        self._half_squared = 0.5 * ((features - mean) / std).square()
        # A neuron that is hardly ever active passes nothing and receives no noise.
        self.active_features = features * self.active
        self._mean, self._std = mean * self.active, std * self.active
        self._smooth_rows = smoothing_matrix(features.shape[2], sigma).to(features)
        self._smooth_columns = smoothing_matrix(features.shape[3], sigma).to(features)

    def noise_share(self, alpha: Tensor) -> Tensor:
        """1 - lambda, (N, C, h, w), of alpha of that shape: smoothing of 1 - sigmoid(alpha).

        Computed, not subtracted from 1: in float32 lambda rounds to 1 from alpha = 17 on.
        """
        share = torch.sigmoid(-alpha).permute(0, 2, 3, 1)
        with without_autocast(share):
            rows = (self._smooth_rows @ share.flatten(2)).view(share.shape)
            smooth = (self._smooth_columns @ rows).permute(0, 3, 1, 2)
        return smooth.clamp(min=_LEAST_NOISE)

    def capacity(self, noise_share: Tensor) -> Tensor:
        """KL(P(Z|R) || Q(Z)) in nats per neuron (N, C, h, w); 0 where a neuron is not active."""
        kept = 1 - noise_share
        divergence = 0.5 * noise_share.square() - noise_share.log() - 0.5
        return self.active * torch.addcmul(divergence, kept.square(), self._half_squared)

    def distribution(self, noise_share: Tensor, *, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """Mean and deviation (N, C, h, w) of Z.

        Eq. 1; inverse: Eq. 5, where lambda is the share of the noise instead.
        """
        kept, added = 1 - noise_share, noise_share
        if inverse:
            kept, added = added, kept
        return torch.addcmul(kept * self.active_features, added, self._mean), added * self._std


def inject(centre: Tensor, spread: Tensor, noise: Tensor) -> Tensor:
    """Z (N K, C, h, w), an image's K samples in a row, of Z's mean and deviation (N, C, h, w) and
    normal noise (N, K, C, h, w)."""
    found: Tensor = _Noisy.apply(centre, spread, noise)
    return found.flatten(0, 1)


def bits_per_pixel(
    capacity: Tensor, side: tuple[int, int], centres: Centres | None = None
) -> Tensor:
    """Maps (N, H, W) in bits/pixel, float32, of the capacity (N, C, h, w) in nats.

    Sums over channels, bilinear between the ``centres`` of the cells (``placement.placed``). A
    map's sum is the image's total information in bits: rescaled per image where interpolation
    itself does not conserve it; the published resize, with mirrored edges, does not.
    """
    bits = capacity.sum(1).double() / math.log(2)
    maps = placed(bits, side, centres)
    total, interpolated = bits.sum((1, 2)), maps.sum((1, 2))
    scale = total / interpolated.where(interpolated > 0, 1)
    return (maps * scale[:, None, None]).float()
