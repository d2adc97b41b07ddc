"""Area under the ROC curve (AUC) and average precision (AP) per class, with patient bootstrap."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from evaluation.bootstrap import UNDEFINED, patient_counts, patient_index, percentile_interval
from evaluation.config import BootstrapConfig
from evaluation.paper_tables import paper_value

BOXED = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
)
"""The findings that have boxes, the paper's eight pathologies."""
_NIH = ("nih", "nih_phantoms")  # data sets with the labels whose numbers the paper prints

CHUNK_BYTES = 64 * 2**20  # bounds the array of segments x resamples


def ranking_metrics(
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    patients: NDArray[np.intp],
    counts: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AUC (B,) and AP (B,) of one class, each film weighing as often as its patient was drawn.

    ``scores``, ``positive`` and ``patients`` (N,), the last indexing the columns of ``counts``
    (B, P). AUC is the chance that a positive film outranks a negative one, ties counting half;
    AP is sum_k (R_k - R_{k-1}) P_k over the distinct scores (both as in scikit-learn). NaN where a
    resample holds no positive or no negative film.
    """
    auc, ap = np.full(len(counts), np.nan), np.full(len(counts), np.nan)
    if not positive.any() or positive.all():
        return auc, ap
    order = np.argsort(-scores, kind="stable")
    ranked, hit, owner = scores[order], positive[order], patients[order]

    # Films of one score form a group. Only groups that hold a positive add to either metric, so
    # the run of groups between two of them is summed as one segment.
    starts = np.r_[True, ranked[1:] != ranked[:-1]]
    group = np.cumsum(starts) - 1
    has_hit = np.bincount(group, weights=hit) > 0
    starts[starts] = has_hit | np.r_[True, has_hit[:-1]]
    segment = np.cumsum(starts) - 1
    scoring = np.unique(segment[hit])

    def films(of: NDArray[np.bool_]) -> sparse.csr_array:
        """How many of these films each patient has in each segment."""
        entries = np.ones(of.sum()), (segment[of], owner[of])
        return sparse.csr_array(entries, shape=(segment[-1] + 1, counts.shape[1]))

    hits, misses = films(hit), films(~hit)
    chunk = max(1, CHUNK_BYTES // (8 * hits.shape[0]))
    for start in range(0, len(counts), chunk):
        part = slice(start, start + chunk)
        drawn = counts[part].T
        here = (hits @ drawn)[scoring]  # positives of each scoring group (G, b)
        missed = misses @ drawn
        true, false = np.cumsum(here, axis=0), np.cumsum(missed, axis=0)[scoring]
        num_positive, num_negative = true[-1], missed.sum(axis=0)
        outranked = num_negative - false + missed[scoring] / 2
        precision = true / np.maximum(true + false, 1)
        with np.errstate(invalid="ignore"):
            auc[part] = (here * outranked).sum(axis=0) / (num_positive * num_negative)
            ap[part] = (here * precision).sum(axis=0) / num_positive
    ap[np.isnan(auc)] = np.nan
    return auc, ap


def classification_table(
    dataset: str,
    model: str,
    classes: Sequence[str],
    labels: ArrayLike,
    logits: ArrayLike,
    patients: ArrayLike,
    bootstrap: BootstrapConfig,
    seed: int,
) -> pd.DataFrame:
    """Rows of classification.csv: one per class, then ``mean`` and, over ``BOXED`` where all of
    them are classes, ``mean8``.

    ``labels`` (N, C) of 0 and 1, ``logits`` (N, C) or any other scores, ``patients`` (N,). Means
    are unweighted and over the classes that are defined; ``n_classes`` counts those, and
    ``n_positive`` of a mean adds up its classes. A class without positives or without negatives is
    undefined (NaN), and so is the interval of one whose positives or negatives all come from one
    patient. A resample in which a defined class has lost its positives gives no value for that
    class, and its mean is over the rest.
    ``paper_auc`` and ``paper_ap`` are found by model (bce, weighted_bce) and class, for NIH's films
    and its phantoms (``dataset`` is nih or nih_phantoms); of other data sets none are printed.
    ValueError for shapes that do not fit, labels other than 0 and 1, or scores that are not finite.
    """
    truth, scores = np.asarray(labels), np.asarray(logits, dtype=np.float64)
    _check(classes, truth, scores, patients)
    index, num_patients = patient_index(patients)
    counts = patient_counts(num_patients, bootstrap.resamples, seed)
    counts = np.vstack([np.ones(num_patients), counts])  # row 0 is the sample itself
    auc, ap = np.empty((len(counts), len(classes))), np.empty((len(counts), len(classes)))
    has_interval = np.zeros(len(classes), dtype=bool)
    for k in range(len(classes)):
        positive = truth[:, k] == 1
        auc[:, k], ap[:, k] = ranking_metrics(scores[:, k], positive, index, counts)
        has_interval[k] = min(len(np.unique(index[positive == side])) for side in (0, 1)) > 1

    columns = [(name, [k]) for k, name in enumerate(classes)]
    columns.append(("mean", list(range(len(classes)))))
    boxed = [k for k, name in enumerate(classes) if name in BOXED]
    if len(boxed) == len(BOXED):
        columns.append(("mean8", boxed))
    rows = []
    for name, members in columns:
        defined = [k for k in members if not np.isnan(auc[0, k])]
        row: dict[str, object] = {"dataset": dataset, "model": model, "class": name}
        for metric, draws in (("auc", auc), ("ap", ap)):
            value, interval = np.nan, UNDEFINED
            if defined:
                value = draws[0, defined].mean()
                if has_interval[defined].any():
                    interval = percentile_interval(
                        _mean_of_defined(draws[1:, defined]), bootstrap.confidence, num_patients
                    )
            row[metric] = value
            row[f"{metric}_ci_low"], row[f"{metric}_ci_high"] = interval
        row["n_positive"] = int((truth[:, members] == 1).sum())
        row["n"], row["n_patients"], row["n_classes"] = len(truth), num_patients, len(defined)
        for metric in ("auc", "ap"):
            published = paper_value("classification", f"{model}/{name}", metric)
            row[f"paper_{metric}"] = published if dataset in _NIH else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def _mean_of_defined(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over classes (B,) of draws (B, C), leaving out NaN; NaN where all are."""
    known = ~np.isnan(draws)
    with np.errstate(invalid="ignore"):
        return np.where(known, draws, 0.0).sum(axis=1) / known.sum(axis=1)


def _check(
    classes: Sequence[str],
    truth: NDArray[np.generic],
    scores: NDArray[np.float64],
    patients: ArrayLike,
) -> None:
    shape = (len(np.asarray(patients)), len(classes))
    if truth.shape != shape or scores.shape != shape or not shape[0]:
        raise ValueError(
            f"labels {truth.shape} and logits {scores.shape} must have a row for each of "
            f"{shape[0]} films (one at least) and a column for each of {shape[1]} classes"
        )
    for k, name in enumerate(classes):
        if not np.isin(truth[:, k], (0, 1)).all():
            raise ValueError(f"labels of {name} must be 0 or 1")
        if not np.isfinite(scores[:, k]).all():
            raise ValueError(f"scores of {name} hold NaN or infinity")
