"""``python -m pipeline.tools.bench``: time and memory an image of methods, metrics and training.

Where the published code has the same, its procedure (bench_baseline.py) runs in turn with ours, on
the same images and with the same noise, in this process. ``--precision bf16`` adds a run of ours
with the network in bfloat16 to that turn. Weights are random: no time depends on them. Writes
``outputs/bench.json``.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from data.config import user_path
from models.bfloat16 import product_rate
from models.config import FrozenPrecision
from models.device import DEVICES, resolve_device
from pipeline.progress import say
from pipeline.provenance import provenance
from pipeline.tools.bench_machine import operations, peak_mib, seconds, spread
from pipeline.tools.bench_rows import contenders, names
from pipeline.tools.bench_subjects import Contender

_DTYPES = {
    FrozenPrecision.float32: (torch.float32,),
    FrozenPrecision.bf16: (torch.float32, torch.bfloat16),
}


@dataclass(frozen=True)
class Row:
    """A line of the table; None where there is nothing to compare with, or to count."""

    name: str
    seconds_per_image: float  # median over the repeats
    spread: float  # half the range over the median
    peak_mib: float
    gflop_per_image: float  # convolutions and matrix products that ours takes
    cpu_seconds_per_image: float  # of all threads: what a machine that others use changes little
    fraction_of_bound: float | None  # time of these at the rate of a matrix product, over ours
    published_seconds_per_image: float | None
    published_cpu_seconds_per_image: float | None
    published_peak_mib: float | None
    ratio_to_published: float | None  # median over the repeats of published over ours
    rank_correlation: float | None  # Spearman's, of our maps or scores with the published ones
    # Ours over forward passes alone of as many films (training: steps alone); on a CPU in CPU
    # seconds, a GPU's work in wall time.
    ratio_to_forwards: float | None
    # With the network in bfloat16.
    bf16_seconds_per_image: float | None
    bf16_cpu_seconds_per_image: float | None
    bf16_fraction_of_bound: float | None  # of the rate of a matrix product in bfloat16
    bf16_ratio_to_published: float | None
    bf16_speed: float | None  # ours in float32 over it; on a CPU in CPU seconds
    bf16_rank_correlation: float | None  # with ours in float32


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    try:
        torch.set_num_threads(options.threads)
        device = resolve_device(options.device)
        chosen = names(options.methods.split(",") if options.methods else None, options.side)
        precision = FrozenPrecision(options.precision)
        rates = {dtype: product_rate(device, dtype) for dtype in _DTYPES[precision]}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        rows: list[Row] = []
        given = options.side, options.images, device, options.quick, precision
        for contender in contenders(chosen, *given):
            say(f"bench: {contender.name}")
            rows.append(measure(contender, options.repeats, rates, device))
            _write(options, rows, rates, device)  # each row at once: a whole table takes long
    except (ValueError, OSError) as error:
        say(f"error: {error}")
        return 1
    say(_table(rows))
    products = ", ".join(f"{name} {rate:.0f}" for name, rate in _gflops(rates).items())
    say(f"matrix product, GFLOP/s: {products}; table: {options.out}")
    return 0


def _write(
    options: argparse.Namespace,
    rows: Sequence[Row],
    rates: Mapping[torch.dtype, float],
    device: torch.device,
) -> None:
    named = ("side", "images", "repeats", "threads", "quick", "precision")
    settings = {name: getattr(options, name) for name in named} | {"device": str(device)}
    result = {
        "rows": [asdict(row) for row in rows],
        "settings": settings,
        "gemm_gflops": _gflops(rates),
        "provenance": provenance(),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _gflops(rates: Mapping[torch.dtype, float]) -> dict[str, float]:
    return {str(dtype).removeprefix("torch."): rate / 1e9 for dtype, rate in rates.items()}


def measure(
    contender: Contender, repeats: int, rates: Mapping[torch.dtype, float], device: torch.device
) -> Row:
    """Ours, ours in bfloat16, the published procedure and the forwards in turn, ``repeats`` times,
    after a run of ours that counts its operations. Memory is that of the first time.
    ``rates``: of a matrix product, by type."""
    calls = {"ours": contender.ours, "bf16": contender.bf16, "published": contender.published}
    calls["forwards"] = contender.forwards
    present = {name: call for name, call in calls.items() if call}
    flops = operations(contender.ours)
    found: dict[str, Any] = {}
    peaks: dict[str, float] = {}
    times: dict[str, list[float]] = {name: [] for name in present}
    cpu: dict[str, list[float]] = {name: [] for name in present}

    def run(name: str) -> None:
        images = 1 if name == "published" else contender.images
        begun = process_time()
        taken = seconds(lambda: found.update({name: present[name]()}), device)
        cpu[name].append((process_time() - begun) / images)
        times[name].append(taken / images)

    for repeat in range(repeats):
        for name in present:
            if repeat:
                run(name)
            else:
                peaks[name] = peak_mib(lambda: run(name), device)  # noqa: B023
    on_cpu = cpu if device.type == "cpu" else times

    def middle(name: str, taken: Mapping[str, list[float]]) -> float | None:
        return median(taken[name]) if name in taken else None

    def of_bound(name: str, dtype: torch.dtype) -> float | None:
        if name not in times or not flops:
            return None
        return flops / contender.images / rates[dtype] / median(times[name])

    def ratio(over: str, under: str, taken: Mapping[str, list[float]]) -> float | None:
        if over not in taken or under not in taken:
            return None
        return median(a / b for a, b in zip(taken[over], taken[under], strict=True))

    return Row(
        name=contender.name,
        seconds_per_image=median(times["ours"]),
        spread=spread(times["ours"]),
        peak_mib=peaks["ours"],
        cpu_seconds_per_image=median(cpu["ours"]),
        gflop_per_image=flops / contender.images / 1e9,
        fraction_of_bound=of_bound("ours", torch.float32),
        published_seconds_per_image=middle("published", times),
        published_cpu_seconds_per_image=middle("published", cpu),
        published_peak_mib=peaks.get("published"),
        ratio_to_published=ratio("published", "ours", times),
        rank_correlation=_agreement(found["ours"][0], found.get("published")),
        ratio_to_forwards=ratio("ours", "forwards", on_cpu),
        bf16_seconds_per_image=middle("bf16", times),
        bf16_cpu_seconds_per_image=middle("bf16", cpu),
        bf16_fraction_of_bound=of_bound("bf16", torch.bfloat16),
        bf16_ratio_to_published=ratio("published", "bf16", times),
        bf16_speed=ratio("ours", "bf16", on_cpu),
        bf16_rank_correlation=_agreement(
            found["ours"][0], found["bf16"][0] if "bf16" in found else None
        ),
    )


def _agreement(ours: NDArray[np.floating], other: NDArray[np.floating] | None) -> float | None:
    """Of the first image; None where one of the two is the same everywhere."""
    pair = [] if other is None else [ours.ravel(), other.ravel()]
    if not pair or min(map(np.ptp, pair)) == 0:
        return None
    return float(spearmanr(*pair).statistic)


def _table(rows: Sequence[Row]) -> str:
    frame = pd.DataFrame(
        {
            "": row.name,
            "s/image": f"{row.seconds_per_image:.3g}",
            "+-": f"{row.spread:.0%}",
            "CPU s": f"{row.cpu_seconds_per_image:.3g}",
            "published": _number(row.published_seconds_per_image, ".3g"),
            "its CPU s": _number(row.published_cpu_seconds_per_image, ".3g"),
            "ratio": _number(row.ratio_to_published, ".1f"),
            "rank corr.": _number(row.rank_correlation, ".4f"),
            "of bound": _number(row.fraction_of_bound, ".0%"),
            "of forwards": _number(row.ratio_to_forwards, ".2f"),
            "MiB": f"{row.peak_mib:.0f}",
            "its MiB": _number(row.published_peak_mib, ".0f"),
            "bf16": _number(row.bf16_seconds_per_image, ".3g"),
            "bf16 CPU s": _number(row.bf16_cpu_seconds_per_image, ".3g"),
            "bf16 ratio": _number(row.bf16_ratio_to_published, ".1f"),
            "bf16 speed": _number(row.bf16_speed, ".2f"),
            "bf16 corr.": _number(row.bf16_rank_correlation, ".4f"),
            "bf16 of bound": _number(row.bf16_fraction_of_bound, ".0%"),
        }
        for row in rows
    )
    if all(row.bf16_speed is None for row in rows):
        frame = frame.loc[:, ~frame.columns.str.startswith("bf16")]
    return frame.to_string(index=False)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.tools.bench", description=__doc__)
    parser.add_argument("--side", type=int, default=224, help="pixels; default 224")
    parser.add_argument("--images", type=int, default=4, help="in our batch; default 4")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument("--methods", help=f"some of {', '.join(names(None))}, with commas between")
    parser.add_argument(
        "--precision",
        choices=[each.value for each in FrozenPrecision],
        default=FrozenPrecision.float32.value,
        help="bf16: both in one table",
    )
    parser.add_argument(
        "--quick", action="store_true", help="few steps, samples and masks: does it run?"
    )
    parser.add_argument("--out", type=user_path, default=Path("outputs/bench.json"))
    options = parser.parse_args(arguments)
    for name in ("side", "images", "repeats", "threads"):
        if getattr(options, name) < (32 if name == "side" else 1):
            parser.error(f"--{name} is too small: {getattr(options, name)}")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
