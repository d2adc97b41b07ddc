"""A task with the steps that predict with its models and explain them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from attribution.config import MANY_FORWARDS, Score
from pipeline.config import PipelineConfig
from pipeline.step import Step
from pipeline.steps.explainer import Explainer
from pipeline.steps.maps import JoinedMaps, Maps, Statistics
from pipeline.steps.operating_points import OperatingPoint, OperatingPointFilms
from pipeline.steps.prediction import Classification, Prediction
from pipeline.task import Task


@dataclass(frozen=True)
class ExplainedTask:
    """By loss, method or tap; explainers, statistics and maps are of the primary model."""

    task: Task
    predictions: Mapping[str, Step]
    classified: Mapping[str, Step]
    explainers: Mapping[str, Explainer]
    statistics: Mapping[str, Step]
    operating_points: Mapping[str, Mapping[str, Step]]  # loss -> method whose beta is auto
    maps: Mapping[str, Step]
    compared: Mapping[str, Mapping[str, Step]]  # loss -> method -> maps


def explained_task(config: PipelineConfig, task: Task) -> ExplainedTask:
    predictions = {
        loss: Prediction(
            model=model,
            index=task.test.index,
            pack=task.test.pack,
            threads=config.threads,
            label=f"{task.name} {loss}" if task.classifies else task.name,
        )
        for loss, model in task.models.items()
    }
    classified = {
        loss: Classification(
            prediction=prediction,
            index=task.test.index,
            labels=task.labels,
            dataset=task.test.dataset,
            model_name=loss,
            bootstrap=config.evaluation.bootstrap,
            seed=config.seed,
            label=f"{task.name} {loss}",
        )
        for loss, prediction in predictions.items()
        if task.classifies
    }
    primary = _maps(config, task, task.primary, task.methods)
    others = {
        loss: _maps(config, task, loss, task.compared)
        for loss in task.models
        if loss != task.primary and task.compared
    }
    by_loss = {task.primary: primary, **others}
    return ExplainedTask(
        task,
        predictions,
        classified,
        explainers=primary.explainers,
        statistics=primary.statistics,
        operating_points={loss: each.points for loss, each in by_loss.items() if each.points},
        maps=primary.maps,
        compared={loss: each.maps for loss, each in by_loss.items()},
    )


def on_other_samples(explained: ExplainedTask, task: Task) -> ExplainedTask:
    """``task``, whose models ``explained`` has: only the maps of its samples are made anew."""
    maps: dict[str, Step] = {}
    for method in task.methods:
        own = explained.maps[method]
        assert isinstance(own, Maps)  # which Multi-layer IBA's are not: they have no samples
        maps[method] = replace(own, samples=task.samples, label=f"{task.name} {method}")
    return replace(explained, task=task, maps=maps, classified={}, operating_points={}, compared={})


class _OfModel(NamedTuple):
    """By method or tap."""

    explainers: dict[str, Explainer]
    statistics: dict[str, Step]
    points: dict[str, Step]
    maps: dict[str, Step]


def _maps(config: PipelineConfig, task: Task, loss: str, methods: Sequence[str]) -> _OfModel:
    """What explains one model."""
    attribution, model = config.attribution, task.models[loss]
    suffix = "" if loss == task.primary else loss

    def label(name: str) -> str:
        return " ".join(part for part in (task.name, name, suffix) if part)

    def explainer(method: str) -> Explainer:
        return Explainer.of(method, attribution, task.score, config.dataset.side)

    shared: dict[str, Any] = {"model": model, "threads": config.threads}
    learnt: dict[str, Any] = {
        "index": task.learnt.index,
        "pack": task.learnt.pack,
        "seed": config.seed,
    }
    explainers = {method: explainer(method) for method in methods}
    taps = tuple(sorted({tap for each in explainers.values() for tap in each.taps}))
    statistics: dict[str, Step] = {}
    if taps:
        step = Statistics(
            taps=taps, config=attribution.statistics, label=label(""), **shared, **learnt
        )
        statistics = dict.fromkeys(taps, step)
    validation = OperatingPointFilms(
        labels=task.labels if task.classifies else (),
        num_films=attribution.operating_points.num_films,
        label=label(""),
        **shared,
        **learnt,
    )
    points: dict[str, Step] = {
        method: OperatingPoint(
            pack=task.learnt.pack,
            films=validation,
            explainer=explainer(method),
            statistics=statistics[explainer(method).taps[0]],
            score=Score.sigmoid if task.classifies else Score.output,
            config=attribution.operating_points,
            batch_size=attribution.batch_size,
            label=label(method),
            **shared,
        )
        for method in sorted({name for each in explainers.values() for name in each.to_find})
    }

    def with_points(explained: Explainer) -> Explainer:
        found = {name: points[name] for name in explained.to_find}
        return replace(explained, operating_points=found)

    def maps_by(method: str) -> Step:
        explained = with_points(explainer(method))
        if explained.layers:
            layers = {layer: maps_by(layer) for layer in explained.layers}
            return JoinedMaps(explainer=explainer(method), layers=layers, label=label(method))
        return Maps(
            pack=task.test.pack,
            samples=task.samples,
            explainer=explained,
            statistics={tap: statistics[tap] for tap in explained.taps},
            batch_size=attribution.batch_size,
            # Short shards where a film takes long: progress is seen, and a killed run loses little.
            shard_size=attribution.batch_size
            if method in MANY_FORWARDS
            else attribution.shard_size,
            label=label(method),
            **shared,
        )

    return _OfModel(
        explainers={method: with_points(each) for method, each in explainers.items()},
        statistics=statistics,
        points=points,
        maps={method: maps_by(method) for method in methods},
    )
