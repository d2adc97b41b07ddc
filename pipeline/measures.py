"""Metrics by name: the steps that measure a task's maps. A task has those whose names it lists."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attribution.config import IBAConfig, InverseIBAConfig
from data.cohorts import BrixiaCohort
from evaluation.config import Metric
from evaluation.method_names import IN_BITS
from evaluation.own_metrics import OWN_METRICS
from pipeline.config import PipelineConfig
from pipeline.explained_task import ExplainedTask
from pipeline.step import Step
from pipeline.steps.explainer import Explainer
from pipeline.steps.intersection import BinaryIntersection
from pipeline.steps.localization import LUNG_MASK, Localization, OneSpread
from pipeline.steps.maps import JoinedMaps
from pipeline.steps.perturbation import EndScores, EqualArea, InsertionDeletion, OwnMetric, Road
from pipeline.steps.regions import AllRegions, LesionRegions, ZoneRegions
from pipeline.steps.sanity import Sanity
from pipeline.steps.sensitivity_n import OutputChanges, SensitivityN
from pipeline.steps.severity import SeverityMaps
from pipeline.steps.zone_drops import MODEL, AgainstDrops, ZoneDrops

ByMethod = dict[str, Step]


def measured_by(config: PipelineConfig, explained: ExplainedTask) -> dict[str, ByMethod]:
    """Metric -> method -> step, of all metrics of the task."""
    found = {}
    for metric in explained.task.metrics:
        measure = METRICS.get(metric)
        steps = measure(config, explained) if measure else _own(config, explained, metric)
        if steps:
            found[metric] = steps
    return found


def intersection(explained: ExplainedTask) -> Step | None:
    """Eq. 7's binary map against the task's truth; None without Multi-layer IBA or a truth."""
    task = explained.task
    for method, maps in explained.maps.items():
        if isinstance(maps, JoinedMaps) and task.truth is not None:
            return BinaryIntersection(
                samples=task.samples,
                truth=task.truth,
                layers=maps.layers,
                thresholds=tuple(maps.explainer.settings.thresholds),
                label=f"{task.name} {method}",
            )
    return None


def _localization(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    """IoU and more with the task's truth, of maps and of priors, which do not see the film."""
    task, evaluation = explained.task, config.evaluation
    assert task.truth is not None
    return {
        method: Localization(
            samples=task.samples,
            truth=task.truth,
            maps=explained.maps.get(method),
            prior=None if method in explained.maps else method,
            thresholds=evaluation.localization.thresholds,
            metrics=evaluation.localization_metrics,
            metric_places=task.places,
            in_bits=task.in_bits and method in IN_BITS,
            label=f"{task.name} {method}",
        )
        for method in (*explained.maps, *task.priors)
    }


def _truth(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    """Localization of the pixels that truly change the film; of phantoms alone."""
    task = explained.task
    if task.causal is None:
        return {}
    return {
        method: Localization(
            samples=task.samples,
            truth=task.causal,
            maps=maps,
            prior=None,
            thresholds=None,
            metrics=config.evaluation.localization_metrics,
            metric_places=None,
            in_bits=False,
            label=f"{task.name} truth {method}",
        )
        for method, maps in explained.maps.items()
    }


def _one_spread(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    """As ``_truth``, of IBA at each of its taps, all at the point-spread of the coarsest."""
    task, settings = explained.task, config.attribution
    taps = {
        method: (each.tap, each.sigma)
        for method in explained.maps
        if isinstance(each := getattr(settings, method), IBAConfig)
        and not isinstance(each, InverseIBAConfig)
    }
    if task.causal is None or not taps:
        return {}
    return {
        method: OneSpread(
            samples=task.samples,
            truth=task.causal,
            maps=explained.maps[method],
            tap=tap,
            taps=tuple(taps.values()),
            side=config.dataset.side,
            label=f"{task.name} {method}",
        )
        for method, tap in taps.items()
    }


def _all_regions(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    """Of lesions on phantoms, or of zones where the films have them."""
    task, phantoms, samples = explained.task, explained.task.test.phantoms, explained.task.samples
    if task.truth is None:
        return {}
    regions: Step
    if task.zones is not None:
        regions = ZoneRegions(samples, next(iter(task.zones.values())), label=task.name)
    elif phantoms is not None:
        regions = LesionRegions(phantoms, samples, config.dataset.side, label=task.name)
    else:
        return {}
    return {
        method: AllRegions(
            samples=samples,
            regions=regions,
            truth=task.truth,
            place=task.places[0] if task.places else None,
            maps=explained.maps.get(method),
            prior=None if method in explained.maps else method,
            label=f"{task.name} {method}",
        )
        for method in (*explained.maps, *task.priors)
    }


def _perturbation(
    step: Callable[..., Step], name: str
) -> Callable[[PipelineConfig, ExplainedTask], ByMethod]:
    """A metric that removes pixels and predicts again; its settings have its name."""

    def build(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
        settings = getattr(config.evaluation, name)
        chosen = getattr(settings, "methods", explained.maps)
        return {
            method: step(
                **_model(explained),
                maps=maps,
                config=settings,
                threads=config.threads,
                label=f"{explained.task.name} {method}",
            )
            for method, maps in _chosen(explained, chosen)
        }

    return build


def _insertion_deletion(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    settings, name = config.evaluation.insertion_deletion, explained.task.name
    ends = EndScores(**_model(explained), config=settings, threads=config.threads, label=name)
    return {
        method: InsertionDeletion(
            **_model(explained),
            maps=maps,
            ends=ends,
            config=settings,
            threads=config.threads,
            label=f"{name} {method}",
        )
        for method, maps in explained.maps.items()
        if method not in settings.without
    }


def _sensitivity_n(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    settings, name = config.evaluation.sensitivity_n, explained.task.name
    changes = OutputChanges(
        **_model(explained), config=settings, threads=config.threads, label=name
    )
    return {
        method: SensitivityN(
            changes=changes,
            samples=explained.task.samples,
            maps=maps,
            config=settings,
            side=config.dataset.side,
            label=f"{name} {method}",
        )
        for method, maps in explained.maps.items()
    }


def _sanity(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    task, settings = explained.task, config.evaluation.sanity
    return {
        method: Sanity(
            **_model(explained),
            train_index=task.learnt.index,
            train_pack=task.learnt.pack,
            maps=maps,
            explainer=Explainer.of(method, config.attribution, task.score),
            config=settings,
            statistics=config.attribution.statistics,
            seed=config.seed,
            threads=config.threads,
            label=f"{task.name} {method}",
        )
        for method, maps in _chosen(explained, settings.methods)
    }


def _severity(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    """Correlation of maps with the severity of the zones (PCC)."""
    task = explained.task
    assert task.zones is not None
    zones = next(iter(task.zones.values()))
    return {
        method: SeverityMaps(
            samples=task.samples,
            zones=zones,
            maps=explained.maps.get(method),
            prior=None if method in explained.maps else method,
            label=method,
        )
        for method in (*explained.maps, *task.priors)
    }


def _zone_drops(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    """What the regressor of phantoms knows of zones, and what maps and the mean severity do."""
    task, phantoms = explained.task, explained.task.test.phantoms
    if phantoms is None or task.zones is None or task.classifies:
        return {}
    drops = ZoneDrops(
        **_model(explained),
        films=phantoms,
        cohort=BrixiaCohort(config.brixia.films),
        side=config.dataset.side,
        threads=config.threads,
        label=task.name,
    )
    zones = next(iter(task.zones.values()))
    severity: Mapping[str, Step | None] = {MODEL: None, **_severity(config, explained)}
    return {
        method: AgainstDrops(drops, task.samples, zones, maps, label=method)
        for method, maps in severity.items()
        if method != LUNG_MASK  # whose zones are all alike
    }


def _own(config: PipelineConfig, explained: ExplainedTask, metric: str) -> ByMethod:
    """A metric that a user's own file registered."""
    return {
        method: OwnMetric(
            **_model(explained),
            maps=maps,
            metric=metric,
            settings=OWN_METRICS[metric].settings,
            threads=config.threads,
            label=f"{metric} {explained.task.name} {method}",
        )
        for method, maps in explained.maps.items()
    }


def _model(explained: ExplainedTask) -> dict[str, Any]:
    """The explained model and the task's samples: fields that most metrics share."""
    task = explained.task
    return {"model": task.models[task.primary], "pack": task.test.pack, "samples": task.samples}


def _chosen(explained: ExplainedTask, methods: Iterable[str]) -> list[tuple[str, Step]]:
    return [(method, explained.maps[method]) for method in methods if method in explained.maps]


METRICS: Mapping[str, Callable[[PipelineConfig, ExplainedTask], ByMethod]] = {
    Metric.localization: _localization,
    Metric.truth: _truth,
    Metric.insertion_deletion: _insertion_deletion,
    Metric.sensitivity_n: _sensitivity_n,
    Metric.equal_area: _perturbation(EqualArea, Metric.equal_area),
    Metric.sanity: _sanity,
    Metric.road: _perturbation(Road, Metric.road),
    Metric.one_spread: _one_spread,
    Metric.all_regions: _all_regions,
    Metric.zone_drops: _zone_drops,
    "severity": _severity,  # of the severity task alone
}
