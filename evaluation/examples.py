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
RIGHT_PROBABILITY = 0.5  # ours: of what is there, to count as predicted
RIGHT_POINTS = 2.0  # ours: of 18, by which a severity may miss to count as predicted
TWO_SIDED = (
    f"films whose boxes of a finding lie with a share of {LEAST_SHARE:g} or more on either side of "
    "the middle"
)
MIXED_SCORES = "films with two or more zones of score 3 and zones of other scores"
PREDICTED = f"predicted with a probability of {RIGHT_PROBABILITY:g} or more"
PREDICTED_SEVERITY = f"whose severity is predicted to {RIGHT_POINTS:g} points"


def median_rule(films: str, metric: str, predicted: str) -> str:
    """What ``median_and_worst`` chose, in words: of which films, by what, and which are right."""
    return (
        f"Of the evaluated {films}: first the one whose {metric} is the median, then, of those "
        f"{predicted}, the one where it is least (ties: the lower sample number)."
    )


def median_and_worst(values: ArrayLike, right: ArrayLike) -> list[int]:
    """Positions of the median value and of the least where ``right``, by ``median_rule``.

    ``values`` float (N,), NaN where undefined; ``right`` bool (N,): predicted right. The second is
    left out where nothing is right or where it is the median too; without values nothing is chosen.
    ValueError for different lengths.
    """
    given, predicted = np.asarray(values, dtype=np.float64), np.asarray(right, dtype=bool)
    if given.shape != predicted.shape:
        raise ValueError(f"{given.shape} values, but {predicted.shape} are right or not")
    known = np.flatnonzero(~np.isnan(given))
    if not len(known):
        return []
    median = int(known[_nearest_to_median(given[known], known)[0]])
    among = known[predicted[known]]
    worst = int(among[given[among].argmin()]) if len(among) else median
    return [median] if worst == median else [median, worst]


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
        nearest = _nearest_to_median(predicted[members], number[members])
        chosen.extend(members[nearest[:per_finding]])
    return np.array(chosen, dtype=np.intp)


def on_both_sides(samples: pd.DataFrame) -> NDArray[np.bool_]:
    """Which samples (N,) have boxes of their finding on both sides of their film (``TWO_SIDED``).

    ``samples``: columns image, finding, x, y, w, h (1024-px frame). All boxes of a finding on a
    film count as one region.
    """
    frame = samples.reset_index(drop=True)
    start, stop = frame["x"].clip(0, FRAME), (frame["x"] + frame["w"]).clip(0, FRAME)
    left = (stop.clip(upper=FRAME / 2) - start.clip(upper=FRAME / 2)) * frame["h"]
    sides = pd.DataFrame({"left": left, "both": (stop - start) * frame["h"]})
    sides = sides.groupby([frame["image"], frame["finding"]]).transform("sum")
    share = (sides["left"] / sides["both"]).to_numpy(np.float64)
    on_both: NDArray[np.bool_] = np.minimum(share, 1 - share) >= LEAST_SHARE
    return on_both


def mixed_scores(scores: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Which films (N,) are ``MIXED_SCORES`` by the scores (N, 6) of their zones."""
    threes = (scores == 3).sum(axis=1)
    return (threes >= 2) & (threes < scores.shape[1])


def _nearest_to_median(
    values: NDArray[np.float64], numbers: NDArray[np.integer]
) -> NDArray[np.intp]:
    """Order of ``values`` (n,) by distance to their median; ties: the lower of ``numbers`` (n,)."""
    # Rounded, so that the two middle values of an even count tie whatever their last bits.
    distance = np.abs(values - np.median(values)).round(12)
    return np.lexsort((numbers, distance))


def _checked(samples: pd.DataFrame, probabilities: ArrayLike) -> NDArray[np.float64]:
    predicted = np.asarray(probabilities, dtype=np.float64)
    if predicted.shape != (len(samples),) or np.isnan(predicted).any():
        raise ValueError(
            f"probabilities must be one number for each of {len(samples)} samples, without NaN"
        )
    return predicted
