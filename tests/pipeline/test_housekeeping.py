"""The store's list, prune, clean and verify: nothing that a run needs is lost."""

import os
import shutil
from pathlib import Path

import pytest

from pipeline.housekeeping import clean, main, prune, references, unreferenced
from pipeline.runner import StepFailedError, finish_run, record_plan
from pipeline.store import MANIFEST, Store
from tests.pipeline.toy_graph import config, graph, make


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that share a step; the folder of the second is gone."""
    outputs = tmp_path_factory.mktemp("template")
    folder = outputs / "2026-01-01" / "run"
    folder.mkdir(parents=True)
    record_plan(graph(), folder)
    finish_run(config(outputs), folder, make(outputs, graph()))
    make(outputs, graph(scale=3.0))
    return outputs


@pytest.fixture
def outputs(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path, symlinks=True, dirs_exist_ok=True)
    return tmp_path


def store_of(outputs: Path) -> Store:
    return Store(outputs / "store")


def folders(outputs: Path, **changes) -> list[Path]:
    return [store_of(outputs).folder(step.name, step.key) for step in graph(**changes)]


def interrupt(outputs: Path, scale: float) -> Path:
    """The workspace that a run which stopped in a shard leaves."""

    def stop(shard: str) -> None:
        if shard == "work a/2":
            raise OSError("stopped")

    with pytest.raises(StepFailedError):
        make(outputs, graph(scale, stop))
    return folders(outputs, scale=scale)[1].with_suffix(".partial")


def test_what_no_run_refers_to_is_pruned_and_nothing_else(outputs):
    store = store_of(outputs)
    gone = folders(outputs, scale=3.0)[1:]
    assert sorted(unreferenced(store, outputs)) == sorted(gone)
    assert sorted(prune(store, outputs, gone)) == sorted(gone)
    assert not any(path.exists() for path in gone)
    assert all(outcome.hit for outcome in make(outputs, graph()))


def test_an_unfinished_run_refers_to_what_it_planned(outputs):
    running = outputs / "2026-01-02"
    running.mkdir()
    record_plan(graph(scale=3.0), running)
    assert unreferenced(store_of(outputs), outputs) == []


def test_a_run_that_starts_while_the_user_thinks_keeps_its_artifacts(outputs):
    store = store_of(outputs)
    chosen = unreferenced(store, outputs)
    running = outputs / "2026-01-02"
    running.mkdir()
    record_plan(graph(scale=3.0), running)
    assert prune(store, outputs, chosen) == []


def test_a_locked_artifact_is_left_alone(outputs, capsys):
    store = store_of(outputs)
    step = graph(scale=3.0)[1]
    chosen = unreferenced(store, outputs)
    with store.lock(step.name, step.key, wait=False):
        removed = prune(store, outputs, chosen)
    assert store.folder(step.name, step.key) in set(chosen) - set(removed)
    assert "in use" in capsys.readouterr().out


def test_nothing_is_pruned_while_a_run_record_cannot_be_read(outputs):
    (outputs / "2026-01-01" / "run" / "run.json").write_text('{"steps"')
    with pytest.raises(ValueError, match=r"run\.json"):
        references(store_of(outputs), outputs)


@pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 4), ("", 1, 7), ("n", 1, 7)])
def test_pruning_asks_first(outputs, monkeypatch, capsys, answer, code, left):
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    assert main(["--prune", f"paths.outputs={outputs}"]) == code
    assert len(store_of(outputs).folders()) == left
    assert "MiB" in capsys.readouterr().out


def test_yes_prunes_without_asking(outputs, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda prompt: pytest.fail("asked"))
    assert main(["--prune", "--yes", f"paths.outputs={outputs}"]) == 0
    assert len(store_of(outputs).folders()) == 4


def test_cleaning_removes_half_written_files_and_keeps_what_a_run_goes_on_from(outputs):
    workspace = interrupt(outputs, 4.0)
    (workspace / "shards" / "00002.tmp").mkdir()
    (workspace / "shards" / "00002.tmp" / "maps.npy").write_bytes(b"half")
    done = sorted((workspace / "shards").glob("0000?"))
    assert len(done) == 4  # the others go on when one fails
    assert clean(store_of(outputs), outputs) == [workspace / "shards" / "00002.tmp"]
    assert sorted((workspace / "shards").iterdir()) == done


def test_cleaning_removes_a_workspace_beside_its_artifact_and_a_folder_without_manifest(outputs):
    first, second = folders(outputs)[:2]
    first.with_suffix(".partial").mkdir()
    (second / MANIFEST).unlink()
    assert sorted(clean(store_of(outputs), outputs)) == sorted(
        [first.with_suffix(".partial"), second]
    )
    assert first.exists()


def test_cleaning_leaves_what_is_being_made_alone(outputs):
    workspace = interrupt(outputs, 4.0)
    (workspace / "maps.npy.tmp").write_bytes(b"half")
    store, step = store_of(outputs), graph(scale=4.0)[1]
    with store.lock(step.name, step.key, wait=False):
        assert clean(store_of(outputs), outputs) == []


def test_cleaning_removes_a_forgotten_link_to_the_newest_run(outputs):
    link = outputs / ".latest.123"
    link.symlink_to("2026-01-01")
    assert clean(store_of(outputs), outputs) == []
    os.utime(link, (1, 1), follow_symlinks=False)
    assert main(["--clean-tmp", f"paths.outputs={outputs}"]) == 0
    assert not link.is_symlink()
    assert (outputs / "latest" / "run.json").exists()


def test_verifying_reads_again_and_the_next_run_makes_anew_what_was_broken(outputs, capsys):
    make(outputs, graph())  # digests are remembered
    file = folders(outputs)[0] / "rows.npy"
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=times)
    assert all(outcome.hit for outcome in make(outputs, graph()))
    assert main(["--verify", f"paths.outputs={outputs}"]) == 1
    assert str(file) in capsys.readouterr().out
    assert [outcome.hit for outcome in make(outputs, graph())] == [False, True, True, True]
    assert main(["--verify", f"paths.outputs={outputs}"]) == 0


def test_the_list_shows_artifacts_and_interrupted_workspaces_with_their_runs(outputs, capsys):
    interrupt(outputs, 4.0)
    assert main([f"paths.outputs={outputs}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    assert [row[-1] for row in rows if row[0] == "draw"] == ["1"]
    assert sum(row[3] == "interrupted" for row in rows) == 1
    assert any(row[0] == "8 in all" for row in rows)
