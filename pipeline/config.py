"""The configuration as one typed tree: composed by Hydra once, in the parent process."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from attribution.config import OWN_METHODS, AttributionConfig, BottleneckConfig
from data.config import DatasetConfig, Source
from data.user_path import user_path
from evaluation.config import CurveRule, EvaluationConfig, ReportConfig
from evaluation.own_metrics import OWN_METRICS
from models.config import (
    LOGGER_PACKAGES,
    BatchNorm,
    ClassifierTrainConfig,
    LoggerName,
    ModelConfig,
    partition_problems,
)
from pipeline.brixia_config import BrixiaStudyConfig, check_brixia
from pipeline.conf_files import check_conf
from pipeline.executors.config import ExecutorConfig, ExecutorName, executor_problems
from pipeline.overrides import check_overrides, in_one_line, setting_types

CONF = Path(__file__).resolve().parent.parent / "conf"
METHODS = (
    "gradient",
    "grad_cam",
    "integrated_gradients",
    "lrp",
    "excitation_backprop",
    "random",
    "iba",
    "iba_block1",
    "iba_block2",
    "inverse_iba",
    "multilayer_iba",
    "regression_iba_mse",
    "regression_iba_rm",
    "regression_iba_dv",
)
REGRESSION_METHODS = (
    *("regression_iba_mse", "regression_iba_rm", "regression_iba_dv"),
    *("gradient", "integrated_gradients", "random"),
)
PRIORS = ("whole_image", "location_prior", "class_prior")
METRICS = (
    *("localization", "truth", "insertion_deletion", "sensitivity_n", "equal_area", "sanity"),
    *("road", "twins"),
)


class ConfigError(ValueError):
    """A setting that cannot work; the message names the key."""


@dataclass(frozen=True)
class PathsConfig:
    """Folders of this machine. None of them is ever part of a key."""

    nih: str | None = None
    brixia: str | None = None
    cohen: str | None = None
    lungs: str | None = None
    outputs: str = "outputs"


@dataclass(frozen=True)
class PipelineConfig:
    """Everything a run can be told."""

    name: str = "demo"  # what the report calls this run
    seed: int = 0
    # Sums differ in their last bits between thread counts, so this is part of the keys of what
    # torch computes; `cores` is the number of cores that this process may use.
    threads: int = 1
    paths: PathsConfig = field(default_factory=PathsConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: ClassifierTrainConfig = field(default_factory=ClassifierTrainConfig)
    attribution: AttributionConfig = field(default_factory=AttributionConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    brixia: BrixiaStudyConfig = field(default_factory=BrixiaStudyConfig)
    report: ReportConfig = field(default_factory=ReportConfig)
    logger: LoggerName = LoggerName.csv  # csv | tensorboard | mlflow; in no key
    executor: ExecutorConfig = field(default_factory=ExecutorConfig)


SETTINGS = setting_types(PipelineConfig)
"""Key -> type of every setting, as ``train.epochs``."""


def available_cores() -> int:
    """Cores that this process may run on (a cgroup or taskset may allow fewer than there are)."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def register() -> None:
    """Makes the typed tree and the resolvers ``cores`` and ``user_path`` known to Hydra.

    Raises
    ------
    ConfFileError
        For a file of conf/ that Hydra had better not read.
    """
    check_conf(CONF)
    ConfigStore.instance().store(name="schema", node=open_schema())
    OmegaConf.register_new_resolver("cores", available_cores, replace=True)
    OmegaConf.register_new_resolver("user_path", lambda text: str(user_path(text)), replace=True)


def open_schema() -> DictConfig:
    """The typed tree to merge settings into: OmegaConf takes frozen dataclasses for read-only."""
    schema = OmegaConf.structured(PipelineConfig)
    _open(schema)
    return cast(DictConfig, schema)


def _open(node: DictConfig) -> None:
    OmegaConf.set_readonly(node, None)
    for child in node.values():
        if isinstance(child, DictConfig):
            _open(child)


def to_dataclass(config: DictConfig, overrides: Sequence[str]) -> PipelineConfig:
    """The composed tree as plain dataclasses, checked, its paths with ``~`` as the home folder.
    ``overrides``: of the command line.

    Raises
    ------
    ConfigError
        Where a value is of the right type but cannot work.
    OverrideError
        Where a value refers to what is not there.
    """
    _check_lists(OmegaConf.to_container(config), "")
    with in_one_line(SETTINGS):
        result = _with_paths(cast(PipelineConfig, OmegaConf.to_object(config)))
    _check(result, {override.lstrip("+").partition("=")[0] for override in overrides})
    return result


def _with_paths(config: PipelineConfig) -> PipelineConfig:
    def expanded(key: str, text: str | None) -> str | None:
        if text == "":
            raise ConfigError(f"{key}: is empty; leave it out, or name a path")
        try:
            return str(user_path(text)) if text and text.startswith("~") else text
        except ValueError as error:
            raise ConfigError(f"{key}: {error}") from error

    paths: dict[str, Any] = {
        name: expanded(f"paths.{name}", getattr(config.paths, name))
        for name in (each.name for each in fields(PathsConfig))
    }
    init: Any = expanded("model.init", config.model.init)
    return replace(
        config, paths=replace(config.paths, **paths), model=replace(config.model, init=init)
    )


def _check_lists(value: object, key: str) -> None:
    """All lists of the tree hold single values, which OmegaConf does not see to."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_lists(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        raise ConfigError(f"{key}: single values, not lists or settings within the list")


def compose_config(overrides: Sequence[str]) -> PipelineConfig:
    """Composes ``conf/`` with command-line overrides, without starting a Hydra job.

    Raises ConfFileError, OverrideError or ConfigError, which say what to change.
    """
    register()
    check_overrides(overrides, SETTINGS, sweep=False)
    with in_one_line(SETTINGS), initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=list(overrides))
    return to_dataclass(composed, overrides)


def _check(config: PipelineConfig, named: set[str]) -> None:
    """``named``: the keys on the command line, where what nothing reads is a mistake; the files of
    conf/ may hold more than one experiment's paths."""

    def require(holds: bool, key: str, message: str) -> None:
        if not holds:
            raise ConfigError(f"{key}: {message}")

    data, train, attribution = config.dataset, config.train, config.attribution
    files = data.source is Source.files
    require(
        files or "paths.nih" not in named,
        "paths.nih",
        "is set, but this experiment renders phantoms; add experiment=nih to read your films",
    )
    require(
        not files or config.paths.nih is not None,
        "paths.nih",
        "is not set; give the folder with Data_Entry_2017_v2020.csv and images/, "
        "as in paths.nih=/data/nih",
    )
    package = LOGGER_PACKAGES.get(config.logger)
    require(
        package is None or find_spec(package) is not None,
        "logger",
        f"{config.logger.value} is not installed: make setup EXTRAS=loggers",
    )
    require(data.num_labels in (8, 14), "dataset.num_labels", "8 or 14")
    require(0 < data.val_fraction < 1, "dataset.val_fraction", "between 0 and 1, exclusive")
    # Five halvings: below 32 px the last feature map of DenseNet121 is empty.
    require(data.side >= 32, "dataset.side", "at least 32 pixels")
    bottlenecks = {
        method: settings
        for method in METHODS
        if isinstance(settings := getattr(attribution, method), BottleneckConfig)
    }
    for key, value in {
        "threads": config.threads,
        "dataset.pack_shard": data.pack_shard,
        "dataset.phantom.num_train_val": data.phantom.num_train_val,
        "dataset.phantom.num_test": data.phantom.num_test,
        "train.batch_size": train.batch_size,
        "attribution.batch_size": attribution.batch_size,
        "attribution.shard_size": attribution.shard_size,
        **{
            f"attribution.{method}.{name}": getattr(bottleneck, name)
            for method, bottleneck in bottlenecks.items()
            for name in ("steps", "noise_samples")
        },
        "evaluation.bootstrap.resamples": config.evaluation.bootstrap.resamples,
        "evaluation.localization.thresholds": config.evaluation.localization.thresholds,
        "evaluation.insertion_deletion.steps": config.evaluation.insertion_deletion.steps,
        "evaluation.sensitivity_n.points": config.evaluation.sensitivity_n.points,
        "evaluation.sensitivity_n.masks": config.evaluation.sensitivity_n.masks,
        "evaluation.sanity.noise_draws": config.evaluation.sanity.noise_draws,
        "report.examples_per_finding": config.report.examples_per_finding,
        "report.max_images": config.report.max_images,
    }.items():
        require(value >= 1, key, f"at least 1, not {value}")
    for method, bottleneck in bottlenecks.items():
        require(
            not bottleneck.antithetic or bottleneck.noise_samples % 2 == 0,
            f"attribution.{method}.noise_samples",
            "even: antithetic noise comes in pairs",
        )
    require(train.epochs >= 0, "train.epochs", "not negative (0 keeps the initial weights)")
    require(train.pretrain_epochs >= 0, "train.pretrain_epochs", "not negative (0 for none)")
    for section_name, recipe, processes in (
        ("train", train, train.processes),
        ("brixia.detector", config.brixia.detector, 1),
        ("brixia.regressor", config.brixia.regressor, 1),
    ):
        for name, problem in partition_problems(recipe, processes):
            require(False, f"{section_name}.{name}", problem)
    untrained = config.model.init == "random" and not train.pretrain_epochs and train.epochs
    require(
        train.batch_norm is BatchNorm.learnt or not untrained,
        "train.batch_norm",
        "frozen keeps the statistics of the initial weights, and random weights have none:"
        " pre-train, or give model.init",
    )
    require(config.seed >= 0, "seed", "not negative")
    multilayer = attribution.multilayer_iba
    for layer in multilayer.layers:
        require(
            layer in bottlenecks,
            "attribution.multilayer_iba.layers",
            f"{layer!r} is no method with a bottleneck at one tap",
        )
    require(
        0 < len(multilayer.layers) == len(multilayer.thresholds),
        "attribution.multilayer_iba.thresholds",
        f"{len(multilayer.thresholds)} for {len(multilayer.layers)} layers",
    )
    regression = [m for m in attribution.methods if m.startswith("regression_iba")]
    require(
        not regression,
        "attribution.methods",
        f"{', '.join(regression)} explain a regressor: give them in brixia.regression_methods",
    )
    published = config.evaluation.insertion_deletion.rule is CurveRule.published_code
    require(
        not published or data.side == 224,
        "dataset.side",
        f"{data.side}: the published code's curves are defined at 224 px"
        " (evaluation.insertion_deletion.rule=full scales)",
    )
    if config.evaluation.findings is not None:
        from data.nih import FINDINGS

        unknown = sorted(set(config.evaluation.findings) - set(FINDINGS[: data.num_labels]))
        require(not unknown, "evaluation.findings", f"unknown {', '.join(unknown)}")
    limit = config.evaluation.max_images
    require(limit is None or limit >= 2, "evaluation.max_images", "at least 2, or null for all")
    losses = [loss.value for loss in train.losses]
    require(len(set(losses)) == len(losses), "train.losses", "names one entry twice")
    require(
        train.primary in train.losses,
        "train.primary",
        f"is {train.primary.value}, which train.losses={losses} does not train",
    )
    taken = sorted(set(OWN_METRICS) & set(METRICS))
    require(not taken, "evaluation.metrics", f"{', '.join(taken)} is a metric of the project")
    for key, chosen, known in (
        ("attribution.methods", attribution.methods, (*METHODS, *OWN_METHODS)),
        ("evaluation.metrics", config.evaluation.metrics, (*METRICS, *OWN_METRICS)),
    ):
        unknown = sorted(set(chosen) - set(known))
        require(not unknown, key, f"unknown {', '.join(unknown)}; known: {', '.join(known)}")
        require(len(set(chosen)) == len(chosen), key, "names one entry twice")
    require(bool(attribution.methods), "attribution.methods", "at least one method")
    own = sorted((set(attribution.methods) & set(OWN_METHODS)) | set(OWN_METRICS))
    require(
        not own or config.executor.name in (ExecutorName.serial, ExecutorName.local),
        "executor.name",
        f"{', '.join(own)} of your own file: serial and local alone know it",
    )
    folders = {name: getattr(config.paths, name) for name in ("brixia", "cohen", "lungs")}
    check_brixia(config.brixia, folders, named, REGRESSION_METHODS, require)
    for name, problem in executor_problems(config.executor):
        require(False, f"executor.{name}", problem)


def section(config: Any) -> dict[str, Any]:
    """A settings dataclass as plain JSON values, for a key or a manifest."""
    plain = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    return cast(dict[str, Any], plain)
