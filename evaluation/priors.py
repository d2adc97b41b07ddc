"""Maps that never saw the film: what an attribution must beat before its IoU means anything."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

PriorMaps = NDArray[np.float32]


def whole_image(
    masks: NDArray[np.bool_],
    patients: ArrayLike,
    findings: ArrayLike,
    rows: slice = slice(None),
) -> PriorMaps:
    """Constant one: its IoU is the share of the film that the box covers."""
    return np.ones(masks[rows].shape, dtype=np.float32)


def location_prior(
    masks: NDArray[np.bool_],
    patients: ArrayLike,
    findings: ArrayLike,
    rows: slice = slice(None),
) -> PriorMaps:
    """Mean mask over the boxes of all other patients, whatever the finding."""
    return _others_mean(masks, np.asarray(patients), np.arange(len(masks)), rows)


def class_prior(
    masks: NDArray[np.bool_],
    patients: ArrayLike,
    findings: ArrayLike,
    rows: slice = slice(None),
) -> PriorMaps:
    """Mean mask over the other patients' boxes of the same finding.

    Where no other patient has a box of that finding, ``location_prior`` stands in.
    """
    owners, kinds = np.asarray(patients), np.asarray(findings)
    wanted = np.arange(len(masks))[rows]
    maps = np.empty((len(wanted), *masks.shape[1:]), dtype=np.float32)
    for kind in np.unique(kinds[wanted]):
        here = kinds[wanted] == kind
        pool = np.flatnonzero(kinds == kind)
        if len(np.unique(owners[pool])) < 2:
            pool = np.arange(len(masks))
        maps[here] = _others_mean(masks, owners, pool, wanted[here])
    return maps


PRIORS: dict[str, Callable[[NDArray[np.bool_], ArrayLike, ArrayLike, slice], PriorMaps]] = {
    "whole_image": whole_image,
    "location_prior": location_prior,
    "class_prior": class_prior,
}
"""Masks (N, H, W) bool of all boxes, their patients (N,) and findings (N,), and which rows are
wanted (n of N) -> maps (n, H, W) float32. Ask for a slice of rows at a time to bound the memory."""


def _others_mean(
    masks: NDArray[np.bool_],
    patients: NDArray[np.generic],
    pool: NDArray[np.intp],
    rows: slice | NDArray[np.intp],
) -> PriorMaps:
    """Mean over the masks in ``pool`` of other patients: the sum of all, less the patient's own."""
    total = masks[pool].sum(axis=0, dtype=np.int32)
    owners = patients[pool]
    asked = patients[rows]
    maps = np.empty((len(asked), *masks.shape[1:]), dtype=np.float32)
    for patient in np.unique(asked):
        own = pool[owners == patient]
        others = len(pool) - len(own)
        if not others:
            raise ValueError(
                f"a prior for patient {patient} needs boxes of other patients, and there are none"
            )
        maps[asked == patient] = (total - masks[own].sum(axis=0, dtype=np.int32)) / others
    return maps
