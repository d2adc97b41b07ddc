"""Metrics by name: the steps that measure a task's maps. A task has those whose names it lists."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from evaluation.config import Metric
from evaluation.method_names import IN_BITS
from evaluation.own_metrics import OWN_METRICS
from pipeline.config import PipelineConfig
from pipeline.explained_task import ExplainedTask
from pipeline.step import Step
from pipeline.steps.explainer import Explainer
from pipeline.steps.localization import Localization
from pipeline.steps.perturbation import EndScores, EqualArea, InsertionDeletion, OwnMetric, Road
from pipeline.steps.sanity import Sanity
from pipeline.steps.sensitivity_n import OutputChanges, SensitivityN
from pipeline.steps.severity import SeverityMaps
from pipeline.steps.twins import Twins

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


def _twins(config: PipelineConfig, explained: ExplainedTask) -> ByMethod:
    """A lesion and its mirrored copy, rendered: of phantoms alone."""
    task, settings, phantoms = explained.task, config.evaluation.twins, explained.task.test.phantoms
    if phantoms is None:
        return {}
    steps: ByMethod = {}
    for method, _ in _chosen(explained, settings.methods):
        explain = Explainer.of(method, config.attribution, task.score)
        steps[method] = Twins(
            **_model(explained),
            films=phantoms,
            explainer=explain,
            statistics={tap: explained.statistics[tap] for tap in explain.taps},
            config=settings,
            side=config.dataset.side,
            threads=config.threads,
            label=f"{task.name} {method}",
        )
    return steps


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
    Metric.twins: _twins,
    "severity": _severity,  # of the severity task alone
}
