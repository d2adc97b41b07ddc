"""How often verdicts err and how often they are found, by drawing a run's patients anew.

Every simulated run draws as many patients as the run had, with replacement, the same for all
claims; their differences, less the mean, are a population in which nothing differs. Shifted by each
part's stated effect they are one in which every claim is true.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation.claims import CLAIMS
from evaluation.config import ClaimsConfig
from evaluation.paired_tests import Estimate, Verdict, decide, patient_estimate, rule
from evaluation.verdicts import Judged, claim_power, measured_claims


def simulate(
    claims: Mapping[int, Sequence[Judged]],
    runs: int,
    config: ClaimsConfig,
    seed: int,
    *,
    true: bool,
) -> pd.DataFrame:
    """The verdict (text) of each claim, a column by number, in each of ``runs`` simulated runs.

    ``true``: whether every part has its stated effect, or none any.
    """
    patients = sorted({p for parts in claims.values() for each in parts for p in _patients(each)})
    tallies = {
        number: [_Tally.of(each, patients) for each in parts] for number, parts in claims.items()
    }
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        drawn = generator.multinomial(len(patients), [1 / len(patients)] * len(patients))
        decisions = []
        for number, parts in claims.items():
            estimates = [each.drawn(drawn) for each in tallies[number]]
            if true:
                shifts = [each.part.effect for each in parts]
                estimates = [
                    each._replace(value=each.value + shift)
                    for each, shift in zip(estimates, shifts, strict=True)
                ]
            decisions.append(decide(estimates, [each.part.margin for each in parts]))
        found.append([ruling.verdict.value for ruling in rule(decisions, config.alpha)])
    return pd.DataFrame(found, columns=list(claims))


def family_error(verdicts: pd.DataFrame) -> float:
    """Share of simulated runs without any effect that say ``holds`` or ``fails`` somewhere."""
    wrong = verdicts.isin([Verdict.holds.value, Verdict.fails.value])
    return float(wrong.any(axis=1).mean())


def power_table(rows: pd.DataFrame, config: ClaimsConfig, seed: int) -> pd.DataFrame:
    """claims_power.csv: of each claim that a run measured, whether it could be told.

    Columns number, n_patients, expected_spread and spread (over patients, of the part that varies
    most for its effect), power (by the expected spread), found (share of simulated runs with every
    stated effect in which the claim holds), no_difference (share of those without any effect that
    say so) and wrong (that say another thing). The last row, number 0, is the family: its wrong is
    the share of runs with a wrong verdict anywhere.
    """
    claims = measured_claims(rows)
    if not claims:
        return pd.DataFrame(columns=list(POWER_COLUMNS))
    without, true = (
        simulate(claims, config.simulations, config, seed + effect, true=bool(effect))
        for effect in (0, 1)
    )
    alpha = config.alpha / len(claims)
    lines = []
    for number, parts in claims.items():
        spreads = [each.estimate.error * np.sqrt(each.estimate.n_patients) for each in parts]
        widest = int(np.argmax([s / j.part.effect for s, j in zip(spreads, parts, strict=True)]))
        patients = [each.estimate.n_patients for each in parts]
        claim = next(claim for claim in CLAIMS if claim.number == number)
        lines.append(
            {
                "number": number,
                "n_patients": min(patients),
                "expected_spread": parts[widest].part.spread,
                "spread": spreads[widest],
                "power": claim_power(claim, patients, alpha),
                "found": (true[number] == Verdict.holds.value).mean(),
                "no_difference": (without[number] == Verdict.no_difference.value).mean(),
                "wrong": family_error(without[[number]]),
            }
        )
    lines.append({"number": 0, "wrong": family_error(without)})
    return pd.DataFrame(lines, columns=list(POWER_COLUMNS))


POWER_COLUMNS = (
    *("number", "n_patients", "expected_spread", "spread"),
    *("power", "found", "no_difference", "wrong"),
)


def _patients(judged: Judged) -> list[str]:
    return judged.samples["patient"].astype(str).tolist()


class _Tally(NamedTuple):
    """Of each patient of a part: the sum of his centred differences, his number of samples, and
    where he stands among all patients."""

    sums: NDArray[np.float64]
    sizes: NDArray[np.intp]
    places: NDArray[np.intp]

    @classmethod
    def of(cls, judged: Judged, patients: Sequence[str]) -> "_Tally":
        difference = (judged.samples["better"] - judged.samples["worse"]).to_numpy()
        own, index = np.unique(_patients(judged), return_inverse=True)
        sums = np.bincount(index, weights=difference - difference.mean()).astype(np.float64)
        return cls(sums, np.bincount(index), np.searchsorted(patients, own))

    def drawn(self, counts: NDArray[np.intp]) -> Estimate:
        return patient_estimate(self.sums, self.sizes, counts[self.places])
