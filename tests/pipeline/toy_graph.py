"""A graph of toy steps under the real store and runner; also a process that tests stop.

``python -m tests.pipeline.toy_graph OUTPUTS [TITLE/SHARD [EXECUTOR]]``: makes the graph. At the
named shard it leaves a file ``reached`` in OUTPUTS and waits for a file ``go``.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from pipeline.config import PathsConfig, PipelineConfig
from pipeline.executors.config import ExecutorConfig, ExecutorName
from pipeline.interrupts import stop_on_signals
from pipeline.runner import Outcome, obtain_all
from pipeline.shards import Compute, run_shards, shard_folders
from pipeline.step import Inputs, Step, Work, unkeyed
from pipeline.store import Store

ROOT = Path(__file__).resolve().parents[2]
ROWS, SHARD = 10, 2
Hook = Callable[[str], None]  # given the title and number of a shard that is being computed


def ignore(shard: str) -> None:
    pass


@dataclass(frozen=True)
class Toy(Step):
    """``source``: the project file that is called its code."""

    version: ClassVar = 1
    source: str = unkeyed(default="pipeline/keys.py", kw_only=True)

    @property
    def code(self) -> tuple[str, ...]:
        return (self.source,)


@dataclass(frozen=True)
class Draw(Toy):
    seed: int = 0

    def run(self, work: Work) -> None:
        np.save(work.folder / "rows.npy", np.random.default_rng(self.seed).standard_normal(ROWS))


@dataclass(frozen=True)
class Inner:
    scale: float


@dataclass(frozen=True)
class Scaled(Toy):
    draw: Step
    variant: str
    inner: Inner
    hook: Hook = unkeyed(default=ignore)  # noqa: RUF009

    @property
    def name(self) -> str:
        return "work"

    def run(self, work: Work) -> None:
        run_shards(work, ROWS, SHARD, self.prepare)

    def prepare(self, inputs: Inputs) -> Compute:
        rows = np.load(inputs[self.draw] / "rows.npy")

        def compute(folder: Path, part: slice) -> None:
            with (folder / "half.bin").open("wb") as stream:
                stream.write(b"half")
                self.hook(f"work {self.variant}/{part.start // SHARD}")
                stream.write(rows[part].tobytes() * 1000)
            np.save(folder / "scaled.npy", rows[part] * self.inner.scale)

        return compute


@dataclass(frozen=True)
class Sum(Toy):
    a: Step
    b: Step

    def run(self, work: Work) -> None:
        parts = [
            np.load(shard / "scaled.npy")
            for scaled in (self.a, self.b)
            for shard in shard_folders(work[scaled])
        ]
        np.save(work.folder / "sum.npy", np.concatenate(parts).sum())
        work.note("summed")


def graph(scale: float = 2.0, hook: Hook = ignore, source: str = "pipeline/keys.py") -> list[Step]:
    """draw -> work a, work b -> sum."""
    draw = Draw(source=source)
    a, b = (
        Scaled(draw, variant, Inner(scale), hook, source=source, label=variant) for variant in "ab"
    )
    return [draw, a, b, Sum(a, b, source=source)]


def config(outputs: Path, executor: ExecutorConfig | None = None) -> PipelineConfig:
    """``executor``: default serial, where a shard that fails is not tried again."""
    executor = executor or ExecutorConfig(retries=0)
    return PipelineConfig(paths=PathsConfig(outputs=str(outputs)), executor=executor)


def make(outputs: Path, order: list[Step], executor: ExecutorConfig | None = None) -> list[Outcome]:
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


def start(outputs: Path, stop_at: str = "", executor: str = "serial") -> subprocess.Popen[str]:
    """``main`` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.pipeline.toy_graph", str(outputs), stop_at, executor],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 120
    while not file.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < limit
        time.sleep(0.02)


def main(outputs: Path, stop_at: str = "", executor: str = "serial") -> None:
    stop_on_signals()
    hook = Recorded(outputs, ((stop_at, "waits to go", 1),))
    make(outputs, graph(hook=hook), ExecutorConfig(name=ExecutorName[executor], device="cpu"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
