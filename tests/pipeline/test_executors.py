"""Every executor on toy shards: the same bytes, whatever befalls its workers."""

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from pipeline.config import compose_config
from pipeline.executors.base import Failure, Job, Ledger, PiecesMissingError, SerialExecutor
from pipeline.executors.config import ExecutorConfig, ExecutorName
from pipeline.executors.local import core_groups
from pipeline.executors.opening import open_executor
from pipeline.plan import plan_run
from pipeline.runner import StepFailedError, imports_of_workers
from pipeline.store import Store
from tests.pipeline.toy_graph import (
    ROWS,
    SHARD,
    Recorded,
    computed,
    contents,
    graph,
    make,
    start,
    wait_for,
)

ONCE = {f"work {variant}/{shard}": 1 for variant in "ab" for shard in range(ROWS // SHARD)}


def needs(package: str) -> pytest.MarkDecorator:
    there = importlib.util.find_spec(package) is not None
    extra = {"submitit": "slurm"}.get(package, package)
    reason = f"{package} is not installed (make setup EXTRAS={extra})"
    return pytest.mark.skipif(not there, reason=reason)


def engine(name: ExecutorName, **settings: object) -> ExecutorConfig:
    """Two workers; Slurm rehearsed with processes of this machine."""
    if name is ExecutorName.slurm:
        settings = {"cluster": "local", "jobs": 2, **settings}
    else:
        settings = {"workers": 2, **settings}
    return ExecutorConfig(name=name, device="cpu", **settings)  # type: ignore[arg-type]


ENGINES = [
    pytest.param(ExecutorName.local, id="local"),
    pytest.param(ExecutorName.slurm, id="slurm", marks=needs("submitit")),
    pytest.param(ExecutorName.ray, id="ray", marks=[needs("ray"), pytest.mark.ray]),
]


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the run makes in one process."""
    outputs = tmp_path_factory.mktemp("serial")
    make(outputs, graph())
    return contents(outputs)


@pytest.mark.parametrize("name", ENGINES)
def test_shards_whose_workers_die_hang_and_fail_are_tried_again_reported_and_gone_on_with(
    tmp_path, name, serial
):
    faults = (("work a/1", "is killed", 1), ("work a/2", "hangs", 1), ("work a/3", "fails", 2))
    executor = engine(name, timeout=6)
    said = r"^work a: missing shards, tried 2 times: 3 \(ValueError: no such film\)\."
    with pytest.raises(StepFailedError, match=said):
        make(tmp_path, graph(hook=Recorded(tmp_path, faults)), executor)
    (workspace,) = Store(tmp_path / "store").workspaces()
    left = sorted(path.name for path in (workspace / "shards").iterdir() if not path.suffix)
    assert left == ["00000", "00001", "00002", "00004"]
    make(tmp_path, graph(hook=Recorded(tmp_path)), executor)
    assert computed(tmp_path) == {**ONCE, "work a/1": 2, "work a/2": 2, "work a/3": 3}
    assert contents(tmp_path) == serial


@needs("submitit")
def test_what_a_dead_slurm_job_left_is_submitted_again(tmp_path, serial):
    hook = Recorded(tmp_path, (("work a/2", "takes its parent along", 1),))
    make(tmp_path, graph(hook=hook), engine(ExecutorName.slurm))
    assert contents(tmp_path) == serial
    assert computed(tmp_path)["work a/2"] == 2


@needs("submitit")
@pytest.mark.parametrize(("done_before", "again"), [((0, 1), [2, 3]), ((), [0, 1, 2, 3])])
def test_a_slurm_job_that_dies_costs_a_try_only_where_it_did_nothing(tmp_path, done_before, again):
    from submitit.core.utils import UncompletedJobError

    from pipeline.executors.slurm import _settle

    class Dead:
        job_id, state = "7", "TIMEOUT"

        def result(self) -> None:
            raise UncompletedJobError("no output")

    for number in done_before:
        (tmp_path / str(number)).touch()
    done: list[int] = []
    ledger = Ledger([], 1, 10, done.append)
    _settle(Dead(), job(tmp_path), range(4), 4, ledger)  # type: ignore[arg-type]
    assert done == list(done_before)
    assert list(ledger.waiting) == again
    for number in again:
        ledger.settle(number, Failure("once more"))
    assert bool(ledger.failed) == (not done_before)


def test_workers_die_with_a_run_that_is_killed_and_the_next_run_goes_on(tmp_path, serial):
    run = start(tmp_path, "work a/1", "local")
    wait_for(tmp_path / "reached", run)
    run.kill()
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    again = start(tmp_path, "", "local")
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert contents(tmp_path) == serial
    for line in (tmp_path / "computed.txt").read_text().splitlines():
        wait_for_end(int(line.split()[0]))


def wait_for_end(worker: int) -> None:
    """Until the system has forgotten the process, an orphan whom it reaps when it gets to it."""
    limit = time.monotonic() + 60
    with suppress(ProcessLookupError):
        while time.monotonic() < limit:
            os.kill(worker, 0)
            time.sleep(0.02)
        pytest.fail(f"process {worker} outlives the run whose worker it was")


def done_by(folder: Path, broken: tuple[int, ...]) -> Callable[[int], None]:
    def do(number: int) -> None:
        if number in broken:
            raise ValueError(f"piece {number}")
        (folder / str(number)).touch()

    return do


def is_done(folder: Path, number: int) -> bool:
    return (folder / str(number)).exists()


def job(folder: Path, broken: tuple[int, ...] = ()) -> Job:
    return Job(folder, partial(done_by, folder, broken), partial(is_done, folder))


def test_a_step_whose_shards_keep_failing_is_given_up(tmp_path):
    executor = SerialExecutor(ExecutorConfig(retries=0, max_failed=2))
    done: list[int] = []
    with pytest.raises(
        PiecesMissingError, match=r"3 \(ValueError: piece 3\); 4 \(ValueError"
    ) as caught:
        executor.run(job(tmp_path, (3, 4)), range(100), done.append)
    assert done == [0, 1, 2]
    assert list(caught.value.failed) == [3, 4]
    assert "95 others were given up after so many failures" in str(caught.value)


def test_a_piece_that_is_there_is_not_done_again(tmp_path):
    (tmp_path / "1").touch()
    done: list[int] = []
    SerialExecutor(ExecutorConfig()).run(job(tmp_path, (1,)), [0, 1], done.append)
    assert done == [0, 1]


def test_core_groups_share_out_every_core_once():
    cores = core_groups(1)[0]
    for count in range(1, len(cores) + 1):
        groups = core_groups(count)
        assert sorted(core for group in groups for core in group) == cores
        assert max(map(len, groups)) - min(map(len, groups)) <= 1
    assert core_groups(len(cores) + 1) == [cores] * (len(cores) + 1)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["executor.workers=2"], "executor.workers: is not read by executor=serial"),
        (["executor=local", "executor.address=auto"], "executor.address: is not read"),
        (["executor=local", "executor.timeout=0"], "executor.timeout: more than 0"),
    ],
)
def test_a_setting_that_the_executor_cannot_use_is_named(overrides, named):
    with pytest.raises(ValueError, match=named):
        compose_config(overrides)


def test_an_engine_that_is_not_installed_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "pipeline.executors.ray", raising=False)
    with (
        pytest.raises(ModuleNotFoundError, match="make setup EXTRAS=ray"),
        open_executor(ExecutorConfig(name=ExecutorName.ray), 1, tmp_path),
    ):
        pass


def test_workers_have_torch_imported_where_a_step_computes_with_a_model(tmp_path):
    order = plan_run(compose_config(["experiment=smoke"]), Store(tmp_path).digests).order
    assert imports_of_workers(order) == ["pipeline.steps.loaded_model"]
    assert imports_of_workers(graph()) == []
