"""Claim 12, over pairs of trainings: weighted BCE looks nearer to the annotations and classifies no
better. One training of each loss says nothing of the losses: two trainings differ too."""

import numpy as np
import pandas as pd

from evaluation.claims import CLAIMS
from evaluation.config import ClaimsConfig
from evaluation.paired_tests import Decision, Estimate, decide, paired_difference, rule
from evaluation.verdicts import CLAIM_COLUMNS

WEIGHTED, PLAIN = "weighted_bce", "bce"
IOU_MARGIN = 0.02  # ours; half of the paper's difference of 0.041
QUALITY_MARGIN = 0.02  # ours, AUC or AP; the paper calls 0.002 and 0.007 equivalent


def pair_differences(table3: pd.DataFrame, classification: pd.DataFrame) -> dict[str, float]:
    """Weighted less plain BCE of one pair of trainings: mean IoU by rule of table3.csv, and the
    mean auc and ap of the first data set of classification.csv. ValueError where a loss is
    absent."""
    found: dict[str, float] = {}
    means = table3[table3["pathology"] == "Mean"]
    for name, rows in means.groupby("rule", sort=False):
        found[str(name)] = _difference(rows.set_index("loss")["iou"])
    findings = classification[classification["dataset"] == classification["dataset"].iloc[0]]
    whole = findings[findings["class"] == "mean"].set_index("model")
    return found | {metric: _difference(whole[metric]) for metric in ("auc", "ap")}


def loss_claim(pairs: pd.DataFrame, config: ClaimsConfig) -> pd.DataFrame:
    """The claim's row of claims.csv, judged alone. ``pairs``: a row of ``pair_differences`` for
    each pair of trainings, which count as patients do elsewhere. ValueError for fewer than two.

    It holds where the IoU is higher under every rule and both metrics of quality lie within their
    margin; it fails where an IoU is lower, or a metric beyond its margin.
    """
    if len(pairs) < 2:
        raise ValueError("claim 12 needs two pairs of trainings or more, five to be decided")
    trainings = np.arange(len(pairs))
    found = {
        str(name): paired_difference(pairs[name], np.zeros(len(pairs)), trainings) for name in pairs
    }
    quality = {metric: found.pop(metric) for metric in ("auc", "ap")}
    rules = list(found.values())
    by_iou = decide(rules, [IOU_MARGIN] * len(rules))
    decision = Decision(
        holds=max(by_iou.holds, *map(_within, quality.values())),
        fails=min(1.0, 3 * min(by_iou.fails, *map(_beyond, quality.values()))),
        equivalent=by_iou.equivalent,
    )
    (ruling,) = rule([decision], config.alpha)
    name, weakest = min(found.items(), key=lambda item: item[1].t())
    low, high = weakest.interval(1 - config.alpha)
    claim = CLAIMS[-1]
    sides = (f"{metric.upper()} {each.value:+.3f}" for metric, each in quality.items())
    line = {
        "number": claim.number,
        "claim": claim.sentence,
        "source": claim.source,
        "verdict": ruling.verdict.value,
        "reason": f"{len(pairs)} pairs of trainings; {', '.join(sides)}",
        "metric": f"mean IoU with the boxes, rule {name}",
        "better": WEIGHTED,
        "worse": PLAIN,
        "difference": weakest.value,
        "ci_low": low,
        "ci_high": high,
        "margin": IOU_MARGIN,
        "p_difference": ruling.p_difference,
        "p_equivalence": ruling.p_equivalence,
        "n": weakest.n,
        "n_patients": weakest.n_patients,
        "paper": claim.paper,
    }
    return pd.DataFrame([line], columns=list(CLAIM_COLUMNS))


def _within(quality: Estimate) -> float:
    return max(quality.p_above(-QUALITY_MARGIN), quality.p_below(QUALITY_MARGIN))


def _beyond(quality: Estimate) -> float:
    return min(1.0, 2 * min(quality.p_above(QUALITY_MARGIN), quality.p_below(-QUALITY_MARGIN)))


def _difference(by_loss: "pd.Series[float]") -> float:
    if absent := {WEIGHTED, PLAIN} - set(by_loss.index):
        raise ValueError(f"claim 12 compares two losses, {', '.join(sorted(absent))} is absent")
    return float(by_loss[WEIGHTED] - by_loss[PLAIN])
