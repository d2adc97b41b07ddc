"""Metrics of maps that others add to a process: see docs/extending.md."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Measure = Callable[..., Mapping[str, NDArray[Any]]]
"""(score, images (n, 3, H, W), targets (n,), maps (n, H, W), settings) -> a number per film (n,) by
name. ``score`` is a ``perturbation.Scorer``."""


@dataclass(frozen=True)
class OwnMetric:
    """How a map is measured, and by which settings: a dataclass, part of its results' keys."""

    measure: Measure
    settings: Any


OWN_METRICS: dict[str, OwnMetric] = {}


def register_metric(name: str, measure: Measure, settings: Any) -> None:
    """Makes ``name`` a choice of ``evaluation.metrics``, whose table is ``own_<name>.csv``.

    ValueError for a name that is taken.
    """
    if name in OWN_METRICS:
        raise ValueError(f"there is a metric {name!r} already: choose another name")
    OWN_METRICS[name] = OwnMetric(measure, settings)
