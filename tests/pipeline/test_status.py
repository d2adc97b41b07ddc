"""``python -m pipeline.status``: what a run would find, and what it would make and why."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.runner import StepFailedError
from pipeline.status import State, run_status, status_table
from pipeline.store import MANIFEST, Store
from tests.pipeline.toy_graph import graph, make


def status(outputs: Path, **changes) -> dict[str, tuple[State, str]]:
    found = run_status(graph(**changes), Store(outputs / "store"))
    return {each.step.title: (each.state, each.why) for each in found}


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    make(tmp_path, graph())
    return tmp_path


def test_what_a_run_would_find_is_a_hit(outputs):
    assert {state for state, _ in status(outputs).values()} == {State.hit}


def test_a_step_whose_input_would_run_is_told_to_run_and_why(outputs):
    found = status(outputs, scale=3.0)
    assert found["draw"] == (State.hit, "")
    assert found["work a"] == (State.miss, "inner.scale 2.0 -> 3.0")
    state, why = found["sum"]
    assert state is State.miss
    assert why == "work a runs: inner.scale 2.0 -> 3.0; work b runs: inner.scale 2.0 -> 3.0"


def test_results_of_other_code_are_stale_and_not_run(outputs):
    assert {state for state, _ in status(outputs, source="pipeline/shards.py").values()} == {
        State.stale_code
    }


def test_a_broken_artifact_is_named_and_its_followers_are_hits(outputs):
    draw = graph()[0]
    (Store(outputs / "store").folder(draw.name, draw.key) / MANIFEST).write_text("{")
    found = status(outputs)
    assert found["draw"][0] is State.broken
    assert MANIFEST in found["draw"][1]
    assert found["work a"] == (State.hit, "")


def test_what_an_interrupted_run_left_is_said_and_left_alone(tmp_path):
    def stop(shard: str) -> None:
        raise OSError("stopped")

    with pytest.raises(StepFailedError):
        make(tmp_path, graph(hook=stop))
    before = sorted((tmp_path / "store").rglob("*"))
    assert status(tmp_path)["work a"][1] == "never made; a run began it, this one goes on"
    assert status(tmp_path)["sum"][1] == "never made; work a, work b first"
    assert sorted((tmp_path / "store").rglob("*")) == before


def test_the_table_has_a_row_per_step_with_size_and_seconds(outputs):
    console = Console(width=160, file=io.StringIO(), record=True)
    console.print(status_table(run_status(graph(), Store(outputs / "store"))))
    rows = [line.split("│") for line in console.export_text().splitlines() if "│ hit" in line]
    assert [row[1].strip() for row in rows] == ["draw", "work a", "work b", "sum"]
    assert all(row[5].strip().endswith(" s") for row in rows)
