"""Maps that never saw the film: what an attribution must beat before its IoU means anything."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Masks = Callable[[NDArray[np.intp]], NDArray[np.bool_]]
"""(rows (n,) of all N boxes) -> their masks (n, H, W)."""
PriorMaps = Callable[[NDArray[np.intp]], NDArray[np.float32]]
"""(rows (n,)) -> maps (n, H, W)."""
_AT_ONCE = 64  # masks


def whole_image(masks: Masks, patients: ArrayLike, findings: ArrayLike) -> PriorMaps:
    """Constant one: its IoU is the share of the film that the box covers."""
    return lambda rows: np.ones(masks(rows).shape, dtype=np.float32)


def location_prior(masks: Masks, patients: ArrayLike, findings: ArrayLike) -> PriorMaps:
    """Mean mask over the boxes of all other patients, whatever the finding."""
    owners = np.asarray(patients)
    return _others_mean(masks, owners, np.zeros(len(owners), dtype=np.intp))


def class_prior(masks: Masks, patients: ArrayLike, findings: ArrayLike) -> PriorMaps:
    """Mean mask over the other patients' boxes of the same finding.

    Where no other patient has a box of that finding, ``location_prior`` stands in.
    """
    owners = np.asarray(patients)
    names, kinds = np.unique(np.asarray(findings), return_inverse=True)
    alone = np.array([len(np.unique(owners[kinds == k])) < 2 for k in range(len(names))])
    of_kind = _others_mean(masks, owners, kinds)
    of_all = location_prior(masks, patients, findings) if alone.any() else of_kind

    def maps(rows: NDArray[np.intp]) -> NDArray[np.float32]:
        falls_back = alone[kinds[rows]]
        parts = ((of_kind, ~falls_back), (of_all, falls_back))
        found = [(here, prior(rows[here])) for prior, here in parts if here.any()]
        result = np.empty((len(rows), *found[0][1].shape[1:]), dtype=np.float32)
        for here, values in found:
            result[here] = values
        return result

    return maps


PRIORS: dict[str, Callable[[Masks, ArrayLike, ArrayLike], PriorMaps]] = {
    "whole_image": whole_image,
    "location_prior": location_prior,
    "class_prior": class_prior,
}
"""Masks, patients (N,) and findings (N,) of all boxes -> maps of the rows asked for.
However many boxes there are, few masks are held at a time."""


def _others_mean(masks: Masks, patients: NDArray[np.generic], kinds: NDArray[np.intp]) -> PriorMaps:
    """Mean over other patients' masks of the row's kind: the sum of all, less the patient's own."""
    _, owners = np.unique(patients, return_inverse=True)
    totals: dict[int, NDArray[np.int32]] = {}
    for start in range(0, len(kinds), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(kinds)))
        part = masks(rows)
        for kind in np.unique(kinds[rows]):
            total = part[kinds[rows] == kind].sum(axis=0, dtype=np.int32)
            totals[kind] = totals[kind] + total if kind in totals else total

    counts = np.bincount(kinds)

    def mean(row: np.intp) -> NDArray[np.float64]:
        own = np.flatnonzero((kinds == kinds[row]) & (owners == owners[row]))
        others = counts[kinds[row]] - len(own)
        if not others:
            raise ValueError(
                f"a prior for patient {patients[row]} needs boxes of other patients, and there are"
                " none"
            )
        return (totals[kinds[row]] - masks(own).sum(axis=0, dtype=np.int32)) / others

    return lambda rows: np.stack([mean(row) for row in rows]).astype(np.float32)
