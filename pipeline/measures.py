"""Metrics by name: the steps that measure a task's maps. A task has those whose names it lists."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from evaluation.config import Metric
from evaluation.own_metrics import OWN_METRICS
from pipeline import truth_measures
from pipeline.config import PipelineConfig
from pipeline.explained_task import ExplainedTask
from pipeline.step import Step
from pipeline.steps.perturbation import EndScores, EqualArea, InsertionDeletion, OwnMetric, Road
from pipeline.steps.sanity import Sanity
from pipeline.steps.sensitivity_n import OutputChanges, SensitivityN
from pipeline.truth_measures import ByMethod


def measured_by(config: PipelineConfig, explained: ExplainedTask) -> dict[str, ByMethod]:
    """Metric -> method -> step, of all metrics of the task."""
    found = {}
    for metric in explained.task.metrics:
        measure = METRICS.get(metric)
        steps = measure(config, explained) if measure else _own(config, explained, metric)
        if steps:
            found[metric] = steps
    return found


def _equal_area(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    return {
        method: EqualArea(
            **_scored(config, explained),
            maps=maps,
            prediction=explained.predictions[explained.task.primary],
            config=config.evaluation.equal_area,
            label=f"{explained.task.name} {method}",
        )
        for method, maps in explained.maps.items()
    }


def _road(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    settings = config.evaluation.road
    return {
        method: Road(
            **_scored(config, explained),
            maps=maps,
            config=settings,
            label=f"{explained.task.name} {method}",
        )
        for method, maps in _chosen(explained, settings.methods)
    }


def _insertion_deletion(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    settings, name = config.evaluation.insertion_deletion, explained.task.name
    ends = EndScores(
        **_scored(config, explained),
        config=settings,
        label=name,
    )
    return {
        method: InsertionDeletion(
            **_scored(config, explained),
            maps=maps,
            ends=ends,
            config=settings,
            label=f"{name} {method}",
        )
        for method, maps in explained.maps.items()
        if method not in settings.without
    }


def _sensitivity_n(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    settings, name = config.evaluation.sensitivity_n, explained.task.name
    changes = OutputChanges(
        **_scored(config, explained),
        config=settings,
        label=name,
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
            explainer=explained.explainers[method],
            config=settings,
            statistics=config.attribution.statistics,
            seed=config.seed,
            threads=config.threads,
            label=f"{task.name} {method}",
        )
        for method, maps in _chosen(explained, settings.methods)
    }


def _own(config: PipelineConfig, explained: ExplainedTask, metric: str) -> ByMethod:
    """A metric that a user's own file registered."""
    return {
        method: OwnMetric(
            **_scored(config, explained),
            maps=maps,
            metric=metric,
            settings=OWN_METRICS[metric].settings,
            label=f"{metric} {explained.task.name} {method}",
        )
        for method, maps in explained.maps.items()
    }


def _model(explained: ExplainedTask) -> dict[str, Any]:
    """The explained model and the task's samples: fields that most metrics share."""
    task = explained.task
    return {"model": task.models[task.primary], "pack": task.test.pack, "samples": task.samples}


def _scored(config: PipelineConfig, explained: ExplainedTask) -> dict[str, Any]:
    """Fields of the metrics that ask the model for scores."""
    how = {"threads": config.threads, "precision": config.evaluation.precision}
    return {**_model(explained), **how}


def _chosen(explained: ExplainedTask, methods: Iterable[str]) -> list[tuple[str, Step]]:
    return [(method, explained.maps[method]) for method in methods if method in explained.maps]


METRICS: Mapping[str, Callable[[PipelineConfig, ExplainedTask], ByMethod]] = {
    Metric.localization: truth_measures.localization,
    Metric.truth: truth_measures.truth,
    Metric.insertion_deletion: _insertion_deletion,
    Metric.sensitivity_n: _sensitivity_n,
    Metric.equal_area: _equal_area,
    Metric.sanity: _sanity,
    Metric.road: _road,
    Metric.one_spread: truth_measures.one_spread,
    Metric.all_regions: truth_measures.all_regions,
    Metric.zone_drops: truth_measures.zone_drops,
    "severity": truth_measures.severity,  # of the severity task alone
}
