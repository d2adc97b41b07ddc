from pathlib import Path

import pytest

from pipeline.shards import run_shards, shard_folders


def silent(done: int, total: int) -> None:
    pass


def test_shards_cover_every_row_once_in_order(tmp_path):
    seen: list[int] = []

    def compute(folder: Path, rows: slice) -> None:
        seen.extend(range(rows.start, rows.stop))
        (folder / "rows").write_text(f"{rows.start}:{rows.stop}")

    run_shards(tmp_path, total=10, size=4, compute=compute, progress=silent)
    assert seen == list(range(10))
    assert [(f / "rows").read_text() for f in shard_folders(tmp_path)] == ["0:4", "4:8", "8:10"]


def test_after_an_interruption_only_unfinished_shards_are_computed(tmp_path):
    begun: list[int] = []

    def compute(folder: Path, rows: slice) -> None:
        (folder / "rows").write_text("half")
        begun.append(rows.start)
        if begun == [0, 4]:
            raise OSError("the disk went away")
        (folder / "rows").write_text("whole")

    with pytest.raises(OSError, match="went away"):
        run_shards(tmp_path, 10, 4, compute, silent)
    assert len(shard_folders(tmp_path)) == 1
    run_shards(tmp_path, 10, 4, compute, silent)
    assert begun == [0, 4, 4, 8]
    assert [(f / "rows").read_text() for f in shard_folders(tmp_path)] == ["whole"] * 3
