"""The operating point of a bottleneck: the largest beta at which its definition still holds.

A method's rule says what the score behind the bottleneck must be beside the score without it. A
larger beta leaves fewer bits, so that the largest that keeps the rule gives the sparsest map that
is still an explanation in the method's own sense.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from attribution.config import OperatingPointsConfig

_AS_NEAR = 0.05


@dataclass(frozen=True)
class Rule:
    """``measure`` of the scores must be at most ``limit``: both medians over films, or both of one
    film. A score is a probability, or what a regressor says."""

    text: str
    measure: Callable[[Tensor, Tensor], Tensor]  # score (N,), score behind (N,) -> (N,)
    limit: Callable[[Tensor, Tensor], Tensor]  # score, absent, each (N,) -> (N,)


class Behind(NamedTuple):
    """What one beta does to N films: float (N,) each."""

    bits: Tensor
    score: Tensor
    behind: Tensor


class Tried(NamedTuple):
    """Medians over the films at one beta; met: the rule holds for them."""

    beta: float
    bits: float
    score: float
    score_behind: float
    limit: float
    excess: float  # of the rule's measure over its limit
    met: bool
    share_met: float  # of the films that keep the rule by themselves


KEEPS_PROBABILITY = Rule(
    "keeps 90 % of the probability",
    lambda score, behind: -behind,
    lambda score, absent: -0.9 * score,
)
LOSES_PROBABILITY = Rule(
    "leaves at most a tenth of the probability, or what films without the finding have",
    lambda score, behind: behind,
    lambda score, absent: torch.maximum(score / 10, absent),
)
NEAR_SCORE = Rule(
    "keeps the score within 0.5",
    lambda score, behind: (behind - score).abs(),
    lambda score, absent: torch.full_like(score, 0.5),
)
KEEPS_SCORE = Rule(
    "keeps the score",
    lambda score, behind: -behind,
    lambda score, absent: -score,
)


def judge(beta: float, found: Behind, absent: Tensor, rule: Rule) -> Tried:
    """``absent`` (N,): the score of films that do not show what each film is explained for; 0 for
    a regressor. It is the prevalence as the model says it: one trained with ``pos_weight`` answers
    far more than the share of positives where it sees nothing."""
    measures = rule.measure(found.score, found.behind)
    score, usual = found.score.quantile(0.5), absent.quantile(0.5)
    limit = rule.limit(score, usual)
    excess = float(measures.quantile(0.5) - limit)
    return Tried(
        beta=beta,
        bits=float(found.bits.quantile(0.5)),
        score=float(score),
        score_behind=float(found.behind.quantile(0.5)),
        limit=float(limit),
        excess=excess,
        met=excess <= 0,
        share_met=float((measures <= rule.limit(found.score, absent)).float().mean()),
    )


def search(
    measure: Callable[[float], Behind],
    absent: Tensor,
    rule: Rule,
    config: OperatingPointsConfig,
) -> list[Tried]:
    """Bisection of log(beta) between ``config.lowest`` and ``config.highest``; every beta tried.

    The rule is taken to hold below a beta and not above it.
    """
    low, high = math.log(config.lowest), math.log(config.highest)
    tried = []
    for _ in range(config.rounds):
        middle = (low + high) / 2
        beta = float(f"{math.exp(middle):.3g}")
        tried.append(judge(beta, measure(beta), absent, rule))
        low, high = (middle, high) if tried[-1].met else (low, middle)
    return tried


def chosen(tried: Sequence[Tried]) -> Tried:
    """The largest beta that meets the rule; where none does, the largest of those as near to it as
    any: within ``_AS_NEAR`` of the limit, for smaller betas then buy bits and nothing else."""
    nearest = min(each.excess for each in tried)
    near = [each for each in tried if each.excess <= nearest + _AS_NEAR * abs(each.limit)]
    meeting = [each for each in tried if each.met]
    return max(meeting or near, key=lambda each: each.beta)
