"""Information bottleneck attribution: the mask that keeps a prediction with few bits (Eq. 4)."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from attribution.base import (
    Attribution,
    ScoreFunction,
    TappedModel,
    check_batch,
    frozen,
    generators,
)
from attribution.bottleneck import Bottleneck, bits_per_pixel
from attribution.config import IBAConfig, ModelLoss
from attribution.statistics import FeatureStatistics


def target_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """-log sigmoid(target's logit), (N,): the cross-entropy of the finding explained alone."""
    return F.softplus(-outputs.gather(1, targets[:, None]).squeeze(1))


def softmax_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(outputs)[target], (N,)."""
    return F.cross_entropy(outputs, targets, reduction="none")


def bce_onehot(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy against a one-hot label, mean over all outputs, (N,)."""
    labels = F.one_hot(targets, outputs.shape[1]).to(outputs)
    return F.binary_cross_entropy_with_logits(outputs, labels, reduction="none").mean(1)


MODEL_LOSSES: Mapping[ModelLoss, Callable[[Tensor, Tensor], Tensor]] = {
    ModelLoss.target: target_loss,
    ModelLoss.softmax_ce: softmax_cross_entropy,
    ModelLoss.bce_onehot: bce_onehot,
}


class FittedMask(NamedTuple):
    """1 - lambda after the last step, and what the first and the last step's forward gave."""

    noise_share: Tensor  # (N, C, h, w)
    outputs: Tensor  # (N K, outputs) of the last forward
    losses: dict[str, Tensor]  # (N,) each: {model_loss, information}_{first, last}


def fit_mask(
    tail: Callable[[Tensor], Tensor],
    model_loss: Callable[[Tensor], Tensor],
    bottleneck: Bottleneck,
    config: IBAConfig,
    generators: Sequence[torch.Generator],
) -> FittedMask:
    """Minimises mean_K model loss + beta mean_(C,h,w) capacity over each image's own alpha.

    tail: Z (N K, C, h, w) -> outputs (N K, outputs); model_loss: outputs -> (N K,). The loss is
    summed over images and Adam acts element by element: an image's mask is the one it gets alone.
    """
    samples = config.noise_samples
    alpha = torch.full_like(bottleneck.active_features, config.initial_alpha).requires_grad_()
    optimiser = torch.optim.Adam([alpha], lr=config.learning_rate)
    losses: dict[str, Tensor] = {}
    for step in range(config.steps):
        noise = standard_normal(generators, samples, alpha)
        with torch.enable_grad():
            share = bottleneck.noise_share(alpha)
            information = bottleneck.capacity(share).mean((1, 2, 3))
            outputs = tail(bottleneck.inject(share, noise))
            per_image = model_loss(outputs).view(-1, samples).mean(1)
            loss = (per_image + config.beta * information).sum()
            (alpha.grad,) = torch.autograd.grad(loss, alpha)
        optimiser.step()
        parts = {"model_loss": per_image.detach(), "information": information.detach()}
        if step == 0:
            losses = {f"{name}_first": value for name, value in parts.items()}
    losses |= {f"{name}_last": value for name, value in parts.items()}
    with torch.no_grad():
        return FittedMask(bottleneck.noise_share(alpha), outputs.detach(), losses)


def standard_normal(generators: Sequence[torch.Generator], samples: int, like: Tensor) -> Tensor:
    """Noise (N, samples, C, h, w), each image's from its own generator, as float32 on the CPU."""
    shape = (samples, *like.shape[1:])
    noise = torch.empty(len(generators), *shape)
    for row, generator in zip(noise, generators, strict=True):
        torch.randn(shape, generator=generator, out=row)
    return noise.to(like)


class IBA:
    """Bottleneck at ``config.tap``: minimises model loss + beta x mean capacity (Eq. 1-4).

    Maps in bits/pixel whose sum is the image's information in bits, of the mask after the last
    step (the published code returns the mask before it). Diagnostics per image: bits; score,
    without the bottleneck; bottleneck_score, the mean over the noise samples of the last step's
    forward; model_loss_first, model_loss_last, information_first and information_last (mean
    capacity in nats a neuron) of the first and the last step's forward.
    Raises ValueError where the statistics do not fit the features.
    """

    def __init__(self, config: IBAConfig, statistics: FeatureStatistics) -> None:
        if statistics.tap != config.tap:
            raise ValueError(
                f"attribution.iba.tap is {config.tap}, the statistics are of {statistics.tap}"
            )
        if config.steps < 1 or config.noise_samples < 1:
            raise ValueError(
                "attribution.iba.steps and .noise_samples must be at least 1, got "
                f"{config.steps} and {config.noise_samples}"
            )
        self.config = config
        self.statistics = statistics

    def __call__(
        self,
        model: TappedModel,
        images: Tensor,
        targets: Tensor,
        *,
        score: ScoreFunction,
        seeds: Sequence[int],
    ) -> Attribution:
        check_batch(images, targets, seeds)
        config = self.config
        samples = config.noise_samples
        model_loss = MODEL_LOSSES[config.model_loss]
        repeated = targets.repeat_interleave(samples)
        with frozen(model):
            with torch.no_grad():
                features = model.forward_to(config.tap, images)
                plain_score = score(model.forward_from(config.tap, features), targets)
            bottleneck = Bottleneck(
                features,
                self.statistics,
                sigma=config.sigma,
                min_std=config.min_std,
                active_threshold=config.active_threshold,
            )
            fit = fit_mask(
                lambda z: model.forward_from(config.tap, z),
                lambda outputs: model_loss(outputs, repeated),
                bottleneck,
                config,
                generators(seeds),
            )
        capacity = bottleneck.capacity(fit.noise_share).clamp(min=0)  # not -1e-8 by rounding
        diagnostics = {
            "bits": capacity.double().sum((1, 2, 3)) / math.log(2),
            "score": plain_score,
            "bottleneck_score": score(fit.outputs, repeated).view(-1, samples).mean(1),
            **fit.losses,
        }
        return Attribution(
            bits_per_pixel(capacity, (images.shape[2], images.shape[3])).cpu(),
            {name: value.float().cpu() for name, value in diagnostics.items()},
        )
