"""Every experiment composes; a wrong setting fails at once and is named."""

import re
import shlex
from itertools import product
from pathlib import Path

import pytest

from attribution.config import AUTO, METHODS, OWN_METHODS, AttributionConfig, required_taps
from pipeline.config import (
    CONF,
    ConfigError,
    compose_config,
    register,
    to_dataclass,
)

GROUPS = ("dataset", "model", "train", "attribution", "evaluation", "brixia", "executor", "paths")


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


CASES = [
    (experiment, group, option)
    for experiment, group in product(options("experiment"), GROUPS)
    for option in options(group)
]


@pytest.mark.parametrize(("experiment", "group", "option"), CASES)
def test_every_experiment_composes_with_every_option_of_every_group(experiment, group, option):
    overrides = [f"experiment={experiment}", f"{group}={option}"]
    films = option if group == "dataset" else experiment
    if films in ("nih", "films", "brixia", "paper", "chestxdet"):
        overrides.append("paths.nih=/data/nih")
    if experiment == "chestxdet":
        overrides.append("paths.chestxdet=/data/chestxdet")
    scored = option if group == "brixia" else experiment
    if scored in ("files", "brixia", "paper"):
        overrides += ["paths.brixia=/data/brixia", "paths.lungs=/data/lungs"]
    if option == "published_code":
        overrides.append("dataset.side=224")
    assert compose_config(overrides).name == experiment


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("train.epochz=3", "epochz"),
        ("train.epochs=many", "epochs"),
        ("attribution.iba.beta=strong", r"attribution.iba.beta: a number or auto, not 'strong'"),
        ("attribution.inverse_iba.beta=-1", "attribution.inverse_iba.beta: at least 0"),
        ("attribution.operating_points.lowest=0", "attribution.operating_points.lowest"),
        ("dataset.side=112", "dataset.side: 112 is no multiple of 32: take 96 or 128"),
        ("dataset.source=clouds", "source"),
        ("trains.epochs=3", "trains"),
        ("attribution.methods=[iba,ibaa]", "ibaa"),
        ("attribution.methods=[iba,iba]", "attribution.methods"),
        ("attribution.methods=[iba,[iba]]", "attribution.methods: single values"),
        ("train.losses=[{bce:1}]", "train.losses: single values"),
        ("attribution.methods=[regression_iba_dv]", "regression_iba_dv"),
        ("attribution=phantom_fast attribution.iba.noise_samples=3", "noise_samples: even"),
        ("attribution.methods=any", "attribution.methods"),
        ("attribution.occlusion.window=1", "attribution.occlusion.window: between 0 and 1"),
        ("attribution.rise.masks=1", "attribution.rise.masks: at least 2"),
        ("attribution.smooth_grad.noise=0", "attribution.smooth_grad.noise: between 0 and 1"),
        ("attribution.multilayer_iba.layers=[iba,gradient]", "gradient"),
        ("attribution.multilayer_iba.thresholds=[1.0]", "attribution.multilayer_iba.thresholds"),
        ("train.losses=[bce]", "train.primary"),
        ("evaluation.findings=[Mas]", "evaluation.findings"),
        ("evaluation=published_code dataset.side=192", "dataset.side"),
        ("evaluation.sensitivity_n.fractions=[0.1,1.0]", "evaluation.sensitivity_n.fractions"),
        ("evaluation.sensitivity_n.sizes=published_code dataset.side=192", "dataset.side: 192"),
        ("evaluation.max_images=1", "evaluation.max_images"),
        ("dataset.num_labels=9", "dataset.num_labels"),
        ("evaluation.bootstrap.confidence=1", "confidence: between 0 and 1, exclusive, not 1"),
        ("evaluation.metrics=[localisation]", "evaluation.metrics: unknown localisation"),
        ("executor=local executor.workers=0", "executor.workers: at least 1, or null, not 0"),
        ("train.processes=0", "train.processes: at least 1"),
        ("train.processes=3", "train.batch_size: 16 films of a step do not divide into 3 parts"),
        ("train.accumulate=16", "train.batch_size: .* batch norm needs at least 2"),
        ("brixia.detector.accumulate=3", "brixia.detector.batch_size"),
        ("brixia.detector.processes=2", "processes"),
        ("experiment=nih paths.nih=/nih model.init=random train.batch_norm=frozen", "batch_norm"),
        ("threads=0", "threads"),
        ("seed=-1", "seed"),
        ("experiment=nih", "paths.nih"),
        ("paths.nih=/data/nih", "experiment=nih"),
        ("experiment=chestxdet paths.nih=/nih", "paths.chestxdet: .*ChestX_Det_train.*github"),
        ("paths.chestxdet=/data/chestxdet", "add experiment=chestxdet"),
        ("brixia=files", "paths.brixia"),
        ("brixia.test=cohen", "paths.cohen"),
        ("brixia.lungs.source=pairs", "paths.lungs"),
        ("brixia.lungs.source=masks", "a mask for every test film"),
        ("paths.lungs=/data/lungs", "add brixia.lungs.source=pairs or masks"),
        ("evaluation.metrics=[zone_drops]", "evaluation.metrics: unknown zone_drops"),
        ("evaluation.max_several_lesions=1", "evaluation.max_several_lesions"),
        ("brixia.lungs.side=100", "brixia.lungs.side"),
        ("brixia.detector.horizontal_flip=true", "brixia.detector.horizontal_flip"),
        ("brixia.detector.losses=[bce]", "brixia.detector.primary"),
        ("brixia.regression_methods=[iba]", "brixia.regression_methods: iba"),
        ("brixia.regression_methods=[]", "brixia.regression_methods"),
    ],
)
def test_a_wrong_setting_fails_at_once_and_is_named(override, named):
    with pytest.raises(Exception, match=named):
        compose_config(override.split())


def test_paths_in_files_may_be_more_than_an_experiment_reads():
    from hydra import compose, initialize_config_dir

    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config")
    composed.paths.nih = "/data/nih"  # as conf/local/default.yaml says it
    assert to_dataclass(composed, []).paths.nih == "/data/nih"


def test_a_logger_that_is_not_installed_names_the_extra(monkeypatch):
    monkeypatch.setattr("pipeline.config_checks.find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=r"logger: mlflow is not installed: .*EXTRAS=loggers"):
        compose_config(["logger=mlflow"])
    assert compose_config(["logger=csv"]).logger.value == "csv"


def test_the_known_methods_are_those_of_the_attribution_wing():
    from attribution.methods import METHODS as implemented

    assert set(METHODS) == set(implemented)


def test_all_methods_are_those_that_explain_a_classifier_with_a_users_own(monkeypatch):
    monkeypatch.setitem(OWN_METHODS, "tiles", None)
    methods = compose_config(["attribution.methods=all"]).attribution.methods
    left = set(METHODS) - set(methods)
    assert left == {"regression_iba_mse", "regression_iba_rm", "regression_iba_dv"}
    assert set(methods) - set(METHODS) == {"tiles"}
    assert len(compose_config([]).attribution.methods) == 10  # the paper's, and controls


def test_each_metric_of_the_configuration_has_its_steps():
    from evaluation.config import Metric
    from pipeline.measures import METRICS

    assert METRICS.keys() == {*Metric, "severity"}


def test_only_bottleneck_methods_ask_for_statistics():
    config = AttributionConfig()
    for method in METHODS:
        assert bool(required_taps(method, config)) == ("iba" in method)


def test_composing_costs_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from pipeline.config import compose_config; compose_config([]);"
        " import pipeline.plan; sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


PAGES = [("README.md", 4), ("docs/running.md", 6), ("docs/scaling.md", 12)]


@pytest.mark.parametrize(("page", "commands"), PAGES)
def test_every_run_that_the_pages_show_composes(page, commands):
    text = (CONF.parent / page).read_text(encoding="utf-8").replace("\\\n", " ")
    runs = re.findall(r"^\.venv/bin/python -m pipeline (.*)$", text, re.M)
    runs += re.findall(r'^make reproduce ARGS="(.*?)"', text, re.M)
    one_run = [run for run in (shlex.split(run, comments=True) for run in runs) if "-m" not in run]
    assert len(one_run) == commands
    for overrides in one_run:
        compose_config([each for each in overrides if not each.startswith("logger=")])


def test_phantoms_ask_for_operating_points_and_a_number_on_the_command_line_overrides():
    config = compose_config([]).attribution
    bottlenecks = [method for method in METHODS if hasattr(getattr(config, method), "beta")]
    assert len(bottlenecks) == 7
    assert {getattr(config, method).beta for method in bottlenecks} == {AUTO}
    config = compose_config(["attribution.iba.beta=20"]).attribution
    assert (config.iba.beta, config.inverse_iba.beta) == (20.0, AUTO)
    assert isinstance(config.iba.beta, float)  # of one value one key


def test_real_films_keep_the_published_betas_unless_auto_is_asked_for():
    real = ["experiment=nih", "paths.nih=/data/nih"]
    config = compose_config(real).attribution
    assert (config.iba.beta, config.inverse_iba.beta) == (10.0, 30.0)
    assert compose_config([*real, "attribution.iba.beta=auto"]).attribution.iba.beta == AUTO
