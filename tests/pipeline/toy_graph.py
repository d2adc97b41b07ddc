"""A graph of toy stages under the real store and runner; also a process that tests stop.

``python -m tests.pipeline.toy_graph OUTPUTS [TITLE/SHARD]``: makes the graph. At the named shard
it leaves a file ``reached`` in OUTPUTS and waits for a file ``go``.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.config import PathsConfig, PipelineConfig
from pipeline.graph import Stage, Task
from pipeline.interrupts import stop_on_signals
from pipeline.runner import Outcome, obtain_all
from pipeline.shards import run_shards, shard_folders
from pipeline.store import Store

ROWS, SHARD = 10, 2
Hook = Callable[[str], None]  # given the title and number of a shard that is being computed


def ignore(shard: str) -> None:
    pass


def graph(scale: float = 2.0, hook: Hook = ignore, source: str = "pipeline/keys.py") -> list[Stage]:
    """draw -> work a, work b -> sum."""

    def draw(task: Task) -> None:
        np.save(task.folder / "rows.npy", np.random.default_rng(0).standard_normal(ROWS))

    def work(task: Task, variant: str) -> None:
        rows = np.load(task.inputs["draw"] / "rows.npy")

        def compute(folder: Path, part: slice) -> None:
            with (folder / "half.bin").open("wb") as stream:
                stream.write(b"half")
                hook(f"work {variant}/{part.start // SHARD}")
                stream.write(rows[part].tobytes() * 1000)
            np.save(folder / "scaled.npy", rows[part] * scale)

        run_shards(task.folder, ROWS, SHARD, compute, task.progress)

    def total(task: Task) -> None:
        parts = [
            np.load(shard / "scaled.npy")
            for role in ("a", "b")
            for shard in shard_folders(task.inputs[role])
        ]
        np.save(task.folder / "sum.npy", np.concatenate(parts).sum())
        task.note("summed")

    drawn = Stage("draw", 1, {"seed": 0}, {}, draw, (source,))
    a, b = (
        Stage(
            name="work",
            version=1,
            settings={"variant": variant, "inner": {"scale": scale}},
            inputs={"draw": drawn},
            run=lambda task, variant=variant: work(task, variant),
            sources=(source,),
            variant=variant,
        )
        for variant in ("a", "b")
    )
    return [drawn, a, b, Stage("sum", 1, {}, {"a": a, "b": b}, total, (source,))]


def config(outputs: Path) -> PipelineConfig:
    return PipelineConfig(paths=PathsConfig(outputs=str(outputs)))


def make(outputs: Path, order: list[Stage]) -> list[Outcome]:
    """What a run makes and finds of the graph."""
    store = Store(outputs / "store")
    try:
        return obtain_all(order, store, config(outputs))
    finally:
        store.digests.close()


def contents(outputs: Path) -> dict[str, bytes]:
    """Every published file but the manifests, which hold seconds."""
    root = outputs / "store"
    files = [path for path in sorted(root.glob("*/*/**/*")) if path.is_file()]
    return {str(p.relative_to(root)): p.read_bytes() for p in files if p.name != "manifest.json"}


def main(outputs: Path, stop_at: str = "") -> None:
    stop_on_signals()

    def hook(shard: str) -> None:
        with (outputs / "computed.txt").open("a") as stream:
            stream.write(f"{os.getpid()} {shard}\n")
        if shard == stop_at:
            (outputs / "reached").touch()
            while not (outputs / "go").exists():
                time.sleep(0.02)

    make(outputs, graph(hook=hook))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
