"""Fitting a bottleneck's mask to each image of a batch: the losses of Eq. 4 and 6, and Adam."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from attribution.bottleneck import Bottleneck, inject
from attribution.config import BottleneckConfig
from attribution.precision import without_autocast

TAIL_NEURONS = 1 << 22
"""Most neurons of Z that run through the model at once, if that is a sample of each image: bounds
the memory. A map's last bits depend on it, as they do on the batch."""


def for_samples(values: Tensor, outputs: Tensor) -> Tensor:
    """values (N,), an image's for each of its k rows of outputs (N k, C): (N k,)."""
    return values.repeat_interleave(len(outputs) // len(values))


class FittedMask(NamedTuple):
    """1 - lambda after the last step, and what the first and the last step's forward gave."""

    noise_share: Tensor  # (N, C, h, w)
    outputs: Tensor  # (N, K, outputs) of the last forward
    losses: dict[str, Tensor]  # (N,) each: {model_loss, information}_{first, last}


class Objective(NamedTuple):
    """What a mask is judged by."""

    tail: Callable[[Tensor], Tensor]  # Z (N k, C, h, w) -> outputs (N k, outputs)
    model_loss: Callable[[Tensor], Tensor]  # outputs (N k, outputs) -> (N k,)
    beta: float
    inverse: bool  # Eq. 5-6: the model loss is to be high, with noise for the share lambda


class Losses(NamedTuple):
    model_loss: Tensor  # (N,), mean over an image's samples
    information: Tensor  # (N,), mean capacity in nats a neuron
    outputs: Tensor  # (N, K, outputs)
    gradient: Tensor  # (N, C, h, w), of model_loss (inverse: its negative) + beta information


def mask_losses(
    alpha: Tensor, noise: Iterable[Tensor], bottleneck: Bottleneck, objective: Objective
) -> Losses:
    """Eq. 4 (inverse: Eq. 6) for alpha (N, C, h, w) and normal noise (N, k, C, h, w) in parts.

    Each part runs through the model by itself; only the sum of its gradients is kept.
    """
    # Backward passes run in the types of the forward; under autocast they would not.
    with torch.enable_grad(), without_autocast(alpha):
        leaf = alpha.detach().requires_grad_()
        share = bottleneck.noise_share(leaf)
        information = bottleneck.capacity(share).mean((1, 2, 3))
        of_z = bottleneck.distribution(share, inverse=objective.inverse)
        ends = [values.detach().requires_grad_() for values in of_z]
        gradients = [torch.zeros_like(values) for values in ends]
        outputs, losses = [], []
        for part in noise:
            z_outputs = objective.tail(inject(ends[0], ends[1], part))
            loss = objective.model_loss(z_outputs)
            of_part = torch.autograd.grad(loss.sum(), ends)
            gradients = [total.add_(new) for total, new in zip(gradients, of_part, strict=True)]
            outputs.append(z_outputs.detach().view(*part.shape[:2], -1))
            losses.append(loss.detach().view(part.shape[:2]))
        model_loss = torch.cat(losses, 1)
        weight = (-1 if objective.inverse else 1) / model_loss.shape[1]
        (gradient,) = torch.autograd.grad(
            [*of_z, information.sum()],
            leaf,
            [*(total * weight for total in gradients), torch.tensor(objective.beta).to(alpha)],
        )
    return Losses(model_loss.mean(1), information.detach(), torch.cat(outputs, 1), gradient)


def fit_mask(
    bottleneck: Bottleneck,
    objective: Objective,
    config: BottleneckConfig,
    generators: Sequence[torch.Generator],
) -> FittedMask:
    """Minimises the losses over each image's own alpha.

    They are summed over images and Adam acts element by element: an image's mask is the one it
    gets alone.
    """
    features = bottleneck.active_features
    layout = torch.channels_last
    alpha = torch.full_like(features, config.initial_alpha, memory_format=layout).requires_grad_()
    optimiser = torch.optim.Adam([alpha], lr=config.learning_rate, fused=True)
    at_once = max(TAIL_NEURONS // features.numel(), 1)
    reported: dict[str, Tensor] = {}
    for step in range(config.steps):
        noise = noise_parts(features, config, at_once, generators)
        losses = mask_losses(alpha, noise, bottleneck, objective)
        # The fused update walks through the memory of both, whatever their strides.
        alpha.grad = losses.gradient.contiguous(memory_format=layout)
        optimiser.step()
        for when in ("first", "last") if step == 0 else ("last",):
            reported[f"model_loss_{when}"] = losses.model_loss
            reported[f"information_{when}"] = losses.information
    with torch.no_grad():
        return FittedMask(bottleneck.noise_share(alpha), losses.outputs, reported)


def noise_parts(
    features: Tensor, config: BottleneckConfig, at_once: int, generators: Sequence[torch.Generator]
) -> Iterator[Tensor]:
    """A step's ``config.noise_samples`` of noise, at most ``at_once`` of an image in a part.

    Antithetic (Hammersley and Morton 1956): for each noise drawn its negative too, so that what is
    odd in the noise cancels out of the gradient. A pair that fits no part makes two of one sample.
    """
    of_one = 2 if config.antithetic else 1
    drawn, in_part = config.noise_samples // of_one, max(at_once // of_one, 1)
    for start in range(0, drawn, in_part):
        noise = draw_normal(features, min(in_part, drawn - start), generators)
        if not config.antithetic:
            yield noise
        elif at_once > 1:
            yield torch.cat([noise, -noise], 1)
        else:
            yield from (noise, -noise)


def draw_normal(features: Tensor, samples: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Normal noise (N, samples, C, h, w) for features (N, C, h, w), each image's from its own
    generator on the CPU, sample by sample, in the order (h, w, C)."""
    num, channels, height, width = features.shape
    noise = torch.empty(num, samples, height, width, channels)
    for of_image, generator in zip(noise, generators, strict=True):
        for sample in of_image:
            torch.randn(sample.shape, generator=generator, out=sample)
    return noise.permute(0, 1, 4, 2, 3).to(features)
