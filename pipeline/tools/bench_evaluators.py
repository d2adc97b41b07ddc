"""The bench's evaluators, beside their forward passes alone or a plain loop."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attribution.base import SCORES
from attribution.config import Score
from attribution.methods import build_method
from evaluation.config import (
    CurveRule,
    EqualAreaConfig,
    InsertionDeletionConfig,
    LocalizationConfig,
    LocalizationMetricsConfig,
    ROADConfig,
    SanityConfig,
    SensitivityNConfig,
)
from evaluation.equal_area import equal_area_changes
from evaluation.insertion_deletion import (
    PUBLISHED_STEP,
    end_scores,
    insertion_deletion,
    schedule,
)
from evaluation.localization import iou_curve, threshold_grid
from evaluation.localization_metrics import localization_metrics
from evaluation.perturbation import baseline_images
from evaluation.road import road
from evaluation.sanity import cascading_randomisation, noise_sensitivity, randomised
from evaluation.sensitivity_n import output_changes, random_masks
from models.frozen_densenet import FrozenDenseNet
from pipeline.tools.bench_baseline import change_under_masks, iou_by_thresholds, replaced_one_by_one
from pipeline.tools.bench_subjects import Bench, Contender

# As in conf/experiment/nih.yaml; forwards per image are what the time is proportional to.
_CURVES = InsertionDeletionConfig(steps=24)
_SENSITIVITY = SensitivityNConfig(fractions=[0.02, 0.1, 0.2, 0.4], masks=24)
_SANITY = SanityConfig(noise_draws=4)
PUBLISHED_CURVES = "insertion_deletion@published_code"  # defined at REFERENCE_SIDE alone
_QUICK_CURVES = InsertionDeletionConfig(steps=8)
_QUICK_SENSITIVITY = SensitivityNConfig(fractions=[0.1, 0.4], masks=3)
_QUICK_SANITY = SanityConfig(layers=["classifier"], noise_draws=1)


def _maps(bench: Bench) -> Tensor:
    side = bench.images.shape[2]
    return torch.rand(len(bench.images), side, side, generator=torch.Generator().manual_seed(3))


def _insertion_deletion(bench: Bench) -> Contender:
    return _curves(bench, "insertion_deletion", _QUICK_CURVES if bench.quick else _CURVES)


def _published_curves(bench: Bench) -> Contender:
    """The published code's own 1,004 steps a game, which are 13 different films."""
    config = InsertionDeletionConfig(rule=CurveRule.published_code)
    return _curves(bench, PUBLISHED_CURVES, config, pixels_a_step=PUBLISHED_STEP)


def _curves(
    bench: Bench, name: str, config: InsertionDeletionConfig, pixels_a_step: int | None = None
) -> Contender:
    images, targets, maps = bench.images, bench.targets, _maps(bench)
    baseline = config.baselines[0]

    def run(score: Any) -> NDArray[np.floating]:
        ends = end_scores(score, images, targets, config)
        curves = insertion_deletion(score, images, targets, maps, ends, baseline, config)
        return np.stack([curves.insertion, curves.deletion], axis=1)

    def published() -> NDArray[np.floating]:
        base = baseline_images(images[:1], baseline, config.blur)[0]
        order = maps[0].flatten().argsort(descending=True).tolist()
        counts = schedule(config, images.shape[2]).counts.tolist()
        games = [(base, images[0]), (images[0], base)]
        curves = [
            replaced_one_by_one(
                bench.model, start, source, order, counts, int(targets[0]), pixels_a_step
            )
            for start, source in games
        ]
        return torch.stack(curves).cpu().numpy()

    return bench.evaluator(name, run, published)


def _sensitivity_n(bench: Bench) -> Contender:
    config = _QUICK_SENSITIVITY if bench.quick else _SENSITIVITY
    images, targets = bench.images, bench.targets

    def published() -> NDArray[np.floating]:
        base = baseline_images(images[:1], config.baseline, config.blur)[0]
        changes = [
            change_under_masks(
                bench.model, images[0], torch.from_numpy(masks), base, int(targets[0])
            )
            for masks in random_masks(config, images.shape[2], 0)
        ]
        return torch.stack(changes).cpu().numpy()

    return bench.evaluator(
        "sensitivity_n",
        lambda score: output_changes(score, images, targets, range(len(images)), config),
        published,
    )


def _equal_area(bench: Bench) -> Contender:
    def run(score: Any) -> NDArray[np.floating]:
        images, targets = bench.images, bench.targets
        film = score(images, targets).cpu().numpy()
        return equal_area_changes(score, images, targets, film, _maps(bench), EqualAreaConfig())

    return bench.evaluator("equal_area", run)


def _road(bench: Bench) -> Contender:
    def run(score: Any) -> NDArray[np.floating]:
        seeds = range(len(bench.images))
        found = road(score, bench.images, bench.targets, _maps(bench), seeds, ROADConfig())
        return np.stack(found, axis=1)

    return bench.evaluator("road", run)


def _localization(bench: Bench) -> Contender:
    """The IoU at each threshold, and all metrics of a map; the published loop takes the IoU."""
    maps, thresholds = _maps(bench).numpy(), threshold_grid(LocalizationConfig().thresholds)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:, : maps.shape[1] // 4, : maps.shape[2] // 3] = True

    def ours() -> NDArray[np.floating]:
        localization_metrics(maps, masks, LocalizationMetricsConfig())
        return iou_curve(maps, masks, thresholds)

    return Contender(
        "localization",
        len(maps),
        ours,
        published=lambda: iou_by_thresholds(maps[0], masks[0], thresholds),
    )


def _sanity(bench: Bench) -> Contender:
    """Of the method ``gradient``; its forwards are the same maps of the same models alone."""
    config = _QUICK_SANITY if bench.quick else _SANITY
    gradient, score = build_method("gradient", bench.config, {}), SCORES[Score.logit]
    seeds = range(len(bench.images))

    def explain(model: nn.Module, images: Tensor, targets: Tensor) -> Any:
        frozen = FrozenDenseNet(model)  # type: ignore[arg-type]
        return gradient(frozen, images, targets, score=score, seeds=seeds).maps.numpy()

    given = bench.model, explain, bench.images, bench.targets

    def ours() -> NDArray[np.floating]:
        alike = cascading_randomisation(*given, config)
        noise = noise_sensitivity(*given, list(seeds), config)
        return np.c_[alike["spearman"].to_numpy().reshape(-1, len(seeds)).T, noise]

    def explanations() -> None:
        for _ in range(2 + config.noise_draws):
            explain(bench.model, bench.images, bench.targets)
        for _, copy in randomised(bench.model, config.layers, config.seed):
            explain(copy, bench.images, bench.targets)

    return Contender("sanity", len(seeds), ours, forwards=explanations)


EVALUATORS: Mapping[str, Callable[[Bench], Contender]] = {
    "localization": _localization,
    "insertion_deletion": _insertion_deletion,
    PUBLISHED_CURVES: _published_curves,
    "sensitivity_n": _sensitivity_n,
    "equal_area": _equal_area,
    "road": _road,
    "sanity": _sanity,
}
