"""Tests of paired differences over patients: p-values, verdicts of a family, and power.

Patients are independent, their samples are not: every mean has a standard error that leaves out one
patient at a time (jackknife), and its p-values and interval are Student's, so the p of a large
effect has no floor.

Two errors are bounded, each by Holm's adjustment over the family: to say ``holds`` or ``fails``
where there is no difference, and to say ``no relevant difference`` where there is one beyond the
margin.
"""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from evaluation.bootstrap import patient_index

POWERED = 0.8
"""How likely an effect shall be found where patients are counted."""


class Verdict(Enum):
    holds = "holds"
    fails = "fails"
    no_difference = "no relevant difference"
    undecided = "undecided"
    not_judged = "not judged"


class Estimate(NamedTuple):
    """A mean difference, its standard error, and what it rests on."""

    value: float
    error: float
    n: int
    n_patients: int

    def t(self, limit: float = 0.0) -> float:
        """The distance from ``limit`` in standard errors; infinite where all patients are alike."""
        distance = self.value - limit
        if self.error == 0:
            return float(np.copysign(np.inf, distance)) if distance else 0.0
        return distance / self.error

    def p_above(self, limit: float = 0.0) -> float:
        """One-sided p of a difference above ``limit``. NaN for fewer than two patients."""
        return float(special.stdtr(self.n_patients - 1, -self.t(limit)))

    def p_below(self, limit: float = 0.0) -> float:
        """One-sided p of a difference below ``limit``."""
        return float(special.stdtr(self.n_patients - 1, self.t(limit)))

    @property
    def p(self) -> float:
        """Two-sided, of any difference."""
        return min(1.0, 2 * min(self.p_above(), self.p_below()))

    def interval(self, confidence: float) -> tuple[float, float]:
        if self.n_patients < 2:
            return np.nan, np.nan
        reach = special.stdtrit(self.n_patients - 1, (1 + confidence) / 2) * self.error
        return self.value - reach, self.value + reach


class Decision(NamedTuple):
    """Unadjusted p-values of a claim: that it holds, that it fails, that it does not matter."""

    holds: float
    fails: float
    equivalent: float

    @property
    def difference(self) -> float:
        """Two-sided."""
        return min(1.0, 2 * min(self.holds, self.fails))


def paired_difference(a: ArrayLike, b: ArrayLike, patients: ArrayLike) -> Estimate:
    """Mean of a - b (N,), two values of each sample, and its jackknife error over patients (N,).

    Pairs with a NaN are left out; ``n`` counts the others. ValueError for an infinite value.
    """
    one, other = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if np.isinf(one).any() or np.isinf(other).any():
        raise ValueError("a value of a pair is infinite")
    values = one - other
    known = ~np.isnan(values)
    if not known.any():
        return Estimate(np.nan, np.nan, 0, 0)
    index, _ = patient_index(np.asarray(patients)[known])
    sums = np.bincount(index, weights=values[known]).astype(np.float64)
    return patient_estimate(sums, np.bincount(index))


def patient_estimate(
    sums: NDArray[np.float64], sizes: NDArray[np.integer], drawn: NDArray[np.integer] | None = None
) -> Estimate:
    """As ``paired_difference``, of each patient's sum of differences and number of samples (P,).

    ``drawn`` (P,): how often each patient counts, each time as another patient.
    """
    weights = np.ones(len(sums)) if drawn is None else drawn[drawn > 0]
    if drawn is not None:
        sums, sizes = sums[drawn > 0], sizes[drawn > 0]
    total, number, num_patients = sums @ weights, int(sizes @ weights), int(weights.sum())
    error = np.nan
    if num_patients > 1:
        without = (total - sums) / (number - sizes)
        spread = weights @ (without - weights @ without / num_patients) ** 2
        error = float(np.sqrt(spread * (num_patients - 1) / num_patients))
    return Estimate(float(total / number), error, number, num_patients)


def decide(estimates: Sequence[Estimate], margins: Sequence[float]) -> Decision:
    """The least of several differences d_k against 0 and its margin m_k.

    The claim holds where every d_k is above 0 (the largest p of all) and fails where some d_k is
    below 0 (Bonferroni). It does not matter where every d_k is above -m_k and some below m_k.
    """
    pairs = list(zip(estimates, margins, strict=True))
    count = len(pairs)
    return Decision(
        holds=max(each.p_above() for each in estimates),
        fails=min(1.0, count * min(each.p_below() for each in estimates)),
        equivalent=max(
            *(each.p_above(-margin) for each, margin in pairs),
            min(1.0, count * min(each.p_below(margin) for each, margin in pairs)),
        ),
    )


class Ruling(NamedTuple):
    """A verdict and the p-values of its family (Holm) that it rests on."""

    verdict: Verdict
    p_difference: float
    p_equivalence: float


def rule(decisions: Sequence[Decision], alpha: float) -> list[Ruling]:
    """A ruling on each claim of one family.

    A difference that is certain and yet within the margin is no relevant difference.
    """
    differences = holm([each.difference for each in decisions])
    equivalences = holm([each.equivalent for each in decisions])
    rulings = []
    for decision, of_difference, of_equivalence in zip(
        decisions, differences, equivalences, strict=True
    ):
        if of_equivalence < alpha:
            verdict = Verdict.no_difference
        elif of_difference < alpha:
            verdict = Verdict.holds if decision.holds < decision.fails else Verdict.fails
        else:
            verdict = Verdict.undecided
        rulings.append(Ruling(verdict, float(of_difference), float(of_equivalence)))
    return rulings


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p-values (M,) of one family."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.empty(p.shape)
    order = np.argsort(p)
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1)
    return adjusted


def power(effect: float, spread: float, patients: float, alpha: float) -> float:
    """How likely a t-test of ``patients`` finds ``effect`` at the two-sided level ``alpha``.

    ``spread``: the standard deviation over patients. By the noncentral t distribution.
    """
    if patients < 2:
        return 0.0
    from scipy.stats import nct  # takes long to import; special.nctdtr is NaN far out

    critical = special.stdtrit(patients - 1, 1 - alpha / 2)
    return float(nct.sf(critical, patients - 1, effect * np.sqrt(patients) / spread))


def patients_for(effect: float, spread: float, alpha: float) -> int:
    """The least number of patients of whom ``POWERED`` is reached; 1,000,000 at most."""
    most = 1_000_000
    if effect <= 0 or power(effect, spread, most, alpha) < POWERED:
        return most
    root = optimize.brentq(lambda n: power(effect, spread, n, alpha) - POWERED, 2, most)
    return int(np.ceil(root))
