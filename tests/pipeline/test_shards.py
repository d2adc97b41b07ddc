"""Shards: in order, resumed where a killed run stopped, each published once."""

from functools import partial
from pathlib import Path

import pytest

from pipeline.executors.base import PiecesMissingError, SerialExecutor
from pipeline.executors.config import ExecutorConfig
from pipeline.shards import Compute, run_shards, shard_folders
from pipeline.step import Inputs, Machine, Work


def work(folder: Path, told: list[tuple[int, int]] | None = None) -> Work:
    def progress(done: int, total: int) -> None:
        if told is not None:
            told.append((done, total))

    executor = SerialExecutor(ExecutorConfig(retries=0))
    return Work({}, Machine(folder), folder, progress, print, executor)


def rows_of(seen: list[int], broken: tuple[int, ...], given: Inputs) -> Compute:
    def compute(folder: Path, rows: slice) -> None:
        (folder / "rows").write_text("half")
        seen.extend(range(rows.start, rows.stop))
        if rows.start in broken:
            raise OSError("the disk went away")
        (folder / "rows").write_text(f"{rows.start}:{rows.stop}")

    return compute


def test_shards_cover_every_row_once_in_order(tmp_path: Path) -> None:
    seen: list[int] = []
    told: list[tuple[int, int]] = []
    run_shards(work(tmp_path, told), 10, 4, partial(rows_of, seen, ()))
    assert seen == list(range(10))
    assert [(f / "rows").read_text() for f in shard_folders(tmp_path)] == ["0:4", "4:8", "8:10"]
    assert told == [(4, 10), (8, 10), (10, 10)]


def test_a_shard_that_fails_keeps_none_of_the_others_back_and_is_computed_alone_next_time(
    tmp_path: Path,
) -> None:
    seen: list[int] = []
    told: list[tuple[int, int]] = []
    with pytest.raises(PiecesMissingError, match=r"1 \(OSError: the disk went away\)"):
        run_shards(work(tmp_path), 10, 4, partial(rows_of, seen, (4,)))
    assert [f.name for f in shard_folders(tmp_path)] == ["00000", "00002"]
    assert not list(tmp_path.rglob("*.tmp"))
    seen.clear()
    run_shards(work(tmp_path, told), 10, 4, partial(rows_of, seen, ()))
    assert seen == [4, 5, 6, 7]
    assert told == [(6, 10), (10, 10)]


def test_what_a_killed_run_had_half_written_is_removed(tmp_path: Path) -> None:
    half = tmp_path / "shards" / "00001.0123.tmp"
    half.mkdir(parents=True)
    run_shards(work(tmp_path), 10, 4, partial(rows_of, [], ()))
    assert not half.exists()


def test_a_hundred_thousand_shards_are_read_in_order(tmp_path: Path) -> None:
    for name in ("99999", "100000", "00007"):
        (tmp_path / "shards" / name).mkdir(parents=True)
    assert [path.name for path in shard_folders(tmp_path)] == ["00007", "99999", "100000"]


def test_a_shard_that_another_worker_published_meanwhile_is_kept(tmp_path: Path) -> None:
    def overtaken(given: Inputs) -> Compute:
        def compute(folder: Path, rows: slice) -> None:
            (folder / "rows").write_text("second")
            first = folder.parent / "00000"
            first.mkdir()
            (first / "rows").write_text("first")

        return compute

    run_shards(work(tmp_path), 1, 1, overtaken)
    (shard,) = shard_folders(tmp_path)
    assert (shard / "rows").read_text() == "first"
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["00000"]
