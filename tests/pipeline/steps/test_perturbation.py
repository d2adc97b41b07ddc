"""What the model answers is measured under keys that hold all settings of one method's result."""

import pickle
from dataclasses import dataclass, replace

import pytest

from attribution.config import IBAConfig, Score, StatisticsConfig
from evaluation.config import (
    EqualAreaConfig,
    InsertionDeletionConfig,
    ROADConfig,
    SanityConfig,
)
from pipeline.step import UserFiles
from pipeline.steps.explainer import Explainer
from pipeline.steps.perturbation import EqualArea, InsertionDeletion, OwnMetric, Road
from pipeline.steps.sanity import Sanity

FILES = {name: UserFiles(name, name) for name in ("model", "pack", "samples", "maps")}
ENDS = UserFiles("ends", "ends")
IBA = Explainer("iba", IBAConfig(), {}, Score.logit)


@dataclass
class KeptConfig:
    share: float = 0.1


def sanity(config):
    return Sanity(
        **FILES,
        train_index=UserFiles("train_index", "train_index"),
        train_pack=UserFiles("train_pack", "train_pack"),
        explainer=IBA,
        config=config,
        statistics=StatisticsConfig(),
        seed=0,
        threads=1,
    )


def road(config):
    return Road(**FILES, config=config, threads=1)


@pytest.mark.parametrize(
    ("step", "config"),
    [(road, ROADConfig()), (sanity, SanityConfig())],
)
def test_the_other_methods_that_are_measured_are_in_no_key(step, config):
    assert step(replace(config, methods=["lrp"])).key == step(config).key
    assert step(replace(config, max_samples=3)).key != step(config).key


def test_each_step_has_its_settings_batches_and_threads_in_its_key():
    steps = [
        InsertionDeletion(**FILES, ends=ENDS, config=InsertionDeletionConfig(), threads=1),
        EqualArea(**FILES, config=EqualAreaConfig(), threads=1),
        road(ROADConfig()),
        OwnMetric(**FILES, metric="kept", settings=KeptConfig(), threads=1),
        OwnMetric(**FILES, metric="kept", settings=KeptConfig(0.2), threads=1),
        OwnMetric(**FILES, metric="left", settings=KeptConfig(), threads=1),
    ]
    others = [replace(step, **{name: 3}) for step in steps for name in ("shard", "threads")]
    assert len({step.key for step in (*steps, *others)}) == 3 * len(steps)


def test_only_what_costs_much_is_measured_on_some_of_the_samples():
    limited = InsertionDeletionConfig(max_samples=5)
    assert InsertionDeletion(**FILES, ends=ENDS, config=limited, threads=1).max_samples == 5
    assert road(ROADConfig(max_samples=6)).max_samples == 6
    assert EqualArea(**FILES, config=EqualAreaConfig(), threads=1).max_samples is None


def test_a_step_comes_to_a_worker_with_its_key():
    step = sanity(SanityConfig())
    assert pickle.loads(pickle.dumps(step)).key == step.key
