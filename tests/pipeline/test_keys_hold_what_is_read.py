"""Whatever setting a stage reads while it runs is part of its key: a tiny run of all of them."""

import re
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from pipeline.config import PipelineConfig, compose_config
from pipeline.executors.serial import SerialExecutor
from pipeline.keys import DigestCache
from pipeline.plan import plan_run
from pipeline.runner import obtain
from pipeline.store import Store
from tests.untrained import UNTRAINED

SETTINGS = (
    *(each for each in UNTRAINED if each not in ("brixia=none", "train.losses=[weighted_bce]")),
    # Other values than pre-training's own, so that what it reads is told from what it replaces.
    *("train.pretrain_epochs=1", "train.batch_norm=frozen", "train.learning_rate=0.01"),
    "attribution.methods=[grad_cam,random,inverse_iba,multilayer_iba]",
    "attribution.multilayer_iba.layers=[iba_block2,iba]",
    "attribution.multilayer_iba.thresholds=[1.0,1.1]",
    *(f"attribution.{method}.steps=1" for method in ("iba", "iba_block2", "inverse_iba")),
    *("attribution.statistics.num_images=4", "attribution.shard_size=4"),
    *("evaluation.max_images=4", "evaluation.bootstrap.resamples=10"),
    *(f"evaluation.{metric}.methods=[multilayer_iba]" for metric in ("twins", "sanity", "road")),
    *("evaluation.twins.max_samples=1", "evaluation.sanity.max_samples=1"),
    *("evaluation.sanity.layers=[classifier]", "evaluation.sanity.noise_draws=1"),
    *("evaluation.insertion_deletion.max_samples=1", "evaluation.sensitivity_n.max_samples=1"),
    *("evaluation.road.max_samples=1", "evaluation.claims.resamples=10"),
    *("brixia.phantom.num_films=60", "brixia.phantom.side=64", "brixia.lungs.side=32"),
    *("brixia.lungs.epochs=16", "brixia.max_samples=6", "brixia.max_severity_films=3"),
    "brixia.regression_methods=[gradient,regression_iba_dv]",
)
NO_RESULT = re.compile(r"paths\..*|executor\..*|logger|.*\.num_workers|(render|pack).*: threads")
"""Where and how something is computed: principle 5 of CONTRIBUTING."""
OF_OTHER_TRAININGS = re.compile(
    r".*(train|detector|regressor)\.(losses|primary|pretrain_epochs|pretrain_learning_rate)"
    r"|(?!.* weighted_bce).*\.pos_weight(_max)?"
)
"""A recipe is read whole, to compare it with that of a checkpoint to go on from."""
CHOOSES_STAGES = ("dataset.source", "brixia.source", "brixia.test", "brixia.lungs.source")
"""With another value the plan has other stages, of other names or inputs."""


def recording(config: Any, seen: set[str], above: str = "") -> Any:
    """The same settings, which add to ``seen`` the dotted key of each that is read."""
    values = {
        each.name: recording(value, seen, f"{above}{each.name}.") if is_dataclass(value) else value
        for each in fields(config)
        for value in [getattr(config, each.name)]
    }

    def read(self: Any, name: str) -> Any:
        value = object.__getattribute__(self, name)
        # ``replace`` makes others of the same type, whose own values are no settings.
        if name in values and value is values[name] and not is_dataclass(value):
            seen.add(above + name)
        return value

    kind = type(config)
    result = object.__new__(type(kind.__name__, (kind,), {"__getattribute__": read}))
    for name, value in values.items():
        object.__setattr__(result, name, value)
    return result


def with_another(config: Any, key: str) -> Any:
    """``config`` with another value at a dotted key."""
    name, _, below = key.partition(".")
    value = getattr(config, name)
    if below:
        other = with_another(value, below)
    elif isinstance(value, bool):
        other = not value
    elif isinstance(value, Enum):
        other = next((each for each in type(value) if each is not value), value)
    elif isinstance(value, list):
        other = value[::-1] if len(value) > 1 else value * 2
    else:
        other = "imagenet" if isinstance(value, str) else 7 if value is None else value + 1
    return replace(config, **{name: other})


def keys_of(config: PipelineConfig, folder: Path) -> dict[str, str]:
    digests = DigestCache(folder / "digests.sqlite")
    try:
        return {stage.title: stage.key for stage in plan_run(config, digests).order}
    finally:
        digests.close()


def test_what_a_stage_reads_is_in_its_key(tmp_path, monkeypatch):
    for module in ("render", "scored_films"):  # workers would be sent what cannot be pickled
        monkeypatch.setattr(f"pipeline.stages.{module}.available_cores", lambda: 1)
    config, seen = compose_config(SETTINGS), set[str]()
    recorded, store = recording(config, seen), Store(tmp_path)
    executor = SerialExecutor(config.executor)
    read = {}
    for stage in plan_run(recorded, store.digests).order:
        seen.clear()
        obtain(stage, store, recorded, executor, wait=True)
        read[stage.title] = seen - {*CHOOSES_STAGES}
    store.digests.close()
    assert sum(map(len, read.values())) > 100
    assert not missing_from_keys(config, read, tmp_path)


def missing_from_keys(config: PipelineConfig, read: dict[str, set[str]], folder: Path) -> list[str]:
    """``<stage>: <setting>`` for all that is read and whose other value leaves the key as it is."""
    before = keys_of(config, folder)
    others = {key: with_another(config, key) for key in set[str]().union(*read.values())}
    after = {key: keys_of(other, folder) for key, other in others.items() if other != config}
    same = (
        f"{title}: {key}"
        for title, keys in read.items()
        for key in keys & after.keys()
        if after[key].get(title) == before[title]
    )
    return sorted(
        each
        for each in same
        if not OF_OTHER_TRAININGS.fullmatch(each)
        and not NO_RESULT.fullmatch(each)
        and not NO_RESULT.fullmatch(each.split(": ")[1])
    )
