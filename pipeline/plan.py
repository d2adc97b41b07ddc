"""Which stages a configuration asks for, in an order in which they can run."""

from collections.abc import Sequence
from dataclasses import dataclass

from attribution.config import required_taps
from data.config import Source
from data.nih import FINDINGS
from evaluation.own_metrics import OWN_METRICS
from models.config import Loss
from pipeline.brixia_plan import BrixiaPlan, plan_brixia
from pipeline.config import PRIORS, PipelineConfig
from pipeline.graph import RawFolder, Stage
from pipeline.keys import DigestCache
from pipeline.model_plan import attribute_stages, statistics_stages
from pipeline.raw import nih_films
from pipeline.stages import (
    claims,
    classification,
    equal_area,
    figures,
    index,
    insertion_deletion,
    localization,
    own_metric,
    pack,
    predict,
    render,
    road,
    sanity,
    select,
    sensitivity_n,
    shortcuts,
    table3,
    tables,
    train,
    truth,
    twins,
)

TABLE3_METHOD = "inverse_iba"  # paper: what Table 3 compares the losses by


@dataclass(frozen=True)
class ModelStages:
    """What is done with the model of one loss."""

    train: Stage
    predict: Stage
    classification: Stage
    statistics: dict[str, Stage]  # by tap
    attribute: dict[str, Stage]  # by method


@dataclass(frozen=True)
class Plan:
    """The stages of a run by the role they play; ``order`` holds each after what it needs."""

    films: Stage | RawFolder
    index: Stage
    pack: Stage
    models: dict[Loss, ModelStages]
    shortcuts: Stage
    select: Stage
    brixia: BrixiaPlan | None
    measured: dict[str, dict[str, Stage]]  # metric -> method -> its evaluate stage
    tables: Stage
    claims: Stage
    figures: Stage

    @property
    def order(self) -> list[Stage]:
        scored = (self.brixia.figures,) if self.brixia else ()
        return self.before(self.shortcuts, self.claims, self.figures, *scored)

    @staticmethod
    def before(*last: Stage) -> list[Stage]:
        """These stages and all that they need, each after what it needs."""
        found: dict[str, Stage] = {}

        def visit(stage: Stage | RawFolder) -> None:
            if isinstance(stage, Stage) and stage.key not in found:
                for source in stage.inputs.values():
                    visit(source)
                found[stage.key] = stage

        for stage in last:
            visit(stage)
        return list(found.values())


def plan_run(config: PipelineConfig, digests: DigestCache) -> Plan:
    """Builds the graph. Reads nothing but the digests of the user's own files."""
    films: Stage | RawFolder
    if config.dataset.source is Source.phantoms:
        films = render.stage(config)
    else:
        assert config.paths.nih is not None  # checked when the configuration was composed
        films = nih_films(config.paths.nih, digests)
    index_stage = index.stage(config, films)
    pack_stage = pack.stage(config, films, index_stage)
    select_stage = select.stage(config, index_stage, pack_stage)
    pretrain = None
    if config.train.pretrain_epochs:
        pretrain = train.pretrain_stage(config, index_stage, pack_stage)

    methods, primary = config.attribution.methods, config.train.primary
    compared = [method for method in methods if method == TABLE3_METHOD]

    def model_stages(loss: Loss, explained_by: Sequence[str]) -> ModelStages:
        name = "" if loss is primary else loss.value
        train_stage = train.stage(config, loss, index_stage, pack_stage, pretrain)
        predict_stage = predict.stage(config, loss.value, train_stage, index_stage, pack_stage)
        of_tap = statistics_stages(
            config, explained_by, loss.value, train_stage, index_stage, pack_stage
        )
        return ModelStages(
            train=train_stage,
            predict=predict_stage,
            classification=classification.stage(
                config,
                classification.dataset_name(config),
                loss.value,
                FINDINGS[: config.dataset.num_labels],
                predict_stage,
                index_stage,
            ),
            statistics=of_tap,
            attribute=attribute_stages(
                config, explained_by, name, train_stage, pack_stage, select_stage, of_tap
            ),
        )

    models = {
        loss: model_stages(loss, methods if loss is primary else compared)
        for loss in config.train.losses
    }
    shortcuts_stage = shortcuts.stage(config, films, index_stage, pack_stage)
    measured = _measured(config, films, index_stage, pack_stage, select_stage, models[primary])
    trained = {loss.value: stages.train for loss, stages in models.items()}
    table3_stage = None
    if compared and len(models) > 1 and "localization" in measured:
        table3_stage = table3.stage(
            config,
            select_stage,
            {loss.value: stages.attribute[TABLE3_METHOD] for loss, stages in models.items()},
        )
    brixia = plan_brixia(config, models[primary].train, digests)
    tables_stage = tables.stage(
        config,
        select_stage,
        {loss.value: stages.classification for loss, stages in models.items()},
        models[primary].attribute,
        measured,
        table3_stage,
        brixia.tables if brixia else None,
    )
    claims_stage = claims.stage(
        config,
        tables_stage,
        measured.get("localization", {}),
        brixia.zone_localization if brixia else {},
    )
    return Plan(
        films=films,
        index=index_stage,
        pack=pack_stage,
        models=models,
        shortcuts=shortcuts_stage,
        brixia=brixia,
        select=select_stage,
        measured=measured,
        tables=tables_stage,
        claims=claims_stage,
        figures=figures.stage(
            config,
            films,
            pack_stage,
            {**({"pretrain": pretrain} if pretrain else {}), **trained},
            models[primary].predict,
            select_stage,
            models[primary].attribute,
            tables_stage,
        ),
    )


def _measured(
    config: PipelineConfig,
    films: Stage | RawFolder,
    index_stage: Stage,
    pack_stage: Stage,
    select_stage: Stage,
    model: ModelStages,
) -> dict[str, dict[str, Stage]]:
    """The evaluate stages of the model that is explained."""
    evaluation, maps = config.evaluation, model.attribute
    base = (model.train, pack_stage, select_stage)

    def of_metric(metric: str) -> dict[str, Stage]:
        if metric == "localization":
            return {
                method: localization.stage(config, method, select_stage, maps.get(method))
                for method in (*maps, *PRIORS)
            }
        if metric == "sensitivity_n":
            changes = sensitivity_n.changes_stage(config, *base)
            return {
                method: sensitivity_n.stage(config, method, changes, select_stage, stage)
                for method, stage in maps.items()
            }
        if metric == "truth":
            if isinstance(films, RawFolder):  # nobody knows the truth of real films
                return {}
            return {
                method: truth.stage(config, method, films, select_stage, stage)
                for method, stage in maps.items()
            }
        if metric == "twins":
            if isinstance(films, RawFolder):
                return {}
            return {
                method: twins.stage(
                    config,
                    method,
                    films,
                    *base,
                    {
                        tap: model.statistics[tap]
                        for tap in required_taps(method, config.attribution)
                    },
                )
                for method in evaluation.twins.methods
                if method in maps
            }
        if metric == "sanity":
            return {
                method: sanity.stage(
                    config, method, model.train, index_stage, pack_stage, select_stage, maps[method]
                )
                for method in evaluation.sanity.methods
                if method in maps
            }
        if metric in OWN_METRICS:
            return {
                method: own_metric.stage(config, metric, method, *base, stage)
                for method, stage in maps.items()
            }
        perturbing = {
            "insertion_deletion": (insertion_deletion.stage, list(maps)),
            "equal_area": (equal_area.stage, list(maps)),
            "road": (road.stage, [m for m in evaluation.road.methods if m in maps]),
        }
        build, methods = perturbing[metric]
        return {method: build(config, method, *base, maps[method]) for method in methods}

    return {metric: of_metric(metric) for metric in evaluation.metrics}
