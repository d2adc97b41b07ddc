"""What ``pipeline.bench`` measures: each method and evaluator, with the published counterpart."""

from collections.abc import Callable, Iterator, Sequence
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
from attribution.methods import METHODS, NEEDS_LAYERS, build_method
from attribution.multilayer_iba import intersect
from attribution.statistics import FeatureStatistics, estimate_statistics
from evaluation.config import (
    EqualAreaConfig,
    InsertionDeletionConfig,
    ROADConfig,
    SensitivityNConfig,
)
from evaluation.equal_area import equal_area_changes
from evaluation.insertion_deletion import insertion_deletion, schedule
from evaluation.perturbation import baseline_images
from evaluation.road import road
from evaluation.sensitivity_n import output_changes, random_masks
from models.densenet import TAPS, DenseNet121, SeverityRegressor, normalise
from models.frozen_densenet import FrozenDenseNet
from pipeline.bench_baseline import change_under_masks, fit_bottleneck, replaced_one_by_one
from pipeline.bench_training import steps_alone, trained_epoch

Result = Callable[[], NDArray[np.floating]]

# As in conf/experiment/nih.yaml; forwards per image are what the time is proportional to.
_CURVES = InsertionDeletionConfig(steps=24)
_SENSITIVITY = SensitivityNConfig(points=4, masks=24)
_QUICK_CURVES = InsertionDeletionConfig(steps=8)
_QUICK_SENSITIVITY = SensitivityNConfig(points=2, masks=3)
_LABELS = 14
_FILMS, _QUICK_FILMS = (128, 16), (4, 2)  # of an epoch, and for validation after it
_REFERENCE = 16  # films that the batch norms and the bottlenecks take their statistics of

_METHOD_OF_ROW = {
    "iba@block1": "iba_block1",
    "iba@block2": "iba_block2",
    "iba@block3": "iba",
    "inverse_iba@block3": "inverse_iba",
}
_PUBLISHED = {*_METHOD_OF_ROW.values(), "multilayer_iba"}


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


def names(chosen: Sequence[str] | None) -> list[str]:
    """All rows in the table's order, or those chosen; ValueError for an unknown one."""
    methods = [*_METHOD_OF_ROW, *(m for m in METHODS if m not in _METHOD_OF_ROW.values())]
    known = [*methods, *_OTHER_ROWS]
    unknown = sorted(set(chosen or ()) - set(known))
    if unknown:
        raise ValueError(f"--methods: unknown {', '.join(unknown)}; known: {', '.join(known)}")
    return [name for name in known if chosen is None or name in chosen]


def contenders(
    chosen: Sequence[str], side: int, images: int, device: torch.device, quick: bool
) -> Iterator[Contender]:
    """The rows of those names, one after the other, on ``images`` random films of ``side``."""
    bench = _Bench.of(side, images, device, quick)
    for name in chosen:
        if name in _OTHER_ROWS:
            yield _OTHER_ROWS[name](bench)
        else:
            yield bench.method(name)


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
class _Bench:
    model: Any  # DenseNet121
    frozen: FrozenDenseNet
    regressor: FrozenDenseNet
    images: Tensor
    targets: Tensor
    statistics: dict[str, FeatureStatistics]
    config: AttributionConfig
    quick: bool

    @classmethod
    def of(cls, side: int, images: int, device: torch.device, quick: bool) -> "_Bench":
        reference = random_films(_REFERENCE, side, seed=1)
        model = random_model(lambda: DenseNet121(_LABELS), reference).to(device)
        frozen = FrozenDenseNet(model)
        batches = [normalise(reference.to(device))]
        return cls(
            model=model,
            frozen=frozen,
            regressor=FrozenDenseNet(random_model(SeverityRegressor, reference).to(device)),
            images=normalise(random_films(images, side, seed=2).to(device)),
            targets=torch.arange(images, device=device) % _LABELS,
            statistics={
                tap: estimate_statistics(frozen, tap, batches, StatisticsConfig()) for tap in TAPS
            },
            config=_quick(AttributionConfig()) if quick else AttributionConfig(),
            quick=quick,
        )

    def method(self, row: str) -> Contender:
        name = _METHOD_OF_ROW.get(row, row)
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
            return SCORES[Score.sigmoid](self.frozen(images), targets)

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
    paths = replace(config.integrated_gradients, steps=2)
    return replace(config, **short, integrated_gradients=paths)


def _maps(bench: _Bench) -> Tensor:
    side = bench.images.shape[2]
    return torch.rand(len(bench.images), side, side, generator=torch.Generator().manual_seed(3))


def _insertion_deletion(bench: _Bench) -> Contender:
    config = _QUICK_CURVES if bench.quick else _CURVES
    images, targets, maps = bench.images, bench.targets, _maps(bench)
    baseline = config.baselines[0]

    def run(score: Any) -> NDArray[np.floating]:
        curves = insertion_deletion(score, images, targets, maps, baseline, config)
        return np.stack([curves.insertion, curves.deletion], axis=1)

    def published() -> NDArray[np.floating]:
        base = baseline_images(images[:1], baseline, config.blur)[0]
        order = maps[0].flatten().argsort(descending=True).tolist()
        counts = schedule(config, images.shape[2]).counts.tolist()
        games = [(base, images[0]), (images[0], base)]
        curves = [
            replaced_one_by_one(bench.model, start, source, order, counts, int(targets[0]))
            for start, source in games
        ]
        return torch.stack(curves).cpu().numpy()

    return bench.evaluator("insertion_deletion", run, published)


def _sensitivity_n(bench: _Bench) -> Contender:
    config = _QUICK_SENSITIVITY if bench.quick else _SENSITIVITY
    images, targets = bench.images, bench.targets

    def published() -> NDArray[np.floating]:
        base = baseline_images(images[:1], config.baseline, config.blur)[0]
        changes = [
            change_under_masks(
                bench.model, images[0], torch.from_numpy(masks), base, int(targets[0])
            )
            for masks in random_masks(config, images.shape[2])
        ]
        return torch.stack(changes).cpu().numpy()

    return bench.evaluator(
        "sensitivity_n", lambda score: output_changes(score, images, targets, config), published
    )


def _equal_area(bench: _Bench) -> Contender:
    def run(score: Any) -> NDArray[np.floating]:
        return equal_area_changes(
            score, bench.images, bench.targets, _maps(bench), EqualAreaConfig()
        )

    return bench.evaluator("equal_area", run)


def _road(bench: _Bench) -> Contender:
    def run(score: Any) -> NDArray[np.floating]:
        seeds = range(len(bench.images))
        found = road(score, bench.images, bench.targets, _maps(bench), seeds, ROADConfig())
        return np.stack(found, axis=1)

    return bench.evaluator("road", run)


def _training(bench: _Bench) -> Contender:
    """Seconds per film that is learnt from, its share of the validation among them."""
    num_train, num_val = _QUICK_FILMS if bench.quick else _FILMS
    films = random_films(num_train + num_val, bench.images.shape[2], seed=4)
    given = bench.model, films, num_val, bench.images.device
    return Contender(
        "training", num_train, lambda: trained_epoch(*given), forwards=steps_alone(*given)
    )


_OTHER_ROWS = {
    "insertion_deletion": _insertion_deletion,
    "sensitivity_n": _sensitivity_n,
    "equal_area": _equal_area,
    "road": _road,
    "training": _training,
}
