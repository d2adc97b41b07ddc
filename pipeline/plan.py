"""Which stages a configuration asks for, in an order in which they can run."""

from dataclasses import dataclass
from pathlib import Path

from attribution.config import required_taps
from data.config import Source
from pipeline.config import PRIORS, PipelineConfig
from pipeline.graph import RawFolder, Stage
from pipeline.keys import DigestCache
from pipeline.raw import nih_films
from pipeline.stages import (
    attribute,
    classification,
    figures,
    index,
    localization,
    pack,
    predict,
    render,
    select,
    statistics,
    tables,
    train,
)


@dataclass(frozen=True)
class Plan:
    """The stages of a run by the role they play; ``order`` holds each after what it needs."""

    films: Stage | RawFolder
    index: Stage
    pack: Stage
    train: Stage
    predict: Stage
    select: Stage
    attribute: dict[str, Stage]
    localization: dict[str, Stage]
    tables: Stage
    figures: Stage

    @property
    def order(self) -> list[Stage]:
        found: dict[str, Stage] = {}

        def visit(stage: Stage | RawFolder) -> None:
            if isinstance(stage, Stage) and stage.key not in found:
                for source in stage.inputs.values():
                    visit(source)
                found[stage.key] = stage

        visit(self.figures)
        return list(found.values())


def plan_run(config: PipelineConfig, digests: DigestCache) -> Plan:
    """Builds the graph. Reads nothing but the digests of the user's own files."""
    films: Stage | RawFolder
    if config.dataset.source is Source.phantoms:
        films = render.stage(config)
    else:
        assert config.paths.nih is not None  # checked when the configuration was composed
        films = nih_films(Path(config.paths.nih), digests)
    index_stage = index.stage(config, films)
    pack_stage = pack.stage(config, films, index_stage)
    train_stage = train.stage(config, index_stage, pack_stage)
    predict_stage = predict.stage(config, train_stage, index_stage, pack_stage)
    select_stage = select.stage(config, index_stage, pack_stage)
    taps = {
        method: required_taps(method, config.attribution) for method in config.attribution.methods
    }
    statistics_stages = {
        tap: statistics.stage(config, tap, train_stage, index_stage, pack_stage)
        for tap in sorted({tap for wanted in taps.values() for tap in wanted})
    }
    attribute_stages = {
        method: attribute.stage(
            config,
            method,
            train_stage,
            pack_stage,
            select_stage,
            {tap: statistics_stages[tap] for tap in wanted},
        )
        for method, wanted in taps.items()
    }
    localization_stages = {
        method: localization.stage(config, method, select_stage, attribute_stages.get(method))
        for method in (*config.attribution.methods, *PRIORS)
        if "localization" in config.evaluation.metrics
    }
    classification_stage = classification.stage(config, predict_stage, index_stage)
    tables_stage = tables.stage(config, select_stage, classification_stage, localization_stages)
    figures_stage = figures.stage(
        config,
        films,
        pack_stage,
        train_stage,
        predict_stage,
        select_stage,
        attribute_stages,
        tables_stage,
    )
    return Plan(
        films=films,
        index=index_stage,
        pack=pack_stage,
        train=train_stage,
        predict=predict_stage,
        select=select_stage,
        attribute=attribute_stages,
        localization=localization_stages,
        tables=tables_stage,
        figures=figures_stage,
    )
