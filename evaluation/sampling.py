"""Which boxes are evaluated when not all of them are."""

import heapq
from collections import Counter, deque
from collections.abc import Sequence

import numpy as np
import pandas as pd


def select_samples(
    boxes: pd.DataFrame,
    labels: Sequence[str],
    max_samples: int | None,
    seed: int,
    truth: Sequence[str] = ("x", "y", "w", "h"),
) -> pd.DataFrame:
    """One row per (image, finding, box), spread as evenly over the findings as they allow.

    Findings take turns until ``max_samples`` are taken; None takes all. Each gives a box of the
    patient of whom least was taken, whatever the finding, for a verdict counts patients. Among
    these a seeded order decides. The order of the rows follows ``boxes``.

    Parameters
    ----------
    boxes : columns image, finding, patient, and those of ``truth``: where the finding lies, or how
        severe it is (default: a box in the 1024-px frame).
    labels : the network's outputs; ``target`` is the finding's position among them.

    Returns
    -------
    DataFrame with sample (int, from 0), image, patient, finding, target, those of ``truth``, and
    turn, the place (from 0) at which it was taken.

    Raises
    ------
    ValueError
        For a box of a finding that the network has no output for.
    """
    unknown = sorted(set(boxes["finding"]) - set(labels))
    if unknown:
        raise ValueError(f"the network has no output for the boxed findings {', '.join(unknown)}")
    order = np.random.default_rng(seed).permutation(len(boxes))
    taken = _in_turn(boxes.iloc[order], max_samples or len(boxes))
    chosen = boxes.iloc[order[taken]].assign(turn=np.arange(len(taken)))
    chosen = chosen.sort_index().reset_index(drop=True)
    positions = {label: position for position, label in enumerate(labels)}
    return pd.DataFrame(
        {
            "sample": np.arange(len(chosen)),
            **{name: chosen[name] for name in ("image", "patient", "finding")},
            "target": chosen["finding"].map(positions),
            **{name: chosen[name] for name in (*truth, "turn")},
        }
    )


def _in_turn(boxes: pd.DataFrame, count: int) -> list[int]:
    """Positions of ``count`` of ``boxes``, or of all, as findings in turn give them."""
    patients = boxes["patient"].tolist()
    left: dict[str, dict[object, deque[int]]] = {}  # positions, by finding and patient
    for position, finding in enumerate(boxes["finding"]):
        own = left.setdefault(finding, {})
        own.setdefault(patients[position], deque()).append(position)
    # A heap for each finding: of its patients, how often each was taken, and the next box.
    queues = [[(0, own[0]) for own in of_one.values()] for of_one in left.values()]
    number_of, taken = Counter[object](), list[int]()
    while any(queues):
        for queue, of_one in zip(queues, left.values(), strict=True):
            if not queue:
                continue
            # A patient may have been taken since, for another finding.
            while (now := number_of[patients[queue[0][1]]]) > queue[0][0]:
                heapq.heapreplace(queue, (now, queue[0][1]))
            position = heapq.heappop(queue)[1]
            taken.append(position)
            if len(taken) == count:
                return taken
            patient = patients[position]
            number_of[patient] += 1
            of_one[patient].popleft()
            if of_one[patient]:
                heapq.heappush(queue, (number_of[patient], of_one[patient][0]))
    return taken


def first_turns(samples: pd.DataFrame, max_samples: int | None) -> pd.DataFrame:
    """The samples whose turn came first, in the order of ``samples``: for what costs much.

    Like all of them, they are spread as evenly over the findings as the boxes allow, and over the
    patients within these.
    """
    if max_samples is None:
        return samples
    return samples[samples["turn"] < max_samples].reset_index(drop=True)
