"""The bench's films, model, and methods with their published loops."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attribution.base import SCORES, own_prediction
from attribution.config import (
    AttributionConfig,
    BottleneckConfig,
    MultilayerIBAConfig,
    Score,
    StatisticsConfig,
)
from attribution.methods import NEEDS_LAYERS, build_method
from attribution.multilayer_iba import intersect
from attribution.statistics import FeatureStatistics, estimate_statistics
from models.bfloat16 import Bfloat16Behind
from models.densenet import TAPS, DenseNet121, SeverityRegressor, normalise
from models.frozen_densenet import FrozenDenseNet
from pipeline.tools.bench_baseline import fit_bottleneck

Result = Callable[[], NDArray[np.floating]]

_LABELS = 14
_REFERENCE = 16  # films that the batch norms and the bottlenecks take their statistics of

METHOD_OF_ROW = {
    "iba@block1": "iba_block1",
    "iba@block2": "iba_block2",
    "iba@block3": "iba",
    "inverse_iba@block3": "inverse_iba",
}
_PUBLISHED = {*METHOD_OF_ROW.values(), "multilayer_iba"}


@dataclass(frozen=True)
class Contender:
    """``ours`` gives an array per image of a batch; ``published`` that of its first image;
    ``forwards`` runs the model alone on as many films as ours does, in as large batches; of a
    training the steps alone."""

    name: str
    images: int
    ours: Result
    published: Result | None = None
    forwards: Callable[[], Any] | None = None
    bf16: Result | None = None  # as ours, with the network in bfloat16


def random_films(count: int, side: int, seed: int) -> Tensor:
    """uint8 (count, side, side): smooth fields with noise on them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 1, 8, 8, generator=generator)
    fields = nn.functional.interpolate(coarse, (side, side), mode="bicubic")[:, 0]
    noise = torch.randn(count, side, side, generator=generator)
    return (128 + 40 * fields + 10 * noise).clamp(0, 255).to(torch.uint8)


def random_model(kind: Callable[[], nn.Module], films: Tensor) -> Any:
    """A network of random weights whose batch norms have the statistics of ``films``."""
    torch.manual_seed(0)
    model = kind()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        model.train()(normalise(films))
    return model.eval()


@dataclass(frozen=True)
class Bench:
    """A classifier and a regressor of random weights, and the films that all rows explain."""

    model: Any  # DenseNet121
    frozen: FrozenDenseNet  # that methods explain
    scoring: FrozenDenseNet  # that evaluators ask
    regressor: FrozenDenseNet
    images: Tensor
    targets: Tensor
    statistics: dict[str, FeatureStatistics]
    config: AttributionConfig
    quick: bool

    @classmethod
    def of(cls, side: int, images: int, device: torch.device, quick: bool) -> "Bench":
        reference = random_films(_REFERENCE, side, seed=1)
        model = random_model(lambda: DenseNet121(_LABELS), reference).to(device)
        frozen = FrozenDenseNet(model)
        batches = [normalise(reference.to(device))]
        return cls(
            model=model,
            frozen=frozen,
            scoring=frozen,
            regressor=FrozenDenseNet(random_model(SeverityRegressor, reference).to(device)),
            images=normalise(random_films(images, side, seed=2).to(device)),
            targets=torch.arange(images, device=device) % _LABELS,
            statistics={
                tap: estimate_statistics(frozen, tap, batches, StatisticsConfig()) for tap in TAPS
            },
            config=_quick(AttributionConfig()) if quick else AttributionConfig(),
            quick=quick,
        )

    def in_bfloat16(self) -> "Bench":
        """The same as ``attribution.precision`` and ``evaluation.precision`` set it; of a regressor
        no row of the bench asks that."""
        return replace(
            self,
            frozen=Bfloat16Behind(self.model),
            scoring=FrozenDenseNet(self.model, torch.bfloat16),
        )

    def method(self, row: str) -> Contender:
        name = METHOD_OF_ROW.get(row, row)
        explain = build_method(name, self.config, self.statistics)
        model = self.model if name in NEEDS_LAYERS else self.frozen
        targets, score = self.targets, SCORES[Score.logit]
        if name.startswith("regression"):
            model, score = self.regressor, SCORES[Score.output]
            targets = own_prediction(model, self.images)

        def ours() -> NDArray[np.floating]:
            seeds = range(len(self.images))
            return explain(model, self.images, targets, score=score, seeds=seeds).maps.numpy()

        published = (lambda: self.published(name)) if name in _PUBLISHED else None
        return Contender(row, len(self.images), ours, published)

    def published(self, name: str) -> NDArray[np.floating]:
        """The first image's map (H, W)."""
        settings = getattr(self.config, name)
        if isinstance(settings, MultilayerIBAConfig):
            maps = [torch.from_numpy(self.published(layer))[None] for layer in settings.layers]
            return intersect(maps, settings.thresholds, settings.mode)[0].numpy()
        layer = self.model.features.get_submodule(f"dense{settings.tap}")
        found = fit_bottleneck(
            self.model,
            layer,
            self.images[0],
            int(self.targets[0]),
            self.statistics[settings.tap],
            settings,
            seed=0,
            inverse=name == "inverse_iba",
        )
        return found.cpu().numpy()

    def evaluator(
        self,
        name: str,
        run: Callable[[Callable[[Tensor, Tensor], Tensor]], NDArray[np.floating]],
        published: Result | None = None,
    ) -> Contender:
        """An evaluator, given the scorer that it is to ask."""
        batches: list[int] = []

        def probability(images: Tensor, targets: Tensor) -> Tensor:
            return SCORES[Score.sigmoid](self.scoring(images), targets)

        def counting(images: Tensor, targets: Tensor) -> Tensor:
            batches.append(len(images))
            return probability(images, targets)

        def ours() -> NDArray[np.floating]:
            batches.clear()
            return run(counting)

        def forwards() -> None:
            with torch.no_grad():
                for size in batches:
                    rows = torch.arange(size, device=self.images.device) % len(self.images)
                    probability(self.images[rows], self.targets[rows])

        return Contender(name, len(self.images), ours, published, forwards)


def _quick(config: AttributionConfig) -> AttributionConfig:
    short: dict[str, Any] = {
        name: replace(settings, steps=2, noise_samples=2)
        for name, settings in vars(config).items()
        if isinstance(settings, BottleneckConfig)
    }
    return replace(
        config,
        **short,
        integrated_gradients=replace(config.integrated_gradients, steps=2),
        occlusion=replace(config.occlusion, window=0.5, moves=1),
        rise=replace(config.rise, masks=2),
        smooth_grad=replace(config.smooth_grad, samples=2),
    )
