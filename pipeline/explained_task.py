"""A task with the steps that predict with its models and explain them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.config import PipelineConfig
from pipeline.step import Step
from pipeline.steps.explainer import Explainer
from pipeline.steps.maps import JoinedMaps, Maps, Statistics
from pipeline.steps.prediction import Classification, Prediction
from pipeline.task import Task


@dataclass(frozen=True)
class ExplainedTask:
    """By loss, method or tap; statistics and maps are of the primary model."""

    task: Task
    predictions: Mapping[str, Step]
    classified: Mapping[str, Step]
    statistics: Mapping[str, Step]
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
    statistics, maps = _maps(config, task, task.primary, task.methods)
    compared = {
        loss: maps if loss == task.primary else _maps(config, task, loss, task.compared)[1]
        for loss in task.models
    }
    return ExplainedTask(task, predictions, classified, statistics, maps, compared)


def _maps(
    config: PipelineConfig, task: Task, loss: str, methods: Iterable[str]
) -> tuple[dict[str, Step], dict[str, Step]]:
    """Statistics by tap and maps by method, of one model."""
    attribution, model = config.attribution, task.models[loss]
    suffix = "" if loss == task.primary else loss
    explainers = {method: Explainer.of(method, attribution, task.score) for method in methods}
    statistics: dict[str, Step] = {
        tap: Statistics(
            model=model,
            index=task.learnt.index,
            pack=task.learnt.pack,
            tap=tap,
            config=attribution.statistics,
            seed=config.seed,
            threads=config.threads,
            label=f"{task.name} {tap} {suffix}".strip(),
        )
        for tap in sorted({tap for each in explainers.values() for tap in each.taps})
    }

    def maps_by(method: str) -> Step:
        explained = Explainer.of(method, attribution, task.score)
        label = f"{task.name} {method} {suffix}".strip()
        if explained.layers:
            layers = {layer: maps_by(layer) for layer in explained.layers}
            return JoinedMaps(explainer=explained, layers=layers, label=label)
        return Maps(
            model=model,
            pack=task.test.pack,
            samples=task.samples,
            explainer=explained,
            statistics={tap: statistics[tap] for tap in explained.taps},
            batch_size=attribution.batch_size,
            shard_size=attribution.shard_size,
            threads=config.threads,
            label=label,
        )

    return statistics, {method: maps_by(method) for method in methods}
