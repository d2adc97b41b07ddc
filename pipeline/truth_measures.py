"""Metrics that compare maps with a truth: the steps of each, by method, of maps and of priors."""

from collections.abc import Mapping

from attribution.config import IBAConfig, InverseIBAConfig
from data.cohorts import BrixiaCohort
from evaluation.method_names import IN_BITS
from pipeline.config import PipelineConfig
from pipeline.explained_task import ExplainedTask
from pipeline.step import Step
from pipeline.steps.intersection import BinaryIntersection
from pipeline.steps.localization import LUNG_MASK, Localization, OneSpread
from pipeline.steps.maps import JoinedMaps
from pipeline.steps.regions import AllRegions, LesionRegions, PolygonRegions, ZoneRegions
from pipeline.steps.severity import SeverityMaps
from pipeline.steps.truth import PolygonTruth
from pipeline.steps.zone_drops import MODEL, AgainstDrops, ZoneDrops

ByMethod = dict[str, Step]


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


def localization(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
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


def truth(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
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


def one_spread(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    """As ``truth``, of IBA at each of its taps, all at the point-spread of the coarsest."""
    task = explained.task
    taps = {
        method: (each.settings.tap, each.settings.sigma)
        for method, each in explained.explainers.items()
        if isinstance(each.settings, IBAConfig) and not isinstance(each.settings, InverseIBAConfig)
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
            label=f"{task.name} {method}",
        )
        for method, tap in taps.items()
    }


def all_regions(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    """Of lesions on phantoms, or of zones or polygons where the films have them."""
    task, phantoms, samples = explained.task, explained.task.test.phantoms, explained.task.samples
    if task.truth is None:
        return {}
    regions: Step
    if task.zones is not None:
        regions = ZoneRegions(samples, next(iter(task.zones.values())), label=task.name)
    elif isinstance(task.truth, PolygonTruth):
        regions = PolygonRegions(task.truth.index, samples, config.dataset.side, label=task.name)
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


def severity(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
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


def zone_drops(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    """What the regressor of phantoms knows of zones, and what maps and the mean severity do."""
    task, phantoms = explained.task, explained.task.test.phantoms
    if phantoms is None or task.zones is None or task.classifies:
        return {}
    drops = ZoneDrops(
        model=task.models[task.primary],
        pack=task.test.pack,
        samples=task.samples,
        films=phantoms,
        cohort=BrixiaCohort(config.brixia.films),
        side=config.dataset.side,
        threads=config.threads,
        label=task.name,
    )
    zones = next(iter(task.zones.values()))
    measured: Mapping[str, Step | None] = {MODEL: None, **severity(config, explained)}
    return {
        method: AgainstDrops(drops, task.samples, zones, maps, label=method)
        for method, maps in measured.items()
        if method != LUNG_MASK  # whose zones are all alike
    }
