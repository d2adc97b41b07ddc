"""The attribution methods by name: what a configuration can ask for."""

from collections.abc import Mapping
from typing import Any

from attribution.base import AttributionMethod
from attribution.config import AttributionConfig, required_taps
from attribution.grad_cam import GradCAM
from attribution.gradient import Gradient
from attribution.iba import IBA
from attribution.random_map import RandomMap
from attribution.statistics import FeatureStatistics

METHODS: dict[str, type] = {
    "gradient": Gradient,
    "grad_cam": GradCAM,
    "random": RandomMap,
    "iba": IBA,
}
"""A new method: a class of AttributionMethod's shape here, its settings in AttributionConfig under
the same name."""


def method_config(name: str, config: AttributionConfig) -> Any:
    """The method's own settings. Raises ValueError for an unknown name."""
    if name not in METHODS:
        raise ValueError(
            f"attribution.methods: unknown method {name!r}; known: {', '.join(METHODS)}"
        )
    return getattr(config, name)


def build_method(
    name: str, config: AttributionConfig, statistics: Mapping[str, FeatureStatistics]
) -> AttributionMethod:
    """The method with its settings; statistics by tap, of the taps that ``required_taps`` names.

    Raises ValueError for an unknown name or missing statistics.
    """
    settings = method_config(name, config)
    taps = required_taps(name, config)
    missing = [tap for tap in taps if tap not in statistics]
    if missing:
        raise ValueError(f"{name} needs the feature statistics at {', '.join(missing)}")
    method: AttributionMethod = METHODS[name](settings, *(statistics[tap] for tap in taps))
    return method
