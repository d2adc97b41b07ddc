"""A verdict on each claim of the paper, its control, and every comparison behind it.

``evaluation/paired_tests.py`` has the tests. A claim whose stated effect a run would more likely
miss than find leaves the family before a difference is looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from evaluation.claims import CLAIMS, FURTHER, Claim, Part
from evaluation.config import ClaimsConfig
from evaluation.paired_tests import (
    Estimate,
    Verdict,
    decide,
    paired_difference,
    patients_for,
    power,
    rule,
)

SAMPLE = ["task", "sample", "patient", "finding"]
"""What names a sample; ``patient`` and ``sample`` are of their task's data set."""


def claim_power(claim: Claim, patients: Sequence[int], alpha: float) -> float:
    """The least of the parts' powers, of so many patients each."""
    parts = zip(claim.parts, patients, strict=True)
    return min(power(part.effect, part.spread, count, alpha) for part, count in parts)


def needed_patients(claim: Claim, alpha: float) -> int:
    """Patients of whom the claim's stated effect is found, by the part that needs most."""
    return max(patients_for(part.effect, part.spread, alpha) for part in claim.parts)


def pairs(rows: pd.DataFrame, part: Part) -> pd.DataFrame:
    """The samples of a part: ``SAMPLE``, ``better`` and ``worse``, where both are known.

    ``rows``: ``SAMPLE``, table, method, metric, place, severity, value. Empty where the run did not
    measure one of the sides. ValueError where it measured them on different samples.
    """
    methods = [method for method in (part.better, part.worse) if method is not None]
    chosen = rows[
        rows["task"].isin(part.tasks)
        & (rows["table"] == part.table)
        & rows["metric"].isin(part.metrics)
        & rows["method"].isin(methods)
    ]
    if part.place is not None:
        chosen = chosen[chosen["place"] == part.place]
    if np.isfinite(part.max_severity):
        chosen = chosen[chosen["severity"] <= part.max_severity]
    if part.without is not None:
        chosen = chosen[chosen["finding"] != part.without]
    if chosen["method"].nunique() < len(methods) or chosen["metric"].nunique() < len(part.metrics):
        return pd.DataFrame(columns=[*SAMPLE, "better", "worse"])
    values = chosen.groupby([*SAMPLE, "method"], sort=False)["value"]
    if values.size().unstack("method").isna().to_numpy().any():
        raise ValueError(f"{part.name}: the two sides do not have the same samples")
    means = values.mean().unstack("method")
    worse = means[part.worse] if part.worse is not None else 0.0
    sides = pd.DataFrame({"better": means[part.better], "worse": worse})
    return sides.dropna().reset_index()


def turned(found: pd.DataFrame, part: Part) -> Estimate:
    """The difference of ``pairs``, positive where the paper is right."""
    high, low = ("better", "worse") if part.higher else ("worse", "better")
    return paired_difference(found[high], found[low], found["patient"])


@dataclass(frozen=True)
class Judged:
    """A part that a run measured."""

    part: Part
    samples: pd.DataFrame  # of ``pairs``
    estimate: Estimate

    @classmethod
    def of(cls, rows: pd.DataFrame, part: Part) -> "Judged | None":
        samples = pairs(rows, part)
        if samples.empty:
            return None
        return cls(part, samples, turned(samples, part))


def _weakest(parts: Sequence[Judged]) -> Judged:
    """The part that decides: the one of the least difference in units of its error."""
    return min(parts, key=lambda each: each.estimate.t())


def measured_claims(
    rows: pd.DataFrame, claims: Sequence[Claim] = CLAIMS
) -> dict[int, list[Judged]]:
    """The parts of each claim (by number) of which a run measured all."""
    found = {}
    for claim in claims:
        parts = [Judged.of(rows, part) for part in claim.parts]
        measured = [each for each in parts if each is not None]
        if parts and len(measured) == len(parts):
            found[claim.number] = measured
    return found


def judge(
    rows: pd.DataFrame, config: ClaimsConfig, claims: Sequence[Claim] = CLAIMS
) -> pd.DataFrame:
    """claims.csv: every claim with its verdict, what it rests on, and its control.

    A claim whose stated effect the run would miss more often than ``config.least_power`` allows
    leaves the family before a difference is looked at. ``rows``: as in ``pairs``.
    """
    complete = measured_claims(rows, claims)
    lines: dict[int, dict[str, object]] = {claim.number: _line(claim) for claim in claims}
    alpha = config.alpha / max(len(complete), 1)
    family: list[Claim] = []
    for claim in claims:
        if claim.number not in complete:
            lines[claim.number]["reason"] = _unmeasured(claim, rows)
            continue
        patients = [each.estimate.n_patients for each in complete[claim.number]]
        found, needed = claim_power(claim, patients, alpha), needed_patients(claim, alpha)
        counts = {"power": found, "n_patients": min(patients), "patients_needed": needed}
        lines[claim.number] |= counts
        if found >= config.least_power:
            family.append(claim)
        else:
            lines[claim.number]["reason"] = _too_few(needed, min(patients))
    _decide_family(family, complete, lines, config)
    for claim in family:
        controls = [Judged.of(rows, part) for part in claim.controls]
        lines[claim.number] |= _control([each for each in controls if each], config)
    return pd.DataFrame(lines.values(), columns=list(CLAIM_COLUMNS))


CLAIM_COLUMNS = (
    *("number", "claim", "source", "verdict", "reason", "metric", "better", "worse"),
    *("better_value", "worse_value", "difference", "ci_low", "ci_high", "margin"),
    *("p_difference", "p_equivalence", "n", "n_patients", "power", "patients_needed", "paper"),
    *("control", "control_value", "control_difference", "control_low", "control_high"),
    "control_verdict",
)


def _line(claim: Claim) -> dict[str, object]:
    return {
        "number": claim.number,
        "claim": claim.sentence,
        "source": claim.source,
        "verdict": Verdict.not_judged.value,
        "reason": "",
        "metric": claim.measure,
        "paper": claim.paper,
    }


def _unmeasured(claim: Claim, rows: pd.DataFrame) -> str:
    if not claim.parts:
        return "one training of each loss: experiment=seeds and make compare judge it"
    absent = next(part for part in claim.parts if pairs(rows, part).empty)
    return f"not measured: {absent.name}"


def _too_few(needed: int, patients: int) -> str:
    return f"would need {needed:,} patients, has {patients:,}"


def _decide_family(
    family: Sequence[Claim],
    complete: Mapping[int, list[Judged]],
    lines: Mapping[int, dict[str, object]],
    config: ClaimsConfig,
) -> None:
    decisions = [
        decide(
            [each.estimate for each in complete[claim.number]],
            [part.margin for part in claim.parts],
        )
        for claim in family
    ]
    rulings = rule(decisions, config.alpha)
    left = sum(ruling.verdict is Verdict.undecided for ruling in rulings)
    for claim, ruling in zip(family, rulings, strict=True):
        deciding = _weakest(complete[claim.number])
        line = lines[claim.number]
        line |= comparison(deciding, config)
        line |= {
            "verdict": ruling.verdict.value,
            "p_difference": ruling.p_difference,
            "p_equivalence": ruling.p_equivalence,
        }
        if ruling.verdict is Verdict.undecided:
            needed = _would_decide(deciding, config.alpha / left)
            line["patients_needed"] = needed
            line["reason"] = _too_few(needed, deciding.estimate.n_patients)


def comparison(judged: Judged, config: ClaimsConfig) -> dict[str, object]:
    """The columns that a part fills."""
    low, high = judged.estimate.interval(1 - config.alpha)
    return {
        "better": judged.part.better,
        "worse": judged.part.worse,
        "better_value": judged.samples["better"].mean(),
        "worse_value": judged.samples["worse"].mean() if judged.part.worse else np.nan,
        "difference": judged.estimate.value,
        "ci_low": low,
        "ci_high": high,
        "margin": judged.part.margin,
        "n": judged.estimate.n,
        "n_patients": judged.estimate.n_patients,
    }


def _would_decide(judged: Judged, alpha: float) -> int:
    """Patients of whom a verdict is likely, if difference and spread stay as they are."""
    value, margin = abs(judged.estimate.value), judged.part.margin
    spread = judged.estimate.error * np.sqrt(judged.estimate.n_patients)
    of_margin = patients_for(margin - value, spread, 2 * alpha)  # one-sided, at the nearer margin
    return min(patients_for(value, spread, alpha), of_margin)


def _control(controls: Sequence[Judged], config: ClaimsConfig) -> dict[str, object]:
    """The columns of the strongest control."""
    if not controls:
        return {}
    strongest = _weakest(controls)
    low, high = strongest.estimate.interval(1 - config.alpha)
    return {
        "control": strongest.part.worse,
        "control_value": strongest.samples["worse"].mean(),
        "control_difference": strongest.estimate.value,
        "control_low": low,
        "control_high": high,
        "control_verdict": "better" if low > 0 else "worse" if high < 0 else "no better",
    }


def details(
    rows: pd.DataFrame, config: ClaimsConfig, claims: Sequence[Claim] = CLAIMS
) -> pd.DataFrame:
    """claims_details.csv: every part, control and further comparison, whole and by finding.

    ``number`` is the claim's, 0 where a comparison belongs to none. Unadjusted.
    """
    asked = [(claim.number, part) for claim in claims for part in (*claim.parts, *claim.controls)]
    asked += [(0, part) for part in FURTHER]
    lines = []
    for number, part in dict.fromkeys(asked):
        if (whole := Judged.of(rows, part)) is None:
            continue
        groups = [("all", whole)]
        if whole.samples["finding"].nunique() > 1:
            groups += [
                (str(finding), Judged(part, group, turned(group, part)))
                for finding, group in whole.samples.groupby("finding")
            ]
        for where, judged in groups:
            line = {"number": number, "part": part.name, "where": where}
            line |= {"metric": " and ".join(part.metrics), **comparison(judged, config)}
            lines.append(line | {"p": judged.estimate.p})
    return pd.DataFrame(lines, columns=list(DETAIL_COLUMNS))


DETAIL_COLUMNS = (
    *("number", "part", "where", "metric", "better", "worse", "better_value", "worse_value"),
    *("difference", "ci_low", "ci_high", "p", "n", "n_patients"),
)
