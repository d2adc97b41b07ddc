"""The stages of the films with zone scores: detectors, severity regressor, Table 2, PCC."""

from dataclasses import dataclass

from attribution.config import Score
from data.brixia_score import DETECTORS
from data.config import LungSource, ScoredFilms, TestFilms
from pipeline.config import PipelineConfig
from pipeline.graph import RawFolder, Stage
from pipeline.keys import DigestCache
from pipeline.model_plan import attribute_stages, statistics_stages
from pipeline.raw import brixia_films, cohen_films, lung_films
from pipeline.stages import (
    brixia_figures,
    brixia_tables,
    classification,
    finetune,
    insertion_deletion,
    lungs,
    predict,
    scored_films,
    select_scored,
    sensitivity_n,
    severity_maps,
    zone_localization,
    zones,
)
from pipeline.stages.finetune import DETECTOR, SEVERITY
from pipeline.stages.severity_maps import SEVERITY_PRIORS
from pipeline.stages.zone_localization import SCORED_PRIORS


@dataclass(frozen=True)
class BrixiaPlan:
    """What of these stages others use; the first index and pack are those that are learnt on."""

    indices: tuple[Stage, ...]
    packs: tuple[Stage, ...]
    trainings: dict[str, Stage]
    statistics: dict[str, Stage]  # of the regressor, by tap
    zone_localization: dict[str, Stage]  # by method
    tables: Stage
    figures: Stage


@dataclass(frozen=True)
class _Films:
    """Films that are learnt on or measured: where they lie, their index, packed at two sizes."""

    films: Stage | RawFolder
    index: Stage
    pack: Stage
    lung_pack: Stage  # at the side that the lung network sees


def plan_brixia(config: PipelineConfig, train: Stage, digests: DigestCache) -> BrixiaPlan | None:
    """None where ``brixia.source`` is none. ``train``: the classifier that is fine-tuned."""
    settings = config.brixia
    if settings.source is ScoredFilms.none:
        return None
    own = _films(config, TestFilms.own, digests)
    test = own if settings.test is TestFilms.own else _films(config, settings.test, digests)
    of_lungs = _zones(config, own, test, digests)

    features = finetune.features_stage(config, train, own.index, own.pack)
    detectors = {
        loss: finetune.detector_stage(config, loss, train, own.index, features)
        for loss in settings.detector.losses
    }
    regressor = finetune.regressor_stage(config, train, own.index, features)
    dataset = scored_films.dataset_name(config)
    of_detector = {
        loss: predict.stage(config, f"{DETECTOR} {loss.value}", model, test.index, test.pack)
        for loss, model in detectors.items()
    }
    predict_severity = predict.stage(config, SEVERITY, regressor, test.index, test.pack)
    classified = {
        loss: classification.stage(
            config, dataset, loss.value, tuple(DETECTORS), predicted, test.index
        )
        for loss, predicted in of_detector.items()
    }

    detector = detectors[settings.detector.primary]
    select_detectors = select_scored.detectors_stage(config, test.index, test.pack)
    select_severity = select_scored.severity_stage(config, test.index, test.pack)
    explained = tuple(config.attribution.methods)
    detector_statistics = statistics_stages(
        config, explained, DETECTOR, detector, own.index, own.pack
    )
    detector_maps = attribute_stages(
        config,
        explained,
        DETECTOR,
        detector,
        test.pack,
        select_detectors,
        detector_statistics,
    )
    methods = tuple(settings.regression_methods)
    severity_statistics = statistics_stages(
        config, methods, SEVERITY, regressor, own.index, own.pack
    )
    regressor_maps = attribute_stages(
        config,
        methods,
        SEVERITY,
        regressor,
        test.pack,
        select_severity,
        severity_statistics,
        Score.output,
    )
    localized = {
        method: zone_localization.stage(
            config, method, select_detectors, of_lungs, detector_maps.get(method)
        )
        for method in (*detector_maps, *SCORED_PRIORS)
    }
    paper_zones = next(iter(of_lungs.values()))
    measured: dict[str, dict[str, Stage]] = {
        "zone_localization": localized,
        "severity_maps": {
            method: severity_maps.stage(
                method, select_severity, paper_zones, regressor_maps.get(method)
            )
            for method in (*regressor_maps, *SEVERITY_PRIORS)
        },
        "diagnostics": detector_maps,
    }
    if "insertion_deletion" in config.evaluation.metrics:
        measured["insertion_deletion"] = {
            method: insertion_deletion.stage(
                config, method, detector, test.pack, select_detectors, maps, DETECTOR
            )
            for method, maps in detector_maps.items()
        }
    if "sensitivity_n" in config.evaluation.metrics:
        changes = sensitivity_n.changes_stage(
            config, regressor, test.pack, select_severity, SEVERITY
        )
        measured["sensitivity_n"] = {
            method: sensitivity_n.stage(config, method, changes, select_severity, maps, SEVERITY)
            for method, maps in regressor_maps.items()
        }
    trainings = {
        **{f"{DETECTOR}_{loss.value}": stage for loss, stage in detectors.items()},
        SEVERITY: regressor,
    }
    tables = brixia_tables.stage(
        config, own.index, test.index, select_detectors, classified, predict_severity, measured
    )
    return BrixiaPlan(
        indices=(own.index,) if test is own else (own.index, test.index),
        packs=(own.pack,) if test is own else (own.pack, test.pack),
        trainings=trainings,
        statistics=severity_statistics,
        zone_localization=localized,
        tables=tables,
        figures=brixia_figures.stage(
            config,
            tables,
            trainings,
            test.pack,
            paper_zones,
            {
                "select": select_detectors,
                "predict": of_detector[settings.detector.primary],
                **{f"maps_{method}": stage for method, stage in detector_maps.items()},
            },
            {
                "select": select_severity,
                "predict": predict_severity,
                **{f"maps_{method}": stage for method, stage in regressor_maps.items()},
            },
        ),
    )


def _films(config: PipelineConfig, which: TestFilms, digests: DigestCache) -> _Films:
    films: Stage | RawFolder
    paths = config.paths
    if which is TestFilms.cohen:
        assert paths.cohen is not None  # checked when the configuration was composed
        films = cohen_films(paths.cohen, digests)
    elif config.brixia.source is ScoredFilms.phantoms:
        films = scored_films.render_stage(config)
    else:
        assert paths.brixia is not None
        films = brixia_films(paths.brixia, digests)
    index = scored_films.index_stage(config, films, which)
    sides = (config.dataset.side, config.brixia.lungs.side)
    packs = [scored_films.pack_stage(config, films, index, which, side) for side in sides]
    return _Films(films, index, packs[0], packs[1])


def _zones(
    config: PipelineConfig, own: _Films, test: _Films, digests: DigestCache
) -> dict[str, Stage]:
    """Zones of the test films by where the lungs come from; true ones only where they are known."""
    source, where = config.brixia.lungs.source, config.paths.lungs
    if source is LungSource.masks:
        from data.lung_pairs import MASKS as FOLDER

        assert where is not None
        given = lung_films(where, digests, pairs=False)
        found = lungs.given_stage(config, given, FOLDER, test.index, test.lung_pack, "given")
        return {"given": zones.stage(found)}
    if source is LungSource.phantoms:
        network = lungs.network_stage(config, own.films, own.index, own.lung_pack)
    else:
        assert where is not None
        network = lungs.network_stage(config, lung_films(where, digests, pairs=True))
    predicted = lungs.stage(config, network, test.index, test.lung_pack)
    of_lungs = {"predicted": zones.stage(predicted)}
    if isinstance(test.films, Stage):
        from data.phantom.brixia_layout import MASKS

        true = lungs.given_stage(config, test.films, MASKS, test.index, test.lung_pack, "true")
        of_lungs["true"] = zones.stage(true)
    return of_lungs
