"""Which films are shown: rules stated beside each figure, so that nobody chooses by eye."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from evaluation.localization import FRAME

EXAMPLE_RULE = (
    "For each finding, the sample, or samples, whose predicted probability is nearest to the "
    "finding's median over the evaluated samples (ties: the lower sample number). Nobody chose by "
    "eye."
)
LEAST_SHARE = 0.25  # ours: of a finding's boxes, on the lesser side of a film, to be on both sides
TWO_SIDED_RULE = (
    f"Of the evaluated findings whose boxes lie with a share of {LEAST_SHARE:g} or more on either "
    "side of the film's middle, the one with the highest predicted probability (ties: the lower "
    "sample number)."
)
SCORED_RULE = (
    "Of the evaluated films, the one with most zones of score 3 among those that have other scores "
    "too (ties: the first)."
)


def choose_examples(
    samples: pd.DataFrame, probabilities: ArrayLike, per_finding: int
) -> NDArray[np.intp]:
    """Positions in ``samples`` (columns sample, finding) of the examples, by ``EXAMPLE_RULE``.

    ``probabilities`` (N,): predicted probability of each sample's finding, in the order of
    ``samples``. Findings come in order of first appearance, within one the nearest first.
    ValueError for another length, NaN, or ``per_finding`` below 1.
    """
    predicted = _checked(samples, probabilities)
    if per_finding < 1:
        raise ValueError(f"{per_finding} examples of each finding: at least 1 is needed")
    finding, number = samples["finding"].to_numpy(), samples["sample"].to_numpy()
    chosen: list[int] = []
    for name in dict.fromkeys(finding):
        members = np.flatnonzero(finding == name)
        distance = np.abs(predicted[members] - np.median(predicted[members]))
        # Rounded, so that the two middle values of an even count tie whatever their last bits.
        nearest = np.lexsort((number[members], distance.round(12)))
        chosen.extend(members[nearest[:per_finding]])
    return np.array(chosen, dtype=np.intp)


def choose_two_sided(samples: pd.DataFrame, probabilities: ArrayLike) -> NDArray[np.intp]:
    """Positions in ``samples`` of all boxes of one finding on one film, by ``TWO_SIDED_RULE``.

    ``samples``: columns sample, image, finding, x, y, w, h (1024-px frame); ``probabilities`` (N,)
    as for ``choose_examples``. Empty where no finding lies on both sides.
    """
    predicted = _checked(samples, probabilities)
    frame = samples.reset_index(drop=True)
    start, stop = frame["x"].clip(0, FRAME), (frame["x"] + frame["w"]).clip(0, FRAME)
    left = (stop.clip(upper=FRAME / 2) - start.clip(upper=FRAME / 2)) * frame["h"]
    sides = pd.DataFrame({"left": left, "both": (stop - start) * frame["h"]})
    sides = sides.groupby([frame["image"], frame["finding"]]).transform("sum")
    share = sides["left"] / sides["both"]
    two_sided = np.flatnonzero(np.minimum(share, 1 - share) >= LEAST_SHARE)
    if not len(two_sided):
        return two_sided
    number = frame["sample"].to_numpy()
    best = frame.iloc[two_sided[np.lexsort((number[two_sided], -predicted[two_sided]))[0]]]
    same = (frame["image"] == best["image"]) & (frame["finding"] == best["finding"])
    return np.flatnonzero(same)


def choose_scored(scores: NDArray[np.integer]) -> int | None:
    """Position of the film of ``SCORED_RULE`` in the zones' ``scores`` (N, 6); or None."""
    threes = (scores == 3).sum(axis=1)
    threes[threes == scores.shape[1]] = 0
    return int(threes.argmax()) if threes.any() else None


def _checked(samples: pd.DataFrame, probabilities: ArrayLike) -> NDArray[np.float64]:
    predicted = np.asarray(probabilities, dtype=np.float64)
    if predicted.shape != (len(samples),) or np.isnan(predicted).any():
        raise ValueError(
            f"probabilities must be one number for each of {len(samples)} samples, without NaN"
        )
    return predicted
