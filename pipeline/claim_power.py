"""Which claims a run can decide, before it starts: their power with its patients."""

from collections.abc import Mapping
from typing import NamedTuple

from rich.table import Table

from evaluation.claims import CLAIMS, Claim, Part
from evaluation.config import EvaluationConfig, Metric
from pipeline.explained_task import ExplainedTask
from pipeline.step import Step
from pipeline.store import BrokenArtifactError, Store

_METRICS = {
    "table1": Metric.localization.value,
    "table2": Metric.localization.value,
    "fig2": Metric.insertion_deletion.value,
    "pcc": "severity",
    "zones": "severity",
}
"""Table of a part -> metric that fills it, where their names differ."""


class Patients(NamedTuple):
    """Patients of a part: their number (None: not known before films are indexed), and whether
    there may be fewer."""

    number: int | None
    at_most: bool


def claim_table(
    tasks: Mapping[str, ExplainedTask], evaluation: EvaluationConfig, store: Store
) -> Table:
    """Each claim with its patients, how many its stated effect needs, and its power."""
    found = {
        claim.number: [_patients(part, tasks, evaluation, store) for part in claim.parts]
        for claim in CLAIMS
    }
    measured = sum(bool(parts) and None not in parts for parts in found.values())
    alpha = evaluation.claims.alpha / max(measured, 1)
    table = Table("", "claim", "patients", "needs", "power", "in this run")
    for claim in CLAIMS:
        parts = [each for each in found[claim.number] if each is not None]
        whole = parts and len(parts) == len(claim.parts)
        row = _row(claim, parts, alpha, evaluation.claims.least_power) if whole else _absent(claim)
        table.add_row(str(claim.number), claim.sentence, *row)
    return table


def _absent(claim: Claim) -> tuple[str, str, str, str]:
    return "", "", "", "not measured" if claim.parts else "by experiment=seeds"


def _row(
    claim: Claim, parts: list[Patients], alpha: float, least_power: float
) -> tuple[str, str, str, str]:
    from evaluation.verdicts import claim_power, needed_patients

    needed = f"{needed_patients(claim, alpha):,}"
    counts = [each.number for each in parts if each.number is not None]
    if len(counts) < len(parts):
        return "all there are", needed, "", "judged if they are enough"
    least = f"{min(counts):,}"
    if any(each.at_most for each in parts):
        least = f"at most {least}"
    power = claim_power(claim, counts, alpha)
    outcome = "judged" if power >= least_power else "not judged"
    return least, needed, f"{power:.2f}", outcome


def _patients(
    part: Part, tasks: Mapping[str, ExplainedTask], evaluation: EvaluationConfig, store: Store
) -> Patients | None:
    """None where the run does not measure the part."""
    metric = _METRICS.get(part.table, part.table)
    limit = getattr(getattr(evaluation, metric, None), "max_samples", None)
    total, at_most = 0, part.takes_some
    for name in part.tasks:
        if name not in tasks or metric not in tasks[name].task.metrics:
            return None
        count, drawn = _drawn(tasks[name].task.samples, store)
        if count is None:
            return Patients(None, at_most=True)
        total += count if limit is None else min(count, limit)
        at_most |= not drawn or (limit is not None and limit < count)
    return Patients(total, at_most)


def _drawn(samples: Step, store: Store) -> tuple[int | None, bool]:
    """The patients of a step's samples, or how many they may be, and whether they are drawn."""
    from pipeline.steps.samples import read_samples

    try:
        artifact = store.find(samples.name, samples.key)
    except BrokenArtifactError:
        artifact = None
    if artifact is None:
        return getattr(samples, "max_samples", None), False
    return read_samples(artifact.folder)["patient"].nunique(), True
