"""``python -m tests.campaigns.scaling WHAT NUMBER ...``: what docs/scaling.md states.

``costs SIDE``: floating-point operations and CPU seconds of one film by each method, one thread.

``films N ...``: index, pack, predict, gradient and localization on N phantoms of 64 px, each N in
a process of its own: CPU seconds per film of each step, and the peak of the resident memory.
``shards N``: seconds of ``pipeline.status`` over an artifact of N shards with two files each.
``efficiency SIDE``: wall seconds of attribution and insertion-deletion on 64 and 16 samples, one
process of two threads against two workers of one; ``stored``: shards of the same files without
the work, what the engine itself costs. For two idle cores and two minutes.
``training N``: epochs of a DenseNet121 on N films of 112 px, by two processes of one thread and by
one of two.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from attribution.config import METHODS
from pipeline.config import PipelineConfig, compose_config
from pipeline.executors.base import Done, Executor, Job
from pipeline.executors.opening import open_executor
from pipeline.plan import before, plan_run
from pipeline.runner import imports_of_workers, machine_of, obtain, obtain_all
from pipeline.shards import SHARDS, Compute, run_shards
from pipeline.status import run_status
from pipeline.step import Inputs, Step, Work
from pipeline.store import Store
from pipeline.training_processes import train_in_processes

if TYPE_CHECKING:  # torch is imported where something is trained
    from models.training import TrainResult
    from models.training_loop import OnProgress

_WATCHED = (
    *("index findings", "pack findings", "prediction findings bce", "maps findings gradient"),
    "localization findings gradient",
)


def films(outputs: Path, number: int) -> None:
    """Prints CPU seconds per film and the peak memory of this process."""
    config = compose_config(
        [
            *("experiment=smoke", "threads=1", "executor.device=cpu", f"paths.outputs={outputs}"),
            *("dataset.phantom.side=64", "dataset.phantom.num_train_val=100"),
            *(f"dataset.phantom.num_test={number}", "evaluation.max_images=null"),
            *("train.pretrain_epochs=0", "train.epochs=0", "train.losses=[bce]"),
            *("train.primary=bce", "attribution.methods=[gradient]"),
            "evaluation.metrics=[localization]",
        ]
    )
    store = Store(outputs / "store")
    steps = {step.title: step for step in plan_run(config, store.digests).order}
    obtain_all(before(steps["render nih"], steps["index findings"]), store, config)
    for title in _WATCHED:
        order = before(steps[title])
        obtain_all([step for step in order if step.title != title], store, config)
        began = time.process_time()
        obtain_all(order, store, config)
        spent = time.process_time() - began
        print(f"{number} films: {title}: {1000 * spent / number:.2f} CPU ms a film", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{number} films: peak {peak:.0f} MiB", flush=True)


def costs(outputs: Path, side: int) -> None:
    """A row per method, one film a batch: operations of the plain network, time of the folded."""
    import torch

    from attribution.base import SCORES
    from attribution.config import AttributionConfig, required_taps
    from attribution.methods import NEEDS_LAYERS, build_method
    from attribution.statistics import estimate_statistics
    from models.densenet import DenseNet121
    from models.frozen_densenet import FrozenDenseNet
    from pipeline.tools.bench_machine import operations

    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = AttributionConfig()
    model = DenseNet121(14).eval()
    frozen = FrozenDenseNet(model)
    images, target = torch.randn(4, 3, side, side), torch.tensor([0])
    taps = ("block1", "block2", "block3")
    statistics = {tap: estimate_statistics(model, tap, [images], config.statistics) for tap in taps}

    def forward(network: Any) -> None:
        with torch.no_grad():  # in inference mode convolutions reach no dispatch
            network(images[:1])

    def explained(method: str) -> Callable[[Any], Any]:
        explain = build_method(
            method, config, {tap: statistics[tap] for tap in required_taps(method, config)}
        )
        score = SCORES[config.score]
        return lambda network: explain(network, images[:1], target, score=score, seeds=[0])

    forward(frozen)  # what torch does once in a process
    named = {name: explained(name) for name in METHODS if not name.startswith("regression")}
    for name, work in {"forward": forward, **named}.items():
        count = operations(lambda: work(model))  # noqa: B023
        began = time.process_time()
        work(model if name in NEEDS_LAYERS else frozen)
        spent = time.process_time() - began
        print(f"{side} px, {name}: {count / 1e9:.1f} GFLOP, {spent:.2f} CPU s", flush=True)


@dataclass(frozen=True)
class ManyShards(Step):
    version: ClassVar = 1
    code: ClassVar = ("pipeline/keys.py",)
    number: int

    def run(self, work: Work) -> None:
        for shard in range(self.number):
            folder = work.folder / SHARDS / f"{shard:05d}"
            folder.mkdir(parents=True)
            (folder / "maps.npy").write_bytes(b"maps %d" % shard)
            (folder / "diagnostics.csv").write_bytes(b"bits %d" % shard)


def shards(outputs: Path, number: int) -> None:
    """Prints the seconds of a second status, whose digests are remembered."""
    step = ManyShards(number)
    store = Store(outputs / "store")
    obtain_all([step], store, PipelineConfig())
    began, cpu = time.perf_counter(), time.process_time()
    (status,) = run_status([step], store)
    wall, spent = time.perf_counter() - began, time.process_time() - cpu
    print(f"{number} shards: {status.state.value} after {wall:.1f} s ({spent:.1f} CPU s)")


_WAYS = {
    "one process of two threads": ["threads=2"],
    "two workers of one thread": ["threads=1", "executor=local", "executor.workers=2"],
}
_TIMED = (
    *("maps findings gradient", "maps findings iba"),
    "insertion_deletion findings iba",
)
_SAMPLES, _SHARD = 64, 8


@dataclass(frozen=True)
class Stored(Step):
    """Shards of the same files without the work."""

    version: ClassVar = 1
    code: ClassVar = ("pipeline/shards.py",)
    way: str
    side: int

    def run(self, work: Work) -> None:
        run_shards(work, _SAMPLES * _SHARD, _SHARD, self.prepare)

    def prepare(self, inputs: Inputs) -> Compute:
        maps = np.zeros((_SHARD, self.side, self.side), dtype=np.float32)

        def compute(folder: Path, rows: slice) -> None:
            np.save(folder / "maps.npy", maps)
            (folder / "diagnostics.csv").write_bytes(b"sample\n" * _SHARD)

        return compute


class _Watched:
    """An executor that notes when each shard of the last job was there."""

    def __init__(self, engine: Executor) -> None:
        self._engine = engine
        self.done_at: list[float] = []
        self.close = engine.close

    def run(self, job: Job, numbers: Iterable[int], done: Done) -> None:
        self.done_at = []

        def noted(number: int) -> None:
            self.done_at.append(time.perf_counter())
            done(number)

        self._engine.run(job, numbers, noted)


def efficiency(outputs: Path, side: int) -> None:
    """Prints wall seconds of whole steps: until the first shard was there, and after it."""
    store = Store(outputs / "store")
    for way, overrides in _WAYS.items():
        config = compose_config(
            [
                *("experiment=smoke", "executor.device=cpu", f"paths.outputs={outputs}"),
                *("dataset.phantom.num_train_val=60", "dataset.phantom.num_test=120"),
                *(f"dataset.side={side}", f"dataset.phantom.side={side}"),
                *("train.pretrain_epochs=0", "train.epochs=0", "train.losses=[bce]"),
                *("train.primary=bce", "attribution.methods=[gradient,iba]"),
                *(f"evaluation.max_images={_SAMPLES}", f"attribution.shard_size={_SHARD}"),
                "evaluation.metrics=[insertion_deletion]",
                "evaluation.insertion_deletion.max_samples=16",
                *overrides,
            ]
        )

        steps = {step.title: step for step in plan_run(config, store.digests).order}
        stored = Stored(way, side)
        first = steps["prediction findings bce"]  # starts the workers
        order = [*before(first, *(steps[title] for title in _TIMED)), stored]
        imports = imports_of_workers(order)
        with open_executor(config.executor, config.threads, outputs, imports) as engine:
            watched = _Watched(engine)
            for step in order:
                began = time.perf_counter()
                obtain(step, store, config, watched, wait=True)
                seconds = time.perf_counter() - began
                if step.title in (first.title, *_TIMED, "stored"):
                    at = watched.done_at
                    rest = ""
                    if len(at) > 1:
                        rest = f", then {1000 * (at[-1] - at[0]) / (len(at) - 1):.1f} ms a shard"
                    print(
                        f"{side} px, {way}: {step.title}: {seconds:.2f} s; first of {len(at)}"
                        f" shards after {at[0] - began:.2f} s{rest}",
                        flush=True,
                    )


def train_on_noise(
    folder: Path, number: int, threads: int, rank: Any, on_progress: "OnProgress | None"
) -> "TrainResult":
    """Three epochs; the first holds what torch does once in a process."""
    import torch
    from torch.utils.data import TensorDataset

    from models.checkpoints import initial_model
    from models.config import TrainConfig
    from models.training import train

    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    films = torch.randint(0, 256, (number, 112, 112), generator=generator, dtype=torch.uint8)
    data = TensorDataset(films, torch.ones(number, 8))
    return train(
        initial_model("random", 8, seed=0),
        data,
        TensorDataset(films[:2], torch.ones(2, 8)),
        TrainConfig(epochs=3, batch_size=16),
        seed=0,
        folder=folder,
        device=torch.device("cpu"),
        on_progress=on_progress,
        rank=rank,
    )


def training(outputs: Path, number: int) -> None:
    """Prints milliseconds per film of the faster of two epochs; the ways take three turns."""
    for turn in range(3):
        for processes, threads in ((1, 2), (2, 1)):
            config = compose_config([f"threads={threads}", "executor.device=cpu"])
            work = partial(train_on_noise, outputs / f"{turn}{processes}", number, threads)
            result = train_in_processes(
                work, processes, threads, machine_of(config), lambda *told: None
            )
            history = result.history
            seconds = history["seconds"][1:].min() / number
            print(f"{processes} x {threads} threads: {1000 * seconds:.0f} ms a film", flush=True)


def main() -> None:
    by_name = {what.__name__: what for what in (costs, films, shards, efficiency, training)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=tuple(by_name))
    parser.add_argument("numbers", type=int, nargs="+")
    arguments = parser.parse_args()
    run = by_name[arguments.what]
    if len(arguments.numbers) > 1:  # a process's peak never falls again
        for number in arguments.numbers:
            command = [sys.executable, "-m", "tests.campaigns.scaling", arguments.what, str(number)]
            subprocess.run(command, check=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), arguments.numbers[0])


if __name__ == "__main__":
    main()
