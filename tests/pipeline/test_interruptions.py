"""Training, attribution and packing on real steps: killed, stopped, out of room, then gone on."""

import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.interrupts import stop_on_signals
from pipeline.runner import StepFailedError
from tests.pipeline.small_plan import OVERRIDES, digests, make, published

ROOT = Path(__file__).resolve().parents[2]


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
    make(outputs, "maps findings grad_cam")
    return outputs


def copy_of(uninterrupted: Path, outputs: Path, without: tuple[str, ...]) -> None:
    """Another store with the same artifacts but some."""
    (outputs / "store").mkdir()
    for path in (uninterrupted / "store").iterdir():
        if path.is_dir() and path.name not in without:
            shutil.copytree(path, outputs / "store" / path.name)


def test_training_that_is_killed_stopped_and_out_of_room_ends_in_the_same_bytes(
    tmp_path, uninterrupted, room, stopped_by_signals, capsys
):
    copy_of(uninterrupted, tmp_path, without=("train", "prediction", "statistics", "maps"))
    done: list[int] = []

    def full_from_the_start(now: int, total: int) -> None:
        room(1 << 20)

    disk = re.escape(
        f"train findings weighted_bce: cannot write to the disk of {tmp_path / 'store'}"
    )
    with pytest.raises(StepFailedError, match=disk):
        make(tmp_path, "train findings weighted_bce", full_from_the_start)
    room(0)
    assert not published(tmp_path, "train findings weighted_bce")

    code = (
        "import os, sys; from pathlib import Path;"
        "from tests.pipeline.small_plan import make;"
        "make(Path(sys.argv[1]), 'train findings weighted_bce',"
        " lambda done, total: os.kill(os.getpid(), 9) if done > total // 3 else None)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not published(tmp_path, "train findings weighted_bce")

    def terminate(now: int, total: int) -> None:
        done.append(now)
        if now > 2 * total // 3:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as caught:
        make(tmp_path, "train findings weighted_bce", terminate)
    assert caught.value.code == 143
    assert "stopped by SIGTERM" in capsys.readouterr().out
    make(tmp_path, "train findings weighted_bce", lambda now, total: done.append(now))
    batches = done[-1] // 3
    assert done == [*range(batches + 1, 2 * batches + 2), *range(2 * batches + 1, 3 * batches + 1)]
    assert digests(tmp_path, "train findings weighted_bce") == digests(
        uninterrupted, "train findings weighted_bce"
    )


def test_packing_out_of_room_ends_the_command_with_code_1_and_names_the_disk(
    tmp_path, uninterrupted
):
    copy_of(uninterrupted, tmp_path, without=("pack", "train", "prediction", "statistics", "maps"))
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
    assert f"error: pack findings: cannot write to the disk of {tmp_path / 'store'}" in said
    assert not published(tmp_path, "pack findings")
    assert not list((tmp_path / "store").rglob("*.tmp"))
    make(tmp_path, "pack findings")
    assert digests(tmp_path, "pack findings") == digests(uninterrupted, "pack findings")


def test_local_workers_pack_and_explain_to_the_bytes_of_one_process(tmp_path, uninterrupted):
    copy_of(uninterrupted, tmp_path, without=("pack", "maps"))
    make(tmp_path, "maps findings grad_cam", None, "executor=local", "executor.workers=2")
    for title in ("pack findings", "maps findings grad_cam"):
        assert digests(tmp_path, title) == digests(uninterrupted, title)
