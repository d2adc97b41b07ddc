"""Which boxes are evaluated when not all of them are."""

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

    Findings take turns, each giving its next box in a seeded order, until ``max_samples`` are
    taken; None takes all. The order of the rows follows ``boxes``.

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
        Where there is no box, or a box of a finding that the network has no output for.
    """
    if boxes.empty:
        raise ValueError(
            "there is nothing to explain: no readable test film has a box (of NIH's films: in"
            " BBox_List_2017.csv), a label or a zone score of what is asked for"
        )
    unknown = sorted(set(boxes["finding"]) - set(labels))
    if unknown:
        raise ValueError(f"the network has no output for the boxed findings {', '.join(unknown)}")
    generator = np.random.default_rng(seed)
    drawn = boxes.assign(_order=generator.permutation(len(boxes)))
    drawn["_turn"] = drawn.groupby("finding")["_order"].rank(method="first")
    taken = drawn.sort_values(["_turn", "_order"]).head(max_samples or len(boxes))
    chosen = taken.assign(turn=np.arange(len(taken))).sort_index().reset_index(drop=True)
    positions = {label: position for position, label in enumerate(labels)}
    return pd.DataFrame(
        {
            "sample": np.arange(len(chosen)),
            **{name: chosen[name] for name in ("image", "patient", "finding")},
            "target": chosen["finding"].map(positions),
            **{name: chosen[name] for name in (*truth, "turn")},
        }
    )


def first_turns(samples: pd.DataFrame, max_samples: int | None) -> pd.DataFrame:
    """The samples whose turn came first, in the order of ``samples``: for what costs much.

    Like all of them, they are spread as evenly over the findings as the boxes allow.
    """
    if max_samples is None:
        return samples
    return samples[samples["turn"] < max_samples].reset_index(drop=True)
