"""A plan of few phantoms, of which single steps are made, by real films and a real network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig, compose_config
from pipeline.plan import before, plan_run
from pipeline.runner import obtain_all
from pipeline.step import Step
from pipeline.store import Store

OVERRIDES = (
    "experiment=smoke",
    "threads=1",
    "dataset.side=32",
    "dataset.phantom.num_train_val=20",
    "dataset.phantom.num_test=24",
    "dataset.phantom.side=64",
    "dataset.val_fraction=0.3",
    "train.pretrain_epochs=0",
    "train.epochs=3",
    "train.batch_size=6",
    "evaluation.max_images=6",
    "attribution.methods=[grad_cam]",
    "attribution.shard_size=2",
    "attribution.batch_size=2",
)
Progress = Callable[[int, int], None]


def plan(outputs: Path, *more: str) -> tuple[PipelineConfig, Store, dict[str, Step]]:
    config = compose_config([*OVERRIDES, f"paths.outputs={outputs}", *more])
    store = Store(outputs / "store")
    return config, store, {step.title: step for step in plan_run(config, store.digests).order}


def make(outputs: Path, title: str, seen: Progress | None = None, *more: str) -> None:
    """Makes one step and what it needs; ``seen`` is called with its progress."""
    config, store, steps = plan(outputs, *more)

    @contextmanager
    def progress_bar(now: str) -> Iterator[Progress]:
        yield seen if seen and now == title else lambda done, total: None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.runner.progress_bar", progress_bar)
        obtain_all(before(steps[title]), store, config)


def digests(outputs: Path, title: str, *more: str) -> dict[str, str]:
    """Of the files of a step that was made."""
    _, store, steps = plan(outputs, *more)
    artifact = store.find(steps[title].name, steps[title].key)
    assert artifact is not None
    return artifact.manifest["files"]


def published(outputs: Path, title: str) -> bool:
    _, store, steps = plan(outputs)
    return store.folder(steps[title].name, steps[title].key).exists()
