"""Information bottleneck attribution: the few bits that keep a prediction (IBA, Eq. 4), or all
that must go to lose it (Inverse IBA, Eq. 6)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, NamedTuple

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
    target_output,
)
from attribution.bottleneck import Bottleneck, bits_per_pixel
from attribution.concurrency import num_concurrent, side_by_side
from attribution.config import BottleneckConfig, IBAConfig, ModelLoss
from attribution.mask_fit import Objective, fit_mask, for_samples
from attribution.operating_point import KEEPS_PROBABILITY, LOSES_PROBABILITY, Rule
from attribution.placement import Centres, centres_of
from attribution.precision import CallersAutocast, in_float32
from attribution.statistics import FeatureStatistics
from attribution.tapped import TappedModule


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


class Information(NamedTuple):
    """What a fitted bottleneck says of each image."""

    capacity: Tensor  # (N, C, h, w), nats per neuron, on the model's device
    diagnostics: dict[str, Tensor]  # (N,) each, float32 on the CPU
    centres: Centres | None = None  # of the tap's cells, as placement.placed takes them

    def maps(self, side: tuple[int, int]) -> Tensor:
        """Bits/pixel (N, H, W), float32 on the CPU."""
        return bits_per_pixel(self.capacity, side, self.centres).cpu()


class BottleneckMethod(ABC):
    """A bottleneck at ``config.tap``, fitted to each image of a batch at once.

    Maps in bits/pixel whose sum is the image's information in bits, of the mask after the last
    step (the published code returns the mask before it). Diagnostics per image: bits; score,
    without the bottleneck; bottleneck_score, the mean over the noise samples of the last step's
    forward; model_loss_first, model_loss_last, information_first and information_last (mean
    capacity in nats a neuron) of the first and the last step's forward.
    Of a transformer, class token and registers are no part of the map: behind the bottleneck they
    are their mean over the reference images, or they would carry the prediction past it.
    Raises ValueError where the statistics do not fit the tap or the features, and for a beta that
    is still to be found.
    """

    inverse = False
    rule: ClassVar[Rule]
    """By which ``beta: auto`` is found."""

    def __init__(self, config: BottleneckConfig, statistics: FeatureStatistics) -> None:
        if statistics.tap != config.tap:
            raise ValueError(
                f"the bottleneck's tap is {config.tap}, the statistics are of {statistics.tap}"
            )
        if config.steps < 1 or config.noise_samples < 1:
            raise ValueError(
                "steps and noise_samples of a bottleneck must be at least 1, got "
                f"{config.steps} and {config.noise_samples}"
            )
        if config.antithetic and config.noise_samples % 2:
            raise ValueError(
                "antithetic noise comes in pairs: noise_samples of a bottleneck must be even, got "
                f"{config.noise_samples}"
            )
        self.config = config
        self.beta = config.found_beta
        self.statistics = statistics

    @abstractmethod
    def model_loss(self, outputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor]:
        """Outputs (N k, C) behind the bottleneck, k of each image in a row -> losses (N k,).

        outputs: those without it (N, C); targets (N,).
        """

    def __call__(
        self,
        model: TappedModel,
        images: Tensor,
        targets: Tensor,
        *,
        score: ScoreFunction,
        seeds: Sequence[int],
    ) -> Attribution:
        fit = self.fit(model, images, targets, score=score, seeds=seeds)
        return Attribution(fit.maps((images.shape[2], images.shape[3])), fit.diagnostics)

    def fit(
        self,
        model: TappedModel,
        images: Tensor,
        targets: Tensor,
        *,
        score: ScoreFunction,
        seeds: Sequence[int],
    ) -> Information:
        """As the call, but with the capacity of every channel instead of a map."""
        check_batch(images, targets, seeds)
        with frozen(model):
            with torch.no_grad():
                features = model.forward_to(self.config.tap, images)
                outputs = model.forward_from(self.config.tap, features)
            return self.fit_features(model, features, outputs, targets, score=score, seeds=seeds)

    def fit_features(
        self,
        model: TappedModel,
        features: Tensor,
        outputs: Tensor,
        targets: Tensor,
        *,
        score: ScoreFunction,
        seeds: Sequence[int],
    ) -> Information:
        """The same from features (N, C, h, w) at the tap and outputs of a model already frozen.

        Only Z has the features' type, and only the network runs under the caller's autocast.
        """
        callers_autocast = CallersAutocast(features.device)
        outputs = in_float32(outputs)
        behind = self._behind(model)

        def fit_rows(rows: slice, check: Callable[[], None]) -> Information:
            def tail(z: Tensor) -> Tensor:
                check()
                with callers_autocast():
                    return in_float32(behind(z.to(features.dtype)))

            part = features[rows], outputs[rows], targets[rows]
            return self._fit_part(tail, *part, score, seeds[rows])

        parts = num_concurrent(model, features.device, len(features))
        found = side_by_side(fit_rows, len(features), parts)
        return Information(
            torch.cat([part.capacity for part in found]),
            {
                name: torch.cat([part.diagnostics[name] for part in found])
                for name in found[0].diagnostics
            },
            centres_of(model, self.config.tap),
        )

    def _behind(self, model: TappedModel) -> Callable[[Tensor], Tensor]:
        """Z (N k, C, h, w) -> outputs, which learn of the image by Z alone: tokens before the map
        are the mean of the reference images."""
        tap, mean = self.config.tap, self.statistics.prefix_mean
        if not isinstance(model, TappedModule):
            return lambda z: model.forward_from(tap, z)
        own = model.prefix_tokens.get(tap)
        found, expected = (None if each is None else tuple(each.shape[-2:]) for each in (own, mean))
        if found != expected:
            raise ValueError(
                f"the statistics at {tap} have tokens before the map of shape {expected}, the "
                f"features of shape {found}: estimate them with the same model and layout"
            )
        return lambda z: model.forward_from(tap, z, mean)

    def _fit_part(
        self,
        tail: Callable[[Tensor], Tensor],
        features: Tensor,
        outputs: Tensor,
        targets: Tensor,
        score: ScoreFunction,
        seeds: Sequence[int],
    ) -> Information:
        config = self.config
        bottleneck = Bottleneck(
            features,
            self.statistics,
            sigma=config.sigma,
            min_std=config.min_std,
            active_threshold=config.active_threshold,
        )
        objective = Objective(
            tail=tail,
            model_loss=self.model_loss(outputs, targets),
            beta=self.beta,
            inverse=self.inverse,
        )
        fit = fit_mask(bottleneck, objective, config, generators(seeds))
        capacity = bottleneck.capacity(fit.noise_share).clamp(min=0)  # not -1e-8 by rounding
        behind = score(fit.outputs.flatten(0, 1), targets.repeat_interleave(config.noise_samples))
        diagnostics = {
            "bits": capacity.double().sum((1, 2, 3)) / math.log(2),
            "score": score(outputs, targets),
            "bottleneck_score": behind.view(-1, config.noise_samples).mean(1),
            **fit.losses,
        }
        return Information(
            capacity, {name: value.float().cpu() for name, value in diagnostics.items()}
        )


class IBA(BottleneckMethod):
    """Keeps what suffices for the prediction (Eq. 1-4): least model loss + beta x mean capacity.

    beta: auto is the largest that keeps 90 % of the median probability.
    """

    config: IBAConfig
    rule = KEEPS_PROBABILITY

    def model_loss(self, outputs: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor]:
        target_output(outputs, targets)
        model_loss = MODEL_LOSSES[self.config.model_loss]
        return lambda z_outputs: model_loss(z_outputs, for_samples(targets, z_outputs))


class InverseIBA(IBA):
    """Removes whatever can predict (Eq. 5-6): most model loss, least mean capacity x beta.

    lambda is the share that noise replaces, and the capacity that of Eq. 3 in lambda, as in the
    published code: the information removed, not that of Z, which all noise would make zero.
    ``bottleneck_score`` is the score once it is removed. beta: auto is the largest at which the
    median probability behind is at most a tenth of that without the bottleneck, or that of films
    without what is explained, whichever is more.
    """

    inverse = True
    rule = LOSES_PROBABILITY
