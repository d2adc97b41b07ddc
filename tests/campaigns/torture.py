"""``make torture [COUNT=50] [SEED=0] [ARGS=...]``: kills the smoke run at random moments.

A run is made undisturbed once. Then the same command is started on an empty store, killed (SIGKILL)
after a random time and started again, until it ends; and all of that again, until COUNT kills are
through. Lost is what was finished before a kill and is not there after the next start: an
artifact, a shard, a packed shard, a film, an epoch. At the end of every round each artifact and
table must have the bytes of the undisturbed run. Exit code 1 if anything was lost or differs.
ARGS="--campaign inputs" and "--campaign mutants" are told of in ``spoilt_inputs.py`` and
``mutants.py``.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
PARTIAL = ".partial"
# Steps that go on at an epoch.
TRAINED = ("train", "lung_network", "fine_tune_detectors", "fine_tune_severity")


def start(outputs: Path, overrides: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", "experiment=smoke", *overrides]
    return subprocess.Popen(
        [*command, f"paths.outputs={outputs}"],
        cwd=ROOT,
        stdout=(outputs / "screen.txt").open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def finished(outputs: Path) -> dict[tuple[str, str], float]:
    """(kind, name) of every finished piece of work, with what grows or stays while it is kept.

    A piece keeps its name, and its time, when its workspace is published.
    """
    pieces: dict[tuple[str, str], float] = {}
    for path in (outputs / "store").glob("*/*"):
        if not path.is_dir():
            continue
        name = f"{path.parent.name}/{path.stem}"
        patterns = {"shard": "shards/?????", "packed shard": "films_*.csv", "film": "images/*.png"}
        if (path / "manifest.json").exists():
            pieces["artifact", name] = (path / "manifest.json").stat().st_mtime
        for kind, pattern in patterns.items():
            for piece in path.glob(pattern):
                pieces[kind, f"{name}/{piece.name}"] = piece.stat().st_mtime
        if path.parent.name in TRAINED:
            pieces["epoch", name] = epochs(path)
    return pieces


def epochs(folder: Path) -> float:
    """Epochs that a training has behind it; infinite when it is published."""
    if folder.suffix != PARTIAL:
        return float("inf")
    last = folder / "resume" / "last.ckpt"
    if not last.exists():
        return 0
    return len(torch.load(last, map_location="cpu", weights_only=True)["history"])


def losses(before: dict[tuple[str, str], float], after: dict[tuple[str, str], float]) -> list[str]:
    """Kinds of the pieces that are gone, or were made again."""
    return [
        kind
        for (kind, name), value in before.items()
        if (now := after.get((kind, name))) is None
        or (now < value if kind == "epoch" else now != value)
    ]


def results(outputs: Path) -> dict[str, object]:
    """Digests of every artifact's files and the bytes of the run's tables."""
    manifests = (outputs / "store").glob("*/*/manifest.json")
    found: dict[str, object] = {
        f"{path.parent.parent.name}/{path.parent.name}": json.loads(path.read_text())["files"]
        for path in manifests
    }
    tables = sorted((outputs / "latest" / "tables").iterdir())
    return {**found, **{path.name: path.read_bytes() for path in tables}}


def differing(one: dict[str, object], other: dict[str, object]) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def torture(folder: Path, count: int, seed: int, overrides: list[str]) -> int:
    chance = random.Random(seed)
    undisturbed = folder / "undisturbed"
    undisturbed.mkdir()
    began = time.monotonic()
    if start(undisturbed, overrides).wait() != 0:
        print((undisturbed / "screen.txt").read_text())
        return 1
    seconds = time.monotonic() - began
    expected = results(undisturbed)
    print(f"undisturbed: {seconds:.0f} s, {len(expected)} artifacts and tables", flush=True)
    lost: Counter[str] = Counter()
    kills, rounds, wrong, spent = 0, 0, 0, 0.0
    while kills < count:
        rounds += 1
        outputs = folder / f"round{rounds}"
        outputs.mkdir()
        before: dict[tuple[str, str], float] = {}
        while True:
            began = time.monotonic()
            process = start(outputs, overrides)
            limit = chance.uniform(0, seconds) if kills < count else None
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                code = process.wait()
            spent += time.monotonic() - began
            after = finished(outputs)
            gone = losses(before, after)
            lost.update(gone)
            before = after
            if code == 0:
                break
            if code != -signal.SIGKILL:
                print((outputs / "screen.txt").read_text())
                return 1
            kills += 1
            print(f"kill {kills}: after {limit:.1f} s; the one before lost {len(gone)}", flush=True)
        changed = differing(expected, results(outputs))
        wrong += len(changed)
        print(f"round {rounds}: {len(changed)} of {len(expected)} differ {changed}", flush=True)
        shutil.rmtree(outputs)
    print(
        f"{kills} kills in {rounds} runs, seed {seed}, {spent:.0f} s where one run takes", end=" "
    )
    print(f"{seconds:.0f} s. Lost: {dict(lost) or 0}. Artifacts and tables that differ: {wrong}.")
    return int(bool(lost or wrong))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--campaign", choices=("kills", "inputs", "mutants"), default="kills")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("overrides", nargs="*", help="of the run; or kinds of inputs, or modules")
    options = parser.parse_intermixed_args()
    if options.campaign == "inputs":
        from tests.campaigns.spoilt_inputs import torture_inputs

        return torture_inputs(options.count, options.seed, options.overrides)
    if options.campaign == "mutants":
        from tests.campaigns.mutants import torture_mutants

        return torture_mutants(options.count, options.seed, options.overrides)
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        return torture(Path(folder), options.count, options.seed, options.overrides)


if __name__ == "__main__":
    sys.exit(main())
