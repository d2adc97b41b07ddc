"""A graph of toy stages under the real store and runner; also a process that tests stop.

``python -m tests.pipeline.toy_graph OUTPUTS [TITLE/SHARD [EXECUTOR]]``: makes the graph. At the
named shard it leaves a file ``reached`` in OUTPUTS and waits for a file ``go``.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.config import PathsConfig, PipelineConfig
from pipeline.executors.config import ExecutorConfig, ExecutorName
from pipeline.graph import Stage, Task, WorkerTask
from pipeline.interrupts import stop_on_signals
from pipeline.runner import Outcome, obtain_all
from pipeline.shards import Compute, run_shards, shard_folders
from pipeline.store import Store

ROWS, SHARD = 10, 2
Hook = Callable[[str], None]  # given the title and number of a shard that is being computed


def ignore(shard: str) -> None:
    pass


def prepare(task: WorkerTask, variant: str, scale: float, hook: Hook) -> Compute:
    rows = np.load(task.inputs["draw"] / "rows.npy")

    def compute(folder: Path, part: slice) -> None:
        with (folder / "half.bin").open("wb") as stream:
            stream.write(b"half")
            hook(f"work {variant}/{part.start // SHARD}")
            stream.write(rows[part].tobytes() * 1000)
        np.save(folder / "scaled.npy", rows[part] * scale)

    return compute


def graph(scale: float = 2.0, hook: Hook = ignore, source: str = "pipeline/keys.py") -> list[Stage]:
    """draw -> work a, work b -> sum."""

    def draw(task: Task) -> None:
        np.save(task.folder / "rows.npy", np.random.default_rng(0).standard_normal(ROWS))

    def work(task: Task, variant: str) -> None:
        run_shards(task, ROWS, SHARD, partial(prepare, variant=variant, scale=scale, hook=hook))

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


def config(outputs: Path, executor: ExecutorConfig | None = None) -> PipelineConfig:
    """``executor``: default serial, where a shard that fails is not tried again."""
    executor = executor or ExecutorConfig(retries=0)
    return PipelineConfig(paths=PathsConfig(outputs=str(outputs)), executor=executor)


def make(
    outputs: Path, order: list[Stage], executor: ExecutorConfig | None = None
) -> list[Outcome]:
    """What a run makes and finds of the graph."""
    store = Store(outputs / "store")
    try:
        return obtain_all(order, store, config(outputs, executor))
    finally:
        store.digests.close()


def contents(outputs: Path) -> dict[str, bytes]:
    """Every published file but the manifests, which hold seconds."""
    root = outputs / "store"
    files = [path for path in sorted(root.glob("*/*/**/*")) if path.is_file()]
    return {str(p.relative_to(root)): p.read_bytes() for p in files if p.name != "manifest.json"}


@dataclass(frozen=True)
class Recorded:
    """A hook that notes every shard that is begun, and what befalls some, each so many times."""

    outputs: Path
    faults: tuple[tuple[str, str, int], ...] = ()  # (shard, what, how many times)

    def __call__(self, shard: str) -> None:
        with (self.outputs / "computed.txt").open("a") as stream:
            stream.write(f"{os.getpid()} {shard}\n")
        for named, what, times in self.faults:
            if named == shard and computed(self.outputs)[shard] <= times:
                self._befall(what)

    def _befall(self, what: str) -> None:
        if what == "fails":
            raise ValueError("no such film")
        if what == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "takes its parent along":
            parent = multiprocessing.parent_process()
            assert parent is not None
            assert parent.pid is not None
            os.kill(parent.pid, signal.SIGKILL)
        if what == "waits to go":
            (self.outputs / "reached").touch()
            while not (self.outputs / "go").exists():
                time.sleep(0.02)
            return
        threading.Event().wait()  # hangs


def computed(outputs: Path) -> Counter[str]:
    """How many times each shard was begun."""
    lines = (outputs / "computed.txt").read_text().splitlines()
    return Counter(line.split(" ", 1)[1] for line in lines)


def main(outputs: Path, stop_at: str = "", executor: str = "serial") -> None:
    stop_on_signals()
    hook = Recorded(outputs, ((stop_at, "waits to go", 1),))
    make(outputs, graph(hook=hook), ExecutorConfig(name=ExecutorName[executor], device="cpu"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
