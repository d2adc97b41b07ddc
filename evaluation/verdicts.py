"""A verdict on every claim of the paper that a run has measured.

A difference is oriented so that a positive one is what the paper claims. A claim holds (fails)
where the paired difference over patients is significantly positive (negative) after Holm's
adjustment over its family, and is undecided otherwise, with few patients in any case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evaluation.bootstrap import (
    Difference,
    cross_fit_difference,
    holm,
    paired_difference,
    patient_counts,
    patient_index,
    percentile_interval,
)
from evaluation.claims import COMPARISONS, LOSS_CLAIM, LOSS_METHOD, Comparison
from evaluation.classification import ranking_metrics
from evaluation.config import BootstrapConfig, ClaimsConfig

Curves = Mapping[tuple[str, str, str], NDArray[np.floating]]
"""IoU (N, T) per sample and threshold by (where, model, method), rows by ascending sample."""

OBSERVED = ("where", "model", "method", "metric", "sample", "patient", "value")


CLAIM_COLUMNS = (
    *("claim", "where", "verdict", "difference", "ci_low", "ci_high", "p_holm"),
    *("n", "n_patients", "family", "source"),
)


@dataclass(frozen=True)
class Finding:
    """A claim measured in one place, before its family's adjustment."""

    claim: str
    family: str
    source: str
    where: str
    difference: Difference
    equivalence: bool = False  # whether ``difference`` lies within the margin is the claim


def observe(samples: pd.DataFrame, metrics: Sequence[str], where: str, model: str) -> pd.DataFrame:
    """Long rows (``OBSERVED``, and severity) of per-sample rows with method and the ``metrics``.

    ``severity``, the target of a regression sample, is NaN where ``samples`` has none.
    """
    kept = samples.assign(severity=samples.get("severity", np.nan))
    named = ["method", "sample", "patient", "severity"]
    long = kept.melt(id_vars=named, value_vars=list(metrics), var_name="metric")
    return long.assign(where=where, model=model)[[*OBSERVED, "severity"]]


def compare_methods(
    observations: pd.DataFrame,
    curves: Curves,
    fold_seed: int,
    config: ClaimsConfig,
    seed: int,
    comparisons: Sequence[Comparison] = COMPARISONS,
) -> tuple[list[Finding], pd.DataFrame]:
    """Every comparison in every place and model that has both sides, and those that none has.

    ``observations``: rows of ``observe``. IoU is compared by ``curves`` where both methods have
    them, their thresholds chosen anew in each resample. The second frame: claim, where, reason.
    ValueError where the two sides of a comparison were measured on different samples.
    """
    series: dict[tuple[str, ...], pd.DataFrame] = {
        tuple(map(str, key)): group
        for key, group in observations.groupby(list(OBSERVED[:4]), sort=False)
    }
    places = dict.fromkeys((where, model) for where, model, _, _ in series)
    findings, left_out = [], []
    for comparison in comparisons:
        sides = [m for m in (comparison.better, comparison.worse) if m is not None]
        found = False
        for where, model in places:
            keys = [(where, model, method, comparison.metric) for method in sides]
            if not where.startswith(comparison.where) or not all(key in series for key in keys):
                continue
            found = True
            paired = [curves[k] for m in sides if (k := (where, model, m)) in curves]
            difference = _compare(
                comparison,
                [series[key] for key in keys],
                paired if comparison.metric == "iou" else [],
                fold_seed,
                config,
                seed,
            )
            # Two losses in one place are two findings.
            several = sum(place == where for place, _ in places) > 1
            name = f"{where}, {model}" if several else where
            findings.append(
                Finding(comparison.claim, comparison.family, comparison.source, name, difference)
            )
        if not found:
            absent = [m for m in sides if not any(k[2:] == (m, comparison.metric) for k in series)]
            what = f"no {comparison.metric} of {' and '.join(absent)}" if absent else "not both"
            left_out.append((comparison.claim, comparison.where or "any", f"{what} in this run"))
    return findings, pd.DataFrame(left_out, columns=["claim", "where", "reason"])


def _compare(
    comparison: Comparison,
    sides: Sequence[pd.DataFrame],
    curves: Sequence[NDArray[np.floating]],
    fold_seed: int,
    config: ClaimsConfig,
    seed: int,
) -> Difference:
    frames = [side.set_index("sample").sort_index() for side in sides]
    if np.isfinite(comparison.max_severity):
        frames = [frame[frame["severity"] <= comparison.max_severity] for frame in frames]
    first, last = frames[0], frames[-1]
    if not (first.index.is_unique and first.index.equals(last.index)):
        raise ValueError(f"{comparison.claim}: the two sides do not have the same samples")
    patients = first["patient"].to_numpy()
    bootstrap = BootstrapConfig(resamples=config.resamples, confidence=1 - config.alpha)
    if len(curves) == 2 and len(np.unique(patients)) > 1:
        if not len(curves[0]) == len(curves[1]) == len(first):
            raise ValueError(f"{comparison.claim}: curves are of other samples than the rows")
        high, low = curves if comparison.higher else curves[::-1]
        return cross_fit_difference(high, low, patients, fold_seed, bootstrap, seed)
    better = first["value"].to_numpy(dtype=np.float64)
    worse = np.zeros(len(first)) if len(frames) == 1 else last["value"].to_numpy(dtype=np.float64)
    a, b = (better, worse) if comparison.higher else (worse, better)
    return paired_difference(a, b, patients, bootstrap, seed)


def compare_losses(
    samples: pd.DataFrame,
    weighted: pd.DataFrame,
    plain: pd.DataFrame,
    classes: Sequence[str],
    where: str,
    config: ClaimsConfig,
    bootstrap: BootstrapConfig,
    seed: int,
) -> list[Finding]:
    """Table 3 and the Discussion: weighted BCE has the higher IoU at an equivalent AUC and AP.

    ``samples``: rows of ``loss_comparison.table3_samples`` of the losses weighted_bce and bce. Each
    rule is judged, and then whether they agree. ``weighted`` and ``plain``: the same films in the
    same order, with patient, a column of labels per class and logit_<class>. ValueError where they
    are not, or where a loss is absent.
    """
    findings = []
    for rule, rows in samples.groupby("rule", sort=False):
        named = rows.assign(method=LOSS_METHOD + "@" + rows["loss"])
        observed = observe(named, [LOSS_CLAIM.metric], where, "")
        judged, left_out = compare_methods(observed, {}, 0, config, seed, [LOSS_CLAIM])
        if len(left_out):
            raise ValueError(f"{LOSS_CLAIM.claim}: {left_out['reason'].iloc[0]}")
        findings += [replace(one, claim=f"{one.claim}, {rule}") for one in judged]
    findings.insert(0, _agreement(findings))
    draws, num_patients = _metric_differences(weighted, plain, classes, bootstrap, seed)
    for metric, values in draws.items():
        interval = percentile_interval(values[1:], 1 - config.alpha, num_patients)
        p = _equivalence_p(values, config.equivalence_margin)
        difference = Difference(float(values[0]), *interval, p, len(weighted), num_patients)
        name = f"{metric}: weighted_bce = bce within {config.equivalence_margin:g}"
        findings.append(Finding(name, "loss", "4", where, difference, equivalence=True))
    return findings


def _agreement(findings: Sequence[Finding]) -> Finding:
    """All findings as one: the weakest of them where they have one sign, else no evidence at all.

    To reject every part is to reject their union, so the weakest part's p is that of the whole.
    """
    weakest = max(findings, key=lambda finding: finding.difference.p)
    difference = weakest.difference
    if len({np.sign(finding.difference.value) for finding in findings}) > 1:
        difference = difference._replace(p=1.0)
    return replace(weakest, claim=LOSS_CLAIM.claim, difference=difference)


def _metric_differences(
    weighted: pd.DataFrame,
    plain: pd.DataFrame,
    classes: Sequence[str],
    bootstrap: BootstrapConfig,
    seed: int,
) -> tuple[dict[str, NDArray[np.float64]], int]:
    """Mean AUC and AP of the one less the other: of the films, then of B resamples (B + 1,)."""
    same = ["patient", *classes]
    if not np.array_equal(weighted[same].to_numpy(), plain[same].to_numpy()):
        raise ValueError("the two losses were not evaluated on the same films in the same order")
    index, num_patients = patient_index(weighted["patient"])
    counts = patient_counts(num_patients, bootstrap.resamples, seed)
    counts = np.vstack([np.ones(num_patients), counts])
    defined = [name for name in classes if plain[name].nunique() > 1]
    values = [
        np.array(
            [
                ranking_metrics(
                    frame[f"logit_{name}"].to_numpy(dtype=np.float64),
                    frame[name].to_numpy() == 1,
                    index,
                    counts,
                )
                for name in defined
            ]
        )
        for frame in (weighted, plain)
    ]
    differences = np.nanmean(np.subtract(values[0], values[1]), axis=0)  # (2, B + 1)
    return {"auc": differences[0], "ap": differences[1]}, num_patients


def _equivalence_p(values: NDArray[np.float64], margin: float) -> float:
    """One-sided p: of a difference within the margin (two one-sided tests), or else outside it.

    ``values``: the difference, then its draws.
    """
    draws = values[1:][~np.isnan(values[1:])]
    above, below = (draws >= margin).sum(), (draws <= -margin).sum()
    if abs(values[0]) < margin:
        return float((1 + max(above, below)) / (1 + len(draws)))
    return float((1 + len(draws) - max(above, below)) / (1 + len(draws)))


def claims_table(findings: Sequence[Finding], config: ClaimsConfig) -> pd.DataFrame:
    """claims.csv: each finding with its verdict, Holm's p over its family, and what it rests on.

    Without findings it has the columns and no row.
    """
    rows = [
        {
            "claim": f.claim,
            "where": f.where,
            "verdict": "undecided",
            "difference": f.difference.value,
            "ci_low": f.difference.low,
            "ci_high": f.difference.high,
            "p_holm": f.difference.p,
            "n": f.difference.n,
            "n_patients": f.difference.n_patients,
            "family": f.family,
            "source": f.source,
        }
        for f in findings
    ]
    table = pd.DataFrame(rows, columns=list(CLAIM_COLUMNS))
    if table.empty:
        return table
    table["p_holm"] = table.groupby("family")["p_holm"].transform(holm)
    decided = (table["p_holm"] < config.alpha) & (table["n_patients"] >= config.min_patients)
    within = table["difference"].abs() < config.equivalence_margin
    equivalence = np.array([f.equivalence for f in findings])
    supported = np.where(equivalence, within, table["difference"] > 0)
    table.loc[decided & supported, "verdict"] = "holds"
    table.loc[decided & ~supported, "verdict"] = "fails"
    return table
