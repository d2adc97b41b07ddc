"""A method as steps use it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attribution.config import (
    AUTO,
    AttributionConfig,
    BottleneckConfig,
    Score,
    required_taps,
)
from evaluation.config import REFERENCE_SIDE
from models.config import FrozenPrecision
from pipeline.step import Inputs, Source, added

if TYPE_CHECKING:  # torch is imported when a step runs
    from attribution.base import AttributionMethod, ScoreFunction
    from attribution.statistics import FeatureStatistics

BETA = "beta.json"
"""The file that an operating point leaves."""


@dataclass(frozen=True)
class Explainer:
    """All that a method's maps depend on, beside the model, the films and the samples.

    ``settings``: the method's own dataclass; ``layers``: of Multi-layer IBA the settings of its
    layers by name, else empty. ``operating_points``: the steps that find the betas that are auto,
    by method or layer. ``precision``: of the network behind the bottlenecks, where there are any.
    """

    method: str
    settings: Any
    layers: Mapping[str, Any]
    score: Score
    operating_points: Mapping[str, Source] = field(default_factory=dict)
    precision: FrozenPrecision = added(FrozenPrecision.float32)

    @classmethod
    def of(cls, method: str, config: AttributionConfig, score: Score, side: int) -> "Explainer":
        """As ``config`` sets the method, on films of ``side`` px."""
        settings = getattr(config, method)
        layers = {
            layer: _at_side(getattr(config, layer), side)
            for layer in getattr(settings, "layers", ())
        }
        found = cls(method, _at_side(settings, side), layers, score)
        return replace(found, precision=config.precision) if found.taps else found

    @property
    def taps(self) -> tuple[str, ...]:
        """Of which feature statistics are needed."""
        return required_taps(self.method, self._config)

    @property
    def to_find(self) -> tuple[str, ...]:
        """The method or layers whose beta is auto."""
        parts = {**self.layers, self.method: self.settings}
        return tuple(name for name, each in parts.items() if getattr(each, "beta", None) == AUTO)

    @property
    def score_function(self) -> "ScoreFunction":
        from attribution.base import SCORES

        return SCORES[self.score]

    def found(self, inputs: Inputs) -> "Explainer":
        """With the betas that its operating points found."""
        return self.at(
            {name: found_beta(inputs[source]) for name, source in self.operating_points.items()}
        )

    def at(self, betas: Mapping[str, float]) -> "Explainer":
        """With these betas, by method or layer."""
        layers = {
            name: replace(each, beta=betas[name]) if name in betas else each
            for name, each in self.layers.items()
        }
        settings = self.settings
        if self.method in betas:
            settings = replace(settings, beta=betas[self.method])
        return replace(self, settings=settings, layers=layers)

    def build(self, statistics: "Mapping[str, FeatureStatistics]") -> "AttributionMethod":
        """``statistics``: by tap. Raises ValueError where one is missing, or a beta is auto."""
        from attribution.methods import build_method

        return build_method(self.method, self._config, statistics)

    @property
    def _config(self) -> AttributionConfig:
        config = AttributionConfig()
        # Not by ``replace``: a method of the user's own is no field.
        vars(config).update({**self.layers, self.method: self.settings})
        return config


def found_beta(folder: Path) -> float:
    """Of a finished operating point."""
    beta: float = json.loads((folder / BETA).read_text(encoding="utf-8"))["beta"]
    return beta


def _at_side(settings: Any, side: int) -> Any:
    """sigma is a length: a cell of the feature map is the same number of pixels at any side."""
    if isinstance(settings, BottleneckConfig) and side != REFERENCE_SIDE:
        return replace(settings, sigma=settings.sigma * side / REFERENCE_SIDE)
    return settings
