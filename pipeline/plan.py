"""The steps of a configuration: a loop over tasks, then tables, claims and figures of all."""

from collections.abc import Mapping
from dataclasses import dataclass

from data.config import TestFilms
from pipeline.config import PipelineConfig
from pipeline.explained_task import ExplainedTask, explained_task, on_other_samples
from pipeline.keys import DigestCache
from pipeline.measures import measured_by
from pipeline.step import Step
from pipeline.steps.claims import Claims
from pipeline.steps.figures import Figures
from pipeline.steps.localization import LossComparison
from pipeline.steps.scored_figures import ScoredFigures
from pipeline.steps.shortcuts import Shortcuts
from pipeline.steps.tables import Tables
from pipeline.task import DETECTORS, FINDINGS, LESIONS, SEVERITY, THREES
from pipeline.tasks import TABLE3_METHOD, paper_tasks
from pipeline.truth_measures import intersection


@dataclass(frozen=True)
class Plan:
    """The steps of a run; ``order`` holds each after what it needs."""

    tasks: Mapping[str, ExplainedTask]
    last: tuple[Step, ...]

    @property
    def order(self) -> list[Step]:
        return before(*self.last)


def before(*last: Step) -> list[Step]:
    """These steps and all that they need, each after what it needs."""
    found: dict[str, Step] = {}

    def visit(step: Step) -> None:
        if step.key not in found:
            for source in step.inputs.values():
                if isinstance(source, Step):
                    visit(source)
            found[step.key] = step

    for step in last:
        visit(step)
    return list(found.values())


def plan_run(config: PipelineConfig, digests: DigestCache) -> Plan:
    """Builds the graph. Reads nothing but the digests of the user's own files."""
    tasks, measured = {}, {}
    for name, task in paper_tasks(config, digests).items():
        if task.models_of is None:
            tasks[name] = explained_task(config, task)
        else:
            tasks[name] = on_other_samples(tasks[task.models_of], task)
        measured[name] = measured_by(config, tasks[name])
    tables = _tables(config, tasks, measured)
    claims = _claims(config, tasks, tables)
    return Plan(tasks, (_shortcuts(config, tasks), claims, *_figures(config, tasks, tables)))


def _shortcuts(config: PipelineConfig, tasks: Mapping[str, ExplainedTask]) -> Step:
    task = tasks[FINDINGS].task
    return Shortcuts(
        films=task.learnt.phantoms,
        index=task.learnt.index,
        pack=task.learnt.pack,
        labels=task.labels,
        config=config.evaluation.shortcuts,
        bootstrap=config.evaluation.bootstrap,
        seed=config.seed,
    )


def _tables(
    config: PipelineConfig,
    tasks: Mapping[str, ExplainedTask],
    measured: Mapping[str, Mapping[str, Mapping[str, Step]]],
) -> Step:
    evaluation, severity = config.evaluation, tasks.get(SEVERITY)
    everything = {
        name: {
            **({"classification": each.classified} if each.classified else {}),
            **measured[name],
            "diagnostics": each.maps,
        }
        for name, each in tasks.items()
    }
    return Tables(
        measured=everything,
        samples={name: each.task.samples for name, each in tasks.items()},
        datasets={name: each.task.test.dataset for name, each in tasks.items()},
        intersections={
            name: step
            for name, each in tasks.items()
            if "localization" in measured[name] and (step := intersection(each))
        },
        score=config.attribution.score,
        loss_comparison=_loss_comparison(config, tasks[FINDINGS], measured[FINDINGS]),
        operating_points={
            f"{name} {loss}" if each.task.classifies else name: points
            for name, each in tasks.items()
            for loss, points in each.operating_points.items()
        },
        severity=severity.predictions[SEVERITY] if severity else None,
        index=severity.task.learnt.index if severity else None,
        test_index=severity.task.test.index if severity else None,
        second_reader=severity is not None and config.brixia.test is TestFilms.cohen,
        localization=evaluation.localization,
        bootstrap=evaluation.bootstrap,
        seed=config.seed,
    )


def _loss_comparison(
    config: PipelineConfig, findings: ExplainedTask, measured: Mapping[str, Mapping[str, Step]]
) -> Step | None:
    """Table 3: none without a second loss, its method and boxes."""
    maps = {
        loss: by_method[TABLE3_METHOD]
        for loss, by_method in findings.compared.items()
        if TABLE3_METHOD in by_method
    }
    if len(maps) < 2 or "localization" not in measured:
        return None
    assert findings.task.truth is not None
    localization = config.evaluation.localization
    return LossComparison(
        samples=findings.task.samples,
        truth=findings.task.truth,
        maps=maps,
        thresholds=localization.thresholds,
        fold_seed=localization.fold_seed,
        seed=config.seed,
    )


def _claims(config: PipelineConfig, tasks: Mapping[str, ExplainedTask], tables: Step) -> Step:
    zones = tasks[DETECTORS].task.places if DETECTORS in tasks else None
    return Claims(
        tables=tables,
        datasets={name: each.task.test.dataset for name, each in tasks.items()},
        zones=zones[0] if zones else None,
        config=config.evaluation.claims,
        seed=config.seed,
    )


def _figures(
    config: PipelineConfig, tasks: Mapping[str, ExplainedTask], tables: Step
) -> list[Step]:
    findings, lesions, report = tasks[FINDINGS], tasks.get(LESIONS), config.report
    films = findings.task.test
    figures: list[Step] = [
        Figures(
            films=films.phantoms,
            pack=films.pack,
            trainings=findings.task.trainings,
            prediction=findings.predictions[findings.task.primary],
            samples=findings.task.samples,
            causal=findings.task.outlines,
            maps=findings.maps,
            lesion_samples=lesions.task.samples if lesions else None,
            lesion_causal=lesions.task.causal if lesions else None,
            lesion_maps=lesions.maps if lesions else {},
            score=findings.task.score,
            tables=tables,
            dataset=films.dataset,
            examples_per_finding=report.examples_per_finding,
            hash_ids=report.hash_ids,
            label=FINDINGS,
        )
    ]
    if DETECTORS in tasks:
        detectors, severity = tasks[DETECTORS], tasks[SEVERITY]
        shown = tasks.get(THREES, detectors)
        assert detectors.task.zones is not None
        figures.append(
            ScoredFigures(
                tables=tables,
                trainings={**detectors.task.trainings, **severity.task.trainings},
                pack=detectors.task.test.pack,
                zones=next(iter(detectors.task.zones.values())),
                detector_prediction=detectors.predictions[detectors.task.primary],
                detector_samples=shown.task.samples,
                detector_maps=shown.maps,
                score=detectors.task.score,
                severity_prediction=severity.predictions[SEVERITY],
                severity_samples=severity.task.samples,
                severity_maps=severity.maps,
                hash_ids=report.hash_ids,
            )
        )
    return figures
