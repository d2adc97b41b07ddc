"""The processes of a training that die, fail, fill the disk and are stopped; then a whole step."""

import errno
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from models.process_group import Rank
from models.training import TrainResult
from models.training_loop import OnProgress
from pipeline.disk import FullDiskError
from pipeline.interrupts import stop_on_signals
from pipeline.runner import StepFailedError
from pipeline.step import Machine
from pipeline.training_processes import train_in_processes
from tests.pipeline.small_plan import digests, make

TRAIN = "train findings bce"
CPU = torch.device("cpu")


@pytest.fixture
def imported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes come from one that has imported torch, in place of each importing it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["models.training"])
    monkeypatch.setattr("pipeline.training_processes._CONTEXT", context)


@pytest.fixture(autouse=True)
def _none_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


def work(what: str, rank: Rank, on_progress: OnProgress | None) -> TrainResult:
    """Two processes; the second meets what ``what`` says while the first waits for it."""
    second = rank.number == 1
    if on_progress is not None:
        on_progress(1, 2, 3, 4, {"train_loss": 0.5})
    if what == "nothing":
        return TrainResult(pd.DataFrame({"rank": [rank.number], "of": [rank.of]}), best_epoch=1)
    if what == "fails" and second:
        raise ValueError("no such film")
    if what == "finds no room" and second:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if what == "is killed":
        with rank.joined(CPU):
            if second:
                os.kill(os.getpid(), signal.SIGKILL)
            rank.gathered(0)  # which gloo ends with an error of its own
    signal.pause()
    raise AssertionError


def run(what: str, told: OnProgress = lambda *_: None) -> TrainResult:
    return train_in_processes(partial(work, what), 2, 1, Machine(Path("outputs"), "cpu"), told)


def test_the_first_process_tells_its_progress_and_the_result(imported_once):
    seen: list[tuple[object, ...]] = []
    result = run("nothing", lambda *told: seen.append(told))
    assert seen == [(1, 2, 3, 4, {"train_loss": 0.5})]
    assert result.history.to_dict("records") == [{"rank": 0, "of": 2}]


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("fails", RuntimeError, "rank 1 of train.processes=2: ValueError: no such film. Finished"),
        ("is killed", RuntimeError, "rank 1 of train.processes=2: its process ended with code -9"),
        ("finds no room", FullDiskError, "cannot write to the disk of"),
    ],
)
def test_a_process_that_fails_or_dies_ends_all_and_is_named(
    imported_once, tmp_path, what, error, message
):
    with pytest.raises(error, match=message):
        run(what)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_run_ends_all_with_its_code(imported_once, capsys, number, code):
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    stop_on_signals()
    try:
        with pytest.raises(SystemExit) as caught:
            run("waits", lambda *_: signal.raise_signal(number))
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    assert caught.value.code == code
    assert f"stopped by {number.name}" in capsys.readouterr().out


@pytest.mark.parametrize(("device", "message"), [("cuda", "2 with a GPU each, but 1"), ("mps", "")])
def test_more_processes_than_devices_are_refused(monkeypatch, device, message):
    monkeypatch.setattr("models.device.resolve_device", lambda name: torch.device(device))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ValueError, match=f"train.processes: {message}"):
        run("nothing")


TWO = ("train.epochs=2", "train.processes=2", "executor.device=cpu")


def test_a_step_on_two_processes_of_which_one_is_killed_ends_in_the_same_bytes(tmp_path, request):
    make(tmp_path / "whole", TRAIN, None, *TWO)  # by processes started as a run starts them
    request.getfixturevalue("imported_once")
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "store" / "train")
    done: list[int] = []

    def kill_the_second(now: int, total: int) -> None:
        done.append(now)
        if now > total // 2:
            os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)

    named = r"train findings bce: rank [01] of train\.processes=2: its process ended with code -9"
    with pytest.raises(StepFailedError, match=named):
        make(tmp_path / "again", TRAIN, kill_the_second, *TWO)

    make(tmp_path / "again", TRAIN, lambda now, total: done.append(now), *TWO)
    batches = done[-1] // 2
    assert done == [*range(1, batches + 2), *range(batches + 1, 2 * batches + 1)]
    undisturbed, resumed = (digests(tmp_path / name, TRAIN, *TWO) for name in ("whole", "again"))
    assert resumed == undisturbed
