"""The rows of the bench: methods, evaluators and an epoch of training, by name."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from attribution.methods import METHODS
from evaluation.config import REFERENCE_SIDE, Metric
from models.config import FrozenPrecision
from pipeline.tools.bench_evaluators import EVALUATORS, PUBLISHED_CURVES
from pipeline.tools.bench_subjects import METHOD_OF_ROW, Bench, Contender, random_films
from pipeline.tools.bench_training import steps_alone, trained_epoch

_IN_BF16 = (
    *(*METHOD_OF_ROW, "multilayer_iba"),
    *(Metric.insertion_deletion, PUBLISHED_CURVES, Metric.sensitivity_n),
    *(Metric.equal_area, Metric.road),
)
"""Rows that can take the network in bfloat16."""
_FILMS, _QUICK_FILMS = (128, 16), (4, 2)  # of an epoch, and for validation after it


def names(chosen: Sequence[str] | None, side: int = REFERENCE_SIDE) -> list[str]:
    """All rows in the table's order that films of ``side`` have, or those chosen; ValueError for
    an unknown one."""
    methods = [*METHOD_OF_ROW, *(m for m in METHODS if m not in METHOD_OF_ROW.values())]
    known = [*methods, *_OTHER_ROWS]
    if side != REFERENCE_SIDE:
        known.remove(PUBLISHED_CURVES)
    unknown = sorted(set(chosen or ()) - set(known))
    if unknown:
        raise ValueError(f"--methods: unknown {', '.join(unknown)}; known: {', '.join(known)}")
    return [name for name in known if chosen is None or name in chosen]


def contenders(
    chosen: Sequence[str],
    side: int,
    images: int,
    device: torch.device,
    quick: bool,
    precision: FrozenPrecision,
) -> Iterator[Contender]:
    """The rows of those names on ``images`` random films of ``side``, where ``precision`` is bf16
    each with both precisions."""
    bench = Bench.of(side, images, device, quick)
    bf16 = bench.in_bfloat16() if precision is FrozenPrecision.bf16 else None
    for name in chosen:
        found = _row(bench, name)
        if bf16 is not None and name in _IN_BF16:
            found = replace(found, bf16=_row(bf16, name).ours)
        yield found


def _row(bench: Bench, name: str) -> Contender:
    return _OTHER_ROWS[name](bench) if name in _OTHER_ROWS else bench.method(name)


def _training(bench: Bench) -> Contender:
    """Seconds per film that is learnt from, its share of the validation among them."""
    num_train, num_val = _QUICK_FILMS if bench.quick else _FILMS
    films = random_films(num_train + num_val, bench.images.shape[2], seed=4)
    given = bench.model, films, num_val, bench.images.device
    return Contender(
        "training", num_train, lambda: trained_epoch(*given), forwards=steps_alone(*given)
    )


_OTHER_ROWS = {**EVALUATORS, "training": _training}
