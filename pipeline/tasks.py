"""The paper's three tasks, as data, and their models on films with several lesions or zones."""

from dataclasses import replace
from typing import Any

from data.cohorts import ChestXDetCohort, Cohort, NIHCohort, ShapesCohort
from data.config import OWN_COHORTS, LabelledTestFilms, ScoredFilms
from data.config import Source as FilmSource
from data.nih import FINDINGS as FINDING_LABELS
from evaluation.config import Metric
from evaluation.priors import PRIORS
from models.config import Loss
from pipeline.config import PipelineConfig
from pipeline.keys import DigestCache
from pipeline.scored_tasks import scored_tasks
from pipeline.step import Source, Step
from pipeline.steps.films import Index, Render
from pipeline.steps.samples import BoxSamples, LabelSamples, LesionSamples
from pipeline.steps.training import Train, initial_weights, one_training, small_training
from pipeline.steps.truth import BoxTruth, PhantomTruth, PolygonTruth
from pipeline.steps.unseen_films import UnseenFilms
from pipeline.task import (
    FINDINGS,
    LESIONS,
    Films,
    Task,
    films_of,
    on_several_regions,
    pack_of,
)
from pipeline.user_films import chestxdet_films, nih_films, own_films

TABLE3_METHOD = "inverse_iba"  # paper: what Table 3 compares the losses by


def paper_tasks(config: PipelineConfig, digests: DigestCache) -> dict[str, Task]:
    """The tasks of a configuration by name. Reads nothing but digests of the user's files."""
    findings = _findings(config, digests)
    tasks = {FINDINGS: findings, **_lesions(config, findings)}
    if config.brixia.source is ScoredFilms.none:
        return tasks
    return {**tasks, **scored_tasks(config, findings, digests)}


def _findings(config: PipelineConfig, digests: DigestCache) -> Task:
    data, train, evaluation = config.dataset, config.train, config.evaluation
    films, cohort, labels, boxed = _labelled_films(config, digests)
    test = films
    if outlined := data.test is LabelledTestFilms.chestxdet:
        test = _chestxdet_films(config, films, labels, digests)
    samples = (BoxSamples if boxed and not outlined else LabelSamples)(
        index=test.index,
        pack=test.pack,
        labels=labels,
        findings=None if evaluation.findings is None else tuple(evaluation.findings),
        max_samples=evaluation.max_images,
        seed=config.seed,
        label=FINDINGS,
    )
    models, before = _classifiers(config, films, cohort, labels)
    phantoms, side, rounding = test.phantoms, data.side, evaluation.localization.box_rounding
    truth: Step | None = None
    if outlined:
        truth = PolygonTruth(test.index, samples, side, label=FINDINGS)
    elif boxed:
        truth = BoxTruth(samples, side, rounding, label=FINDINGS)
    left_out = {
        *(() if outlined else (Metric.all_regions,)),  # of lesions, on samples of its own
        *(() if phantoms else ("truth", "one_spread")),  # real films do not come with their truth
        *(() if truth else ("localization",)),
    }
    return Task(
        name=FINDINGS,
        learnt=films,
        test=test,
        labels=labels,
        models=models,
        primary=train.primary.value,
        score=config.attribution.score,
        samples=samples,
        methods=tuple(config.attribution.methods),
        metrics=tuple(name for name in evaluation.metrics if name not in left_out),
        compared=tuple(name for name in config.attribution.methods if name == TABLE3_METHOD),
        priors=tuple(PRIORS),
        truth=truth,
        in_bits=True,
        causal=PhantomTruth(phantoms, samples, side, label=FINDINGS) if phantoms else None,
        trainings={**before, **models},
    )


def _lesions(config: PipelineConfig, findings: Task) -> dict[str, Task]:
    """Of phantoms: films with several lesions of a finding."""
    films, side, evaluation = findings.test, config.dataset.side, config.evaluation
    if films.phantoms is None or Metric.all_regions not in evaluation.metrics:
        return {}
    samples = LesionSamples(
        films=films.phantoms,
        index=films.index,
        pack=films.pack,
        labels=findings.labels,
        findings=None if evaluation.findings is None else tuple(evaluation.findings),
        max_samples=evaluation.max_several_lesions,
        seed=config.seed,
    )
    truth = BoxTruth(samples, side, evaluation.localization.box_rounding, label=LESIONS)
    causal = PhantomTruth(films.phantoms, samples, side, label=LESIONS)
    return on_several_regions(findings, LESIONS, samples, truth, causal)


def _labelled_films(
    config: PipelineConfig, digests: DigestCache
) -> tuple[Films, Cohort, tuple[str, ...], bool]:
    """The films, their reader, what a classifier learns of them, and whether they have boxes."""
    data, folders = config.dataset, config.paths
    if own := OWN_COHORTS.get(data.cohort):
        assert folders.films is not None  # checked when the configuration was composed
        source = own_films(folders.films, digests)
        return films_of(config, FINDINGS, own.name, source, own), own, own.labels, own.boxes
    cohort = NIHCohort(data.num_labels, data.val_fraction, data.split_seed)
    if data.source is FilmSource.phantoms:
        rendered = Render(data.phantom, label="nih")
        films = films_of(config, FINDINGS, "nih_phantoms", rendered, cohort)
    else:
        assert folders.nih is not None
        films = films_of(config, FINDINGS, "nih", nih_films(folders.nih, digests), cohort)
    return films, cohort, FINDING_LABELS[: data.num_labels], True


def _chestxdet_films(
    config: PipelineConfig, learnt: Films, labels: tuple[str, ...], digests: DigestCache
) -> Films:
    """Without those that are learnt from."""
    assert config.paths.chestxdet is not None
    name, cohort = LabelledTestFilms.chestxdet.value, ChestXDetCohort(labels)
    source = chestxdet_films(config.paths.chestxdet, digests)
    films = films_of(config, name, name, source, cohort)
    unseen = UnseenFilms(films.index, films.pack, learnt.index, learnt.pack, label=name)
    return replace(films, index=unseen)


def _classifiers(
    config: PipelineConfig, films: Films, cohort: Cohort, labels: tuple[str, ...]
) -> tuple[dict[str, Step], dict[str, Step]]:
    """By loss, all from the same initial weights; and the trainings before, by name."""
    train, side = config.train, config.train.pretrain_side
    shared: dict[str, Any] = {
        "seed": config.seed,
        "threads": config.threads,
        "processes": train.processes,
    }
    before: dict[str, Step] = {}
    start: Source | str = initial_weights(config.model.init)
    if train.pretrain_epochs:
        shapes, drawn = ShapesCohort(), Render(config.dataset.shapes, label="shapes")
        index = Index(films=drawn, cohort=shapes, label="shapes")
        seed = config.seed if train.pretrain_seed is None else train.pretrain_seed
        start = before["pretrain"] = Train(
            recipe=small_training(train, Loss.bce, train.pretrain_epochs),
            labels=shapes.labels,
            start=start,
            index=index,
            pack=pack_of(config, drawn, index, shapes, side),
            label="pretraining",
            **{**shared, "seed": seed},
        )
    shared |= {"labels": labels, "index": films.index}
    models: dict[str, Step] = {}
    for loss in train.losses:
        first, label = start, f"{FINDINGS} {loss.value}"
        if train.small_epochs:
            first = before[f"{loss.value}_small"] = Train(
                recipe=small_training(train, loss, train.small_epochs),
                start=start,
                pack=pack_of(config, films.source, films.index, cohort, side),
                label=f"{label} {side} px",
                **shared,
            )
        models[loss.value] = Train(
            recipe=one_training(train, loss), start=first, pack=films.pack, label=label, **shared
        )
    return models, before
