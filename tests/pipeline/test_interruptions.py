"""Training, attribution and packing on real stages: killed, stopped, out of room, then gone on."""

import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig, compose_config
from pipeline.graph import Stage
from pipeline.interrupts import stop_on_signals
from pipeline.plan import Plan, plan_run
from pipeline.runner import StageFailedError, obtain_all
from pipeline.store import Store

ROOT = Path(__file__).resolve().parents[2]
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


def plan(outputs: Path, *more: str) -> tuple[PipelineConfig, Store, dict[str, Stage]]:
    config = compose_config([*OVERRIDES, f"paths.outputs={outputs}", *more])
    store = Store(outputs / "store")
    return config, store, {stage.title: stage for stage in plan_run(config, store.digests).order}


def make(outputs: Path, title: str, seen: Progress | None = None, *more: str) -> None:
    """Makes one stage and what it needs; ``seen`` is called with its progress."""
    config, store, stages = plan(outputs, *more)

    @contextmanager
    def stage_progress(now: str) -> Iterator[Progress]:
        yield seen if seen and now == title else lambda done, total: None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.runner.stage_progress", stage_progress)
        obtain_all(Plan.before(stages[title]), store, config)


def digests(outputs: Path, title: str) -> dict[str, str]:
    _, store, stages = plan(outputs)
    artifact = store.find(stages[title].name, stages[title].key)
    assert artifact is not None
    return artifact.manifest["files"]


def published(outputs: Path, title: str) -> bool:
    _, store, stages = plan(outputs)
    return store.folder(stages[title].name, stages[title].key).exists()


@pytest.fixture
def room() -> Iterator[Callable[[int], None]]:
    """Sets how long a file may become: beyond it, writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size or soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def stopped_by_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    stop_on_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("uninterrupted")
    make(outputs, "attribute grad_cam")
    return outputs


def copy_of(uninterrupted: Path, outputs: Path, without: tuple[str, ...]) -> None:
    """Another store with the same artifacts but some."""
    (outputs / "store").mkdir()
    for path in (uninterrupted / "store").iterdir():
        if path.is_dir() and path.name not in without:
            shutil.copytree(path, outputs / "store" / path.name)


def test_training_that_is_killed_stopped_and_out_of_room_ends_in_the_same_bytes(
    tmp_path: Path,
    uninterrupted: Path,
    room: Callable[[int], None],
    stopped_by_signals: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy_of(uninterrupted, tmp_path, without=("train", "predict", "statistics", "attribute"))
    done: list[int] = []

    def full_from_the_start(now: int, total: int) -> None:
        room(1 << 20)

    disk = re.escape(f"train weighted_bce: cannot write to the disk of {tmp_path / 'store'}")
    with pytest.raises(StageFailedError, match=disk):
        make(tmp_path, "train weighted_bce", full_from_the_start)
    room(0)
    assert not published(tmp_path, "train weighted_bce")

    code = (
        "import os, sys; from pathlib import Path;"
        "from tests.pipeline.test_interruptions import make;"
        "make(Path(sys.argv[1]), 'train weighted_bce',"
        " lambda done, total: os.kill(os.getpid(), 9) if done > total // 3 else None)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not published(tmp_path, "train weighted_bce")

    def terminate(now: int, total: int) -> None:
        done.append(now)
        if now > 2 * total // 3:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as caught:
        make(tmp_path, "train weighted_bce", terminate)
    assert caught.value.code == 143
    assert "stopped by SIGTERM" in capsys.readouterr().out
    make(tmp_path, "train weighted_bce", lambda now, total: done.append(now))
    batches = done[-1] // 3
    assert done == [*range(batches + 1, 2 * batches + 2), *range(2 * batches + 1, 3 * batches + 1)]
    assert digests(tmp_path, "train weighted_bce") == digests(uninterrupted, "train weighted_bce")


def test_attribution_out_of_room_keeps_whole_shards_and_ends_in_the_same_bytes(
    tmp_path: Path, uninterrupted: Path, room: Callable[[int], None]
) -> None:
    copy_of(uninterrupted, tmp_path, without=("attribute",))

    def full_after_the_first_shard(now: int, total: int) -> None:
        room(1 << 10)

    with pytest.raises(StageFailedError, match="attribute grad_cam: cannot write to the disk"):
        make(tmp_path, "attribute grad_cam", full_after_the_first_shard)
    room(0)
    _, store, _ = plan(tmp_path)
    (workspace,) = store.workspaces()
    assert [path.name for path in (workspace / "shards").iterdir()] == ["00000"]
    make(tmp_path, "attribute grad_cam")
    assert digests(tmp_path, "attribute grad_cam") == digests(uninterrupted, "attribute grad_cam")


def test_packing_out_of_room_ends_the_command_with_code_1_and_names_the_disk(
    tmp_path: Path, uninterrupted: Path
) -> None:
    copy_of(
        uninterrupted, tmp_path, without=("pack", "train", "predict", "statistics", "attribute")
    )
    arguments = [*OVERRIDES, f"paths.outputs={tmp_path}", "dataset.side=64"]
    failed = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (80_000, 80_000)),
    )
    said = failed.stdout.replace("\n", " ")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert f"error: pack: cannot write to the disk of {tmp_path / 'store'}" in said
    assert not published(tmp_path, "pack")
    assert not list((tmp_path / "store").rglob("*.tmp"))
    make(tmp_path, "pack")
    assert digests(tmp_path, "pack") == digests(uninterrupted, "pack")


def test_local_workers_pack_and_explain_to_the_bytes_of_one_process(
    tmp_path: Path, uninterrupted: Path
) -> None:
    copy_of(uninterrupted, tmp_path, without=("pack", "attribute"))
    make(tmp_path, "attribute grad_cam", None, "executor=local", "executor.workers=2")
    for title in ("pack", "attribute grad_cam"):
        assert digests(tmp_path, title) == digests(uninterrupted, title)
