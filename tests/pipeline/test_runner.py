"""Runs that are killed, stopped, started twice, that fill the disk or find damage: toy steps."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipeline.runner import StepFailedError, finish_run, obtain_all, record_plan, run_record
from pipeline.step import Work
from pipeline.store import MANIFEST, RESUME, Store, read_manifest
from tests.pipeline.toy_graph import (
    ROWS,
    SHARD,
    Toy,
    computed,
    config,
    contents,
    graph,
    make,
    start,
    wait_for,
)

SHARDS = ROWS // SHARD


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("uninterrupted")
    make(outputs, graph())
    return outputs


def test_a_run_killed_in_a_shard_goes_on_at_that_shard_and_ends_in_the_same_bytes(
    tmp_path: Path, uninterrupted: Path
) -> None:
    process = start(tmp_path, "work b/3")
    wait_for(tmp_path / "reached", process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    again = start(tmp_path)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    once = {f"work {variant}/{shard}": 1 for variant in "ab" for shard in range(SHARDS)}
    assert computed(tmp_path) == {**once, "work b/3": 2}
    assert contents(tmp_path) == contents(uninterrupted)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_with_its_code_one_line_and_no_lock_held(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = start(tmp_path, "work a/1")
    wait_for(tmp_path / "reached", process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == code
    assert f"stopped by {number.name}; the same command goes on" in output
    assert "Traceback" not in output
    step, store = graph()[1], Store(tmp_path / "store")
    with store.lock(step.name, step.key, wait=False):
        left = store.workspace(step.name, step.key) / "shards"
        assert [path.name for path in left.iterdir()] == ["00000"]


def test_two_processes_that_start_the_same_run_share_its_steps(
    tmp_path: Path, uninterrupted: Path
) -> None:
    first = start(tmp_path, "work a/1")
    wait_for(tmp_path / "reached", first)
    second = start(tmp_path)
    assert second.stdout is not None
    said = []
    for line in second.stdout:
        said.append(line)
        if "waits" in line:
            (tmp_path / "go").touch()
            break
    assert "work a: waits for the process that is making it\n" in said
    for process in (first, second):
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    assert set(computed(tmp_path).values()) == {1}
    makers = {line.split(" ")[0] for line in (tmp_path / "computed.txt").read_text().splitlines()}
    assert makers == {str(first.pid), str(second.pid)}
    assert contents(tmp_path) == contents(uninterrupted)


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """As on a full disk, writing fails: here beyond ``size`` bytes of a file (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_ends_a_run_naming_it_and_the_next_run_goes_on(
    tmp_path: Path, uninterrupted: Path
) -> None:
    begun: list[str] = []
    make(tmp_path, graph()[:1])
    named = r"^work a: cannot write to the disk of .*store"
    with pytest.raises(StepFailedError, match=named), files_end_at(8_000):
        make(tmp_path, graph(hook=begun.append))
    store = Store(tmp_path / "store")
    assert [path.parent.name for path in store.folders()] == ["draw"]
    assert not list(store.root.rglob("*.tmp"))
    make(tmp_path, graph(hook=begun.append))
    assert contents(tmp_path) == contents(uninterrupted)


def test_a_manifest_that_cannot_be_written_is_no_artifact(
    tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def full(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == f"{MANIFEST}.tmp":
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.store.os.fsync", full)
        with pytest.raises(StepFailedError, match="No space left on device"):
            make(tmp_path, graph(hook=begun.append))
    assert Store(tmp_path / "store").folders() == []
    make(tmp_path, graph(hook=begun.append))
    assert len(begun) == 2 * SHARDS
    assert contents(tmp_path) == contents(uninterrupted)


def test_a_run_killed_before_the_last_rename_makes_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(store: Store, step: str, key: str) -> None:
        if (store.workspace(step, key) / MANIFEST).exists():
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish_publishing", killed)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path, graph())
    assert Store(tmp_path / "store").folders() == []
    draw, *others = make(tmp_path, graph())
    assert draw.hit
    assert not any(outcome.hit for outcome in others)
    assert not (draw.artifact.folder / RESUME).exists()


@pytest.mark.parametrize("damage", ["flipped bit", "truncated manifest"])
def test_damage_is_named_and_what_it_hit_is_made_again_alone(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str], uninterrupted: Path
) -> None:
    folder = make(tmp_path, graph())[1].artifact.folder
    damaged = folder / MANIFEST
    if damage == "flipped bit":
        damaged = folder / "shards" / "00002" / "scaled.npy"
        content = bytearray(damaged.read_bytes())
        content[-1] ^= 1
        damaged.write_bytes(content)
        os.utime(damaged, ns=(1, 1))
    else:
        damaged.write_bytes(damaged.read_bytes()[:-40])
    assert [outcome.hit for outcome in make(tmp_path, graph())] == [True, False, True, True]
    assert str(damaged) in capsys.readouterr().out
    assert contents(tmp_path) == contents(uninterrupted)


def test_what_other_code_began_is_gone_on_with_but_never_called_this_codes(
    tmp_path: Path,
) -> None:
    class Stopped(Exception):
        pass

    def stop(shard: str) -> None:
        raise Stopped

    with pytest.raises(StepFailedError):
        make(tmp_path, graph(hook=stop))
    drawn, a, *_ = make(tmp_path, graph(source="pipeline/shards.py"))
    assert drawn.hit
    assert drawn.stale_code
    assert not a.hit
    assert a.stale_code
    assert any("begun by other code" in note for note in a.artifact.manifest["notes"])


@dataclass(frozen=True)
class Broken(Toy):
    def run(self, work: Work) -> None:
        raise ZeroDivisionError("no rows")


def test_a_failing_step_is_named_and_its_cause_kept(tmp_path: Path) -> None:
    broken = Broken(label="x")
    with pytest.raises(StepFailedError, match=r"^broken x: no rows$") as caught:
        make(tmp_path, [broken])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_manifest_and_record_say_what_made_a_result_and_name_no_folder(tmp_path: Path) -> None:
    outcomes = make(tmp_path, graph())
    settings = config(tmp_path)
    weights = replace(settings.model, init=str(Path.home() / "weights.safetensors"))
    settings = replace(settings, model=weights)
    record = run_record(settings, outcomes)
    assert record["config"]["seed"] == 0
    assert record["config"]["model"]["init"] == "weights.safetensors"
    manifest = read_manifest(outcomes[1].artifact.folder)
    assert manifest["key_parts"]["settings"]["inner"] == {"type": "Inner", "scale": 2.0}
    assert manifest["seconds"] > 0
    for origin in (record["provenance"], manifest["provenance"]):
        assert origin["git"].keys() == {"commit", "dirty"}
        assert origin["packages"]["numpy"]
        assert origin["hardware"]["processor"]
    for text in (str(record), str(manifest)):
        assert str(Path.home()) not in text
        assert str(tmp_path) not in text


def test_a_plan_stands_in_the_run_folder_until_the_record_does(tmp_path: Path) -> None:
    folder, store = tmp_path / "run", Store(tmp_path / "store")
    folder.mkdir()
    record_plan(graph(), folder)
    assert (folder / "plan.json").exists()
    finish_run(config(tmp_path), folder, obtain_all(graph(), store, config(tmp_path)))
    assert {path.name for path in folder.iterdir()} == {"run.json"}
    assert (tmp_path / "latest").resolve() == folder
