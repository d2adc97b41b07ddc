"""Shortcut audit: how well a linear model tells the findings without looking for one.

What it reaches on a grey histogram, a thumbnail, who was filmed how, or the letters and tubes on
the film, a network may reach as well, and then an attribution has no lesion to find.
"""

import cv2
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evaluation.bootstrap import UNDEFINED, patient_counts, patient_index, percentile_interval
from evaluation.classification import ranking_metrics
from evaluation.config import BootstrapConfig, ShortcutConfig

Fold = tuple[NDArray[np.intp], NDArray[np.intp]]
COLUMNS = ["class", "features", "auc", "ci_low", "ci_high", "n", "n_positive", "exceeds"]


def shortcut_features(
    films: NDArray[np.uint8],
    views: ArrayLike | None,
    ages: ArrayLike | None,
    visits: ArrayLike | None,
    regions: NDArray[np.bool_] | None,
    config: ShortcutConfig,
) -> dict[str, NDArray[np.float32]]:
    """Features (N, F) by name, none of which shows a lesion's form.

    ``films`` (N, S, S); ``views`` (N,) PA or AP; ``ages`` (N,) in years; ``visits`` (N,), 0 the
    first; ``regions`` (N, S, S), where letters, leads and tubes lie. None where nobody knows:
    without regions there is no ``marker_region``, the thumbnail of the film blackened everywhere
    else; ``metadata`` has of the other three those that are known.
    """
    views = None if views is None else np.asarray(views) == "AP"
    known = [np.asarray(each, float) for each in (views, ages, visits) if each is not None]
    side = config.thumbnail
    features = {
        f"histogram{config.bins}": _histograms(films, config.bins),
        f"thumbnail{side}x{side}": _thumbnails(films, side),
    }
    if known:
        features["metadata"] = np.column_stack(known).astype(np.float32)
    if regions is not None:
        features["marker_region"] = _thumbnails(films * regions, side)
    return features


def shortcut_audit(
    films: NDArray[np.uint8],
    labels: pd.DataFrame,
    patients: ArrayLike,
    views: ArrayLike | None,
    ages: ArrayLike | None,
    visits: ArrayLike | None,
    regions: NDArray[np.bool_] | None,
    config: ShortcutConfig,
    bootstrap: BootstrapConfig,
    seed: int,
) -> pd.DataFrame:
    """AUC of logistic regression on each feature set for each class, one row each.

    ``labels`` (N, C) of 0 and 1, a column a class; the rest as in ``shortcut_features``. Every film
    is scored by a model that saw no film of its patient; the interval is a patient bootstrap of
    these scores. Columns: class, features, auc, ci_low, ci_high, n, n_positive, exceeds (auc above
    ``config.limit``). A class with positive or negative films of fewer patients than there are
    folds has no AUC (NaN).
    ValueError for arrays of different length, labels other than 0 and 1, ages that are not finite.
    """
    truth = labels.to_numpy()
    owners = np.asarray(patients)
    _check(films, truth, owners, views, ages, visits, regions)
    features = shortcut_features(films, views, ages, visits, regions, config)
    index, num_patients = patient_index(owners)
    counts = patient_counts(num_patients, bootstrap.resamples, seed)
    counts = np.vstack([np.ones(num_patients), counts])  # row 0 is the sample itself
    rows = []
    for k, name in enumerate(labels.columns):
        positive = truth[:, k] == 1
        enough = min(len(np.unique(index[positive == side])) for side in (0, 1)) >= config.folds
        folds = _patient_folds(positive, index, config.folds, seed) if enough else []
        for kind, values in features.items():
            auc, interval = np.nan, UNDEFINED
            if enough:
                scores = _scores(values, positive, folds, config)
                draws, _ = ranking_metrics(scores, positive, index, counts)
                auc = float(draws[0])
                interval = percentile_interval(draws[1:], bootstrap.confidence, num_patients)
            exceeds = auc > config.limit
            rows.append(
                (name, kind, auc, *interval, len(films), int(positive.sum()), bool(exceeds))
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _patient_folds(
    positive: NDArray[np.bool_], patients: NDArray[np.intp], count: int, seed: int
) -> list[Fold]:
    """Rows to train on and rows to score, of ``count`` folds of patients, positives shared out."""
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return list(splitter.split(patients, positive, groups=patients))


def _scores(
    values: NDArray[np.float32],
    positive: NDArray[np.bool_],
    folds: list[Fold],
    config: ShortcutConfig,
) -> NDArray[np.float64]:
    """Logit (N,) of each film by the model of the folds without its patient."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=config.inverse_penalty))
    scores = cross_val_predict(model, values, positive, cv=folds, method="decision_function")
    return np.asarray(scores, np.float64)


def _histograms(films: NDArray[np.uint8], bins: int) -> NDArray[np.float32]:
    """Share of the film's pixels in each of ``bins`` equal ranges of grey (N, bins)."""
    shares = [np.bincount(film.ravel().astype(int) * bins // 256, minlength=bins) for film in films]
    return np.array(shares, np.float32) / np.float32(films[0].size)


def _thumbnails(films: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Mean grey of each of ``side`` x ``side`` tiles (N, side * side)."""
    size = (side, side)
    small = [cv2.resize(f.astype(np.float32), size, interpolation=cv2.INTER_AREA) for f in films]
    return np.array(small).reshape(len(films), -1)


def _check(
    films: NDArray[np.uint8],
    truth: NDArray[np.generic],
    patients: NDArray[np.generic],
    views: ArrayLike | None,
    ages: ArrayLike | None,
    visits: ArrayLike | None,
    regions: NDArray[np.bool_] | None,
) -> None:
    if films.ndim != 3 or films.dtype != np.uint8 or not len(films):
        raise ValueError(f"films must be uint8 (N, S, S), got {films.dtype} {films.shape}")
    lengths = {"labels": truth, "patients": patients, "views": views, "ages": ages}
    for name, values in {**lengths, "visits": visits}.items():
        if values is not None and len(np.asarray(values)) != len(films):
            raise ValueError(f"{name}: {len(np.asarray(values))} for {len(films)} films")
    if regions is not None and regions.shape != films.shape:
        raise ValueError(f"regions {regions.shape} must have the shape of films {films.shape}")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError("labels must be 0 or 1")
    if ages is not None and not np.isfinite(np.asarray(ages, float)).all():
        raise ValueError("ages hold NaN or infinity: leave those films out")
