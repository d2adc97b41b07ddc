"""The configuration as one typed tree: composed by Hydra once, in the parent process."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from attribution.config import CLASSIFIER_METHODS, OWN_METHODS, AttributionConfig
from data.config import DatasetConfig, user_path
from data.workers import usable_cores
from evaluation.config import EvaluationConfig, ReportConfig
from models.config import ClassifierTrainConfig, LoggerName, ModelConfig
from pipeline.brixia_config import BrixiaStudyConfig
from pipeline.conf_files import check_conf
from pipeline.config_checks import (
    attribution_problems,
    brixia_problems,
    evaluation_problems,
    executor_choice_problems,
    field_problems,
    training_problems,
)
from pipeline.executors.config import ExecutorConfig
from pipeline.film_checks import film_problems
from pipeline.overrides import check_overrides, in_one_line, setting_types

CONF = Path(__file__).resolve().parent.parent / "conf"


class ConfigError(ValueError):
    """A setting that cannot work; the message names the key."""


@dataclass(frozen=True)
class PathsConfig:
    """Folders of this machine. None of them is ever part of a key."""

    nih: str | None = None
    films: str | None = None
    chestxdet: str | None = None
    brixia: str | None = None
    cohen: str | None = None
    lungs: str | None = None
    outputs: str = "outputs"

    @property
    def store(self) -> Path:
        return Path(self.outputs) / "store"


@dataclass(frozen=True)
class PipelineConfig:
    """All settings of a run."""

    name: str = "demo"  # what the report calls this run
    seed: int = field(default=0, metadata={"least": 0})
    # Sums differ in their last bits between thread counts, so this is part of the keys of what
    # torch computes; `cores` is the number of cores that this process may use.
    threads: int = field(default=1, metadata={"least": 1})
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


def register() -> None:
    """Makes the typed tree and the resolvers ``cores`` and ``user_path`` known to Hydra.

    Raises
    ------
    ConfFileError
        For a file of conf/ that is refused.
    """
    check_conf(CONF)
    ConfigStore.instance().store(name="schema", node=open_schema())
    OmegaConf.register_new_resolver("cores", lambda: len(usable_cores()), replace=True)
    OmegaConf.register_new_resolver("user_path", lambda text: str(user_path(text)), replace=True)


def open_schema() -> DictConfig:
    """The typed tree, writable: OmegaConf makes frozen dataclasses read-only."""
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
        Where a value refers to something that does not exist.
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

    paths: Any = {
        name: expanded(f"paths.{name}", text) for name, text in asdict(config.paths).items()
    }
    init: Any = expanded("model.init", config.model.init)
    return replace(
        config, paths=replace(config.paths, **paths), model=replace(config.model, init=init)
    )


def _check_lists(value: object, key: str) -> None:
    """Raises ConfigError for a list that holds more than single values; OmegaConf accepts it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_lists(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        raise ConfigError(f"{key}: single values, not lists or settings within the list")


def spelled_out(overrides: Sequence[str]) -> list[str]:
    """``attribution.methods=all`` as a list: all that explain a classifier, a user's own too."""
    methods = ",".join((*CLASSIFIER_METHODS, *OWN_METHODS))
    return [
        f"attribution.methods=[{methods}]" if each == "attribution.methods=all" else each
        for each in overrides
    ]


def compose_config(overrides: Sequence[str]) -> PipelineConfig:
    """Composes ``conf/`` with command-line overrides, without starting a Hydra job.

    Raises ConfFileError, OverrideError or ConfigError, which say what to change.
    """
    register()
    overrides = spelled_out(overrides)
    check_overrides(overrides, SETTINGS, sweep=False)
    with in_one_line(SETTINGS), initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=overrides)
    return to_dataclass(composed, overrides)


def _check(config: PipelineConfig, named: set[str]) -> None:
    """``named``: the keys on the command line."""
    folders, methods = asdict(config.paths), config.attribution.methods
    problems = chain(
        field_problems(config),
        film_problems(config.dataset, config.evaluation, folders, named),
        training_problems(config.train, config.model.init, config.logger),
        attribution_problems(config.attribution),
        evaluation_problems(config.evaluation, config.dataset),
        brixia_problems(config.brixia, folders, named),
        executor_choice_problems(config.executor, methods, config.dataset.cohort),
    )
    for key, problem in problems:
        raise ConfigError(f"{key}: {problem}")


def section(config: Any) -> dict[str, Any]:
    """A settings dataclass as plain JSON values, for a key or a manifest."""
    plain = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    return cast(dict[str, Any], plain)
