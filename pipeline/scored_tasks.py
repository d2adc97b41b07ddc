"""Detectors and severity: fine-tuned from the classifier on films with zone scores."""

from typing import Any

from attribution.config import Score
from data.brixia_score import DETECTORS as DETECTOR_LABELS
from data.cohorts import BrixiaCohort, CohenCohort
from data.config import LungSource, ScoredFilms, TestFilms
from data.integrity import resolve_inside
from evaluation.priors import PRIORS
from models.config import Loss
from pipeline.config import PipelineConfig
from pipeline.keys import DigestCache, file_sha256
from pipeline.step import Source, Step, UserFiles
from pipeline.steps.films import Index, Render
from pipeline.steps.fine_tuning import FineTuneDetectors, FineTuneSeverity, FrozenFeatures
from pipeline.steps.localization import LUNG_MASK
from pipeline.steps.lung_network import LungNetwork
from pipeline.steps.lungs import GivenLungs, PredictedLungs
from pipeline.steps.samples import DetectorSamples, SeveritySamples, ThreesSamples
from pipeline.steps.severity import SEVERITY_PRIORS
from pipeline.steps.training import one_training
from pipeline.steps.truth import ZoneTruth
from pipeline.steps.zones import Zones
from pipeline.task import (
    DETECTORS,
    SEVERITY,
    THREES,
    Films,
    Task,
    films_of,
    on_several_regions,
    pack_of,
)
from pipeline.user_films import brixia_films, cohen_films, lung_films


def scored_tasks(config: PipelineConfig, findings: Task, digests: DigestCache) -> dict[str, Task]:
    """Detectors and severity, fine-tuned from the classifier that is explained, and the detectors
    on films with several zones of score 3."""
    settings, seed = config.brixia, config.seed
    learnt, lung_pack = _scored_films(config, settings.source, digests)
    test, test_lung_pack = learnt, lung_pack
    if settings.test is TestFilms.cohen:
        test, test_lung_pack = _cohen_films(config, digests)
    zones = _zones(config, learnt, lung_pack, test, test_lung_pack, digests)

    classifier = findings.models[findings.primary]
    features = FrozenFeatures(
        model=classifier, index=learnt.index, pack=learnt.pack, threads=config.threads
    )
    shared: dict[str, Any] = {
        "model": classifier,
        "index": learnt.index,
        "features": features,
        "seed": seed,
        "threads": config.threads,
    }
    detector_labels = tuple(DETECTOR_LABELS)
    detectors = {
        loss.value: FineTuneDetectors(
            recipe=one_training(settings.detector, loss),
            labels=detector_labels,
            label=loss.value,
            **shared,
        )
        for loss in settings.detector.losses
    }
    regressor = FineTuneSeverity(recipe=one_training(settings.regressor, Loss.bce), **shared)
    films: dict[str, Any] = {"index": test.index, "pack": test.pack, "seed": seed}
    detected = DetectorSamples(max_samples=settings.max_samples, label=DETECTORS, **films)
    scored = SeveritySamples(max_samples=settings.max_severity_films, label=SEVERITY, **films)
    detection = Task(
        name=DETECTORS,
        learnt=learnt,
        test=test,
        labels=detector_labels,
        models=detectors,
        primary=settings.detector.primary.value,
        score=config.attribution.score,
        samples=detected,
        methods=tuple(config.attribution.methods),
        metrics=("localization", *(m for m in settings.detector_metrics if m != "all_regions")),
        priors=(*PRIORS, LUNG_MASK),
        truth=ZoneTruth(detected, zones, label=DETECTORS),
        places=(f"mask_{next(iter(zones))}",),
        zones=zones,
        trainings={f"detector_{loss}": step for loss, step in detectors.items()},
    )
    regression = Task(
        name=SEVERITY,
        learnt=learnt,
        test=test,
        labels=("score",),
        models={SEVERITY: regressor},
        primary=SEVERITY,
        score=Score.output,
        samples=scored,
        methods=tuple(settings.regression_methods),
        metrics=("severity", *settings.severity_metrics),
        classifies=False,
        priors=SEVERITY_PRIORS,
        zones=zones,
        trainings={SEVERITY: regressor},
    )
    threes = {}
    if "all_regions" in settings.detector_metrics:
        shown = ThreesSamples(max_samples=settings.max_several_threes, **films)
        several = ZoneTruth(shown, zones, label=THREES)
        threes = on_several_regions(detection, THREES, shown, several)
    return {DETECTORS: detection, SEVERITY: regression, **threes}


def _scored_films(
    config: PipelineConfig, which: ScoredFilms, digests: DigestCache
) -> tuple[Films, Step]:
    """The films to learn from, and the same packed at the lung network's side."""
    cohort = BrixiaCohort(config.brixia.films)
    source: Source
    split = None
    if which is ScoredFilms.phantoms:
        dataset, source = "brixia_phantoms", Render(config.brixia.phantom, label="brixia")
    else:
        assert config.paths.brixia is not None
        dataset, source = "brixia", brixia_films(config.paths.brixia, digests)
        if config.brixia.films.split_file:
            path = resolve_inside(source.path, config.brixia.films.split_file)
            split = UserFiles(path, file_sha256(path)) if path.is_file() else None
    index = Index(films=source, cohort=cohort, split_file=split, label="brixia")
    packs = [
        pack_of(config, source, index, cohort, side)
        for side in (config.dataset.side, config.brixia.lungs.side)
    ]
    return Films(dataset, source, index, packs[0]), packs[1]


def _cohen_films(config: PipelineConfig, digests: DigestCache) -> tuple[Films, Step]:
    assert config.paths.cohen is not None
    cohort, source = (
        CohenCohort(config.brixia.cohen_reader),
        cohen_films(config.paths.cohen, digests),
    )
    films = films_of(config, "cohen", "cohen", source, cohort)
    return films, pack_of(config, source, films.index, cohort, config.brixia.lungs.side)


def _zones(
    config: PipelineConfig,
    learnt: Films,
    lung_pack: Step,
    test: Films,
    test_pack: Step,
    digests: DigestCache,
) -> dict[str, Step]:
    """Zones of the test films, by the source of the lung masks; true ones of phantoms alone."""
    settings, folder = config.brixia.lungs, config.paths.lungs
    shared: dict[str, Any] = {"index": test.index, "pack": test_pack, "side": config.dataset.side}
    lungs: dict[str, Step] = {}
    if settings.source is LungSource.masks:
        from data.lung_pairs import MASKS as GIVEN

        assert folder is not None
        masks = lung_films(folder, digests, pairs=False)
        lungs["given"] = GivenLungs(masks=masks, folder=GIVEN, label="given", **shared)
    else:
        own = settings.source is LungSource.phantoms
        if not own:
            assert folder is not None
        network = LungNetwork(
            config=settings,
            films=learnt.source if own else lung_films(str(folder), digests, pairs=True),
            index=learnt.index if own else None,
            pack=lung_pack if own else None,
            seed=config.seed,
            threads=config.threads,
        )
        lungs["predicted"] = PredictedLungs(
            network=network, threads=config.threads, label="predicted", **shared
        )
        if test.phantoms is not None:
            from data.phantom.brixia_layout import MASKS as TRUE

            lungs["true"] = GivenLungs(masks=test.phantoms, folder=TRUE, label="true", **shared)
    return {which: Zones(step, which, label=which) for which, step in lungs.items()}
