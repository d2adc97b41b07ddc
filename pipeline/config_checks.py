"""What is wrong with a configuration whose types are right, found before any work starts.

Each function yields (key, problem). Ranges stand beside the settings, as metadata of the fields:
``least``, the smallest value, ``between``, bounds that are not reached themselves, ``one_of``, the
names that can be chosen, and ``multiple_of``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib.util import find_spec
from math import inf
from typing import Any

from attribution.config import (
    AUTO,
    METHODS,
    OWN_METHODS,
    REGRESSION_METHODS,
    AttributionConfig,
    BottleneckConfig,
)
from data.config import OWN_COHORTS, DatasetConfig, LungSource, ScoredFilms, TestFilms
from evaluation.config import REFERENCE_SIDE, CurveRule, EvaluationConfig, Metric, SetSizes
from evaluation.own_metrics import OWN_METRICS
from models.config import (
    LOGGER_PACKAGES,
    BatchNorm,
    ClassifierTrainConfig,
    LoggerName,
    TrainConfig,
    partition_problems,
)
from pipeline.brixia_config import DETECTOR_METRICS, SEVERITY_METRICS, BrixiaStudyConfig
from pipeline.executors.config import ExecutorConfig, ExecutorName, executor_problems

Problems = Iterator[tuple[str, str]]
Folders = Mapping[str, str | None]
"""The paths brixia, cohen, lungs, nih: ``paths.nih`` under ``nih``."""


def field_problems(config: Any, above: str = "") -> Problems:
    """Values out of their field's range, and lists that name something twice."""
    for each in fields(config):
        key, value = above + each.name, getattr(config, each.name)
        least, between = each.metadata.get("least"), each.metadata.get("between")
        if is_dataclass(value):
            yield from field_problems(value, f"{key}.")
        elif isinstance(value, list):
            names = [str(name) for name in value if isinstance(name, str | Enum)]
            if len(set(names)) < len(names):
                yield key, "names one entry twice"
        elif value is not None and least is not None and not value >= least:
            null = ", or null" if each.default is None else ""
            yield key, f"at least {least}{null}, not {value:g}"
        elif value is not None and between is not None and not between[0] < value < between[1]:
            yield key, f"between {between[0]} and {between[1]}, exclusive, not {value:g}"
        elif value not in each.metadata.get("one_of", (value,)):
            yield key, f"one of {', '.join(each.metadata['one_of'])}, not {value}"
        elif (step := each.metadata.get("multiple_of")) and value % step:
            below = value // step * step
            yield key, f"{value} is no multiple of {step}: take {below} or {below + step}"


def training_problems(train: ClassifierTrainConfig, init: str, logger: LoggerName) -> Problems:
    package = LOGGER_PACKAGES.get(logger)
    if package is not None and find_spec(package) is None:
        yield "logger", f"{logger.value} is not installed: make setup EXTRAS=loggers"
    yield from _recipe_problems("train", train, train.processes)
    yield from _primary_problems("train", train)
    untrained = init == "random" and not train.pretrain_epochs and train.epochs
    if untrained and train.batch_norm is not BatchNorm.learnt:
        yield (
            "train.batch_norm",
            "frozen keeps the statistics of the initial weights, and random weights have none:"
            " pre-train, or give model.init",
        )


def attribution_problems(config: AttributionConfig) -> Problems:
    bottlenecks = {
        method: settings
        for method in METHODS
        if isinstance(settings := getattr(config, method), BottleneckConfig)
    }
    for method, bottleneck in bottlenecks.items():
        beta = bottleneck.beta
        if isinstance(beta, str) and beta != AUTO:
            yield f"attribution.{method}.beta", f"a number or {AUTO}, not {beta!r}"
        elif not isinstance(beta, str) and not 0 <= beta < inf:
            yield f"attribution.{method}.beta", f"at least 0 and finite, not {beta:g}"
        if bottleneck.antithetic and bottleneck.noise_samples % 2:
            yield (
                f"attribution.{method}.noise_samples",
                "even: antithetic noise comes in pairs",
            )
    points = config.operating_points
    if not 0 < points.lowest < points.highest < inf:
        yield (
            "attribution.operating_points.lowest",
            f"above 0 and below highest, not {points.lowest:g} and {points.highest:g}",
        )
    multilayer = config.multilayer_iba
    for layer in multilayer.layers:
        if layer not in bottlenecks:
            yield (
                "attribution.multilayer_iba.layers",
                f"{layer!r} is no method with a bottleneck at one tap",
            )
    if not 0 < len(multilayer.layers) == len(multilayer.thresholds):
        yield (
            "attribution.multilayer_iba.thresholds",
            f"{len(multilayer.thresholds)} for {len(multilayer.layers)} layers",
        )
    regression = [name for name in config.methods if name.startswith("regression_iba")]
    if regression:
        yield (
            "attribution.methods",
            f"{', '.join(regression)} explain a regressor: give them in brixia.regression_methods",
        )
    yield from _name_problems("attribution.methods", config.methods, (*METHODS, *OWN_METHODS))
    if not config.methods:
        yield "attribution.methods", "at least one method"


def evaluation_problems(config: EvaluationConfig, data: DatasetConfig) -> Problems:
    if config.insertion_deletion.rule is CurveRule.published_code and data.side != REFERENCE_SIDE:
        yield (
            "dataset.side",
            f"{data.side}: the published code's curves are defined at 224 px"
            " (evaluation.insertion_deletion.rule=full scales)",
        )
    masks = config.sensitivity_n
    if masks.sizes is SetSizes.published_code and data.side != REFERENCE_SIDE:
        yield (
            "dataset.side",
            f"{data.side}: the published code's set sizes are defined at 224 px"
            " (evaluation.sensitivity_n.sizes=fractions scales)",
        )
    if not masks.fractions or not all(0 < fraction < 1 for fraction in masks.fractions):
        yield "evaluation.sensitivity_n.fractions", f"between 0 and 1, not {masks.fractions}"
    taken = sorted(set(OWN_METRICS) & set(Metric))
    if taken:
        yield "evaluation.metrics", f"{', '.join(taken)} is a metric of the project"
    of_findings = [metric for metric in Metric if metric is not Metric.zone_drops]
    yield from _name_problems("evaluation.metrics", config.metrics, (*of_findings, *OWN_METRICS))


def executor_choice_problems(
    config: ExecutorConfig, methods: Sequence[str], cohort: str
) -> Problems:
    own = sorted((set(methods) & set(OWN_METHODS)) | set(OWN_METRICS))
    own += [cohort] if cohort in OWN_COHORTS else []
    if own and config.name not in (ExecutorName.serial, ExecutorName.local):
        yield "executor.name", f"{', '.join(own)} of your own file: serial and local alone know it"
    for name, problem in executor_problems(config):
        yield f"executor.{name}", problem


def brixia_problems(config: BrixiaStudyConfig, folders: Folders, named: set[str]) -> Problems:
    """``named``: as for ``film_problems``."""
    yield from _scored_folder_problems(config, folders, named)
    if config.source is ScoredFilms.none:
        return
    lungs = config.lungs
    if lungs.source is LungSource.phantoms and config.source is not ScoredFilms.phantoms:
        yield (
            "brixia.lungs.source",
            "phantoms, but the films are files: give pairs or masks at paths.lungs",
        )
    yield from _primary_problems("brixia.detector", config.detector)
    for key, recipe in (("detector", config.detector), ("regressor", config.regressor)):
        yield from _recipe_problems(f"brixia.{key}", recipe, 1)
        if recipe.epochs < 1:
            yield f"brixia.{key}.epochs", f"at least 1, not {recipe.epochs}"
        if recipe.horizontal_flip:
            yield (
                f"brixia.{key}.horizontal_flip",
                "must be false: the frozen features are computed once",
            )
    for key, names, known, fault in (
        ("detector_metrics", config.detector_metrics, DETECTOR_METRICS, "{} is not measured there"),
        ("severity_metrics", config.severity_metrics, SEVERITY_METRICS, "{} is not measured there"),
        (
            "regression_methods",
            config.regression_methods,
            REGRESSION_METHODS,
            "{} cannot explain a regressor",
        ),
    ):
        yield from _name_problems(f"brixia.{key}", names, known, fault)
    if not config.regression_methods:
        yield "brixia.regression_methods", "at least one method"


def _scored_folder_problems(
    config: BrixiaStudyConfig, folders: Folders, named: set[str]
) -> Problems:
    """Folders of the user's that are missing, or that nothing reads."""
    none, lungs = config.source is ScoredFilms.none, config.lungs.source
    films = "brixia=files or brixia=phantom"
    for name, wanted, setting, content, hint in (
        (
            "brixia",
            config.source is ScoredFilms.files,
            "brixia=files",
            "dicom_clean/ and metadata_global_v2.csv",
            "brixia=files",
        ),
        (
            "cohen",
            not none and config.test is TestFilms.cohen,
            "brixia.test=cohen",
            "public-annotations.csv and its films",
            f"{films}, and brixia.test=cohen" if none else "brixia.test=cohen",
        ),
        (
            "lungs",
            not none and lungs is not LungSource.phantoms,
            f"brixia.lungs.source={lungs.value}",
            "films in cxr/ and masks/"
            if lungs is LungSource.pairs
            else "a mask for every test film, under the film's name",
            films if none else "brixia.lungs.source=pairs or masks",
        ),
    ):
        key = f"paths.{name}"
        if wanted and folders[name] is None:
            yield key, f"is not set, but {setting} reads it; give the folder with {content}"
        if key in named and not wanted:
            yield key, f"is set, but nothing reads it; add {hint}, or leave it out"
    if none and config.test is TestFilms.cohen:
        yield "brixia.test", f"cohen, but nothing is learnt; add {films}"


def _recipe_problems(key: str, recipe: TrainConfig, processes: int) -> Problems:
    for name, problem in partition_problems(recipe, processes):
        yield f"{key}.{name}", problem


def _primary_problems(key: str, recipe: TrainConfig) -> Problems:
    losses = [loss.value for loss in recipe.losses]
    if recipe.primary.value not in losses:
        yield f"{key}.primary", f"is {recipe.primary.value}, which {key}.losses={losses} lacks"


def _name_problems(
    key: str, names: Sequence[str], known: Sequence[str], fault: str = "unknown {}"
) -> Problems:
    unknown = sorted(set(names) - set(known))
    if unknown:
        yield key, f"{fault.format(', '.join(unknown))}; known: {', '.join(known)}"
