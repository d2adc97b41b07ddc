"""A method as steps use it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attribution.config import AttributionConfig, Score, required_taps

if TYPE_CHECKING:  # torch is imported when a step runs
    from attribution.base import AttributionMethod, ScoreFunction
    from attribution.statistics import FeatureStatistics


@dataclass(frozen=True)
class Explainer:
    """All that a method's maps depend on, beside the model, the films and the samples.

    ``settings``: the method's own dataclass; ``layers``: of Multi-layer IBA the settings of its
    layers by name, else empty.
    """

    method: str
    settings: Any
    layers: Mapping[str, Any]
    score: Score

    @classmethod
    def of(cls, method: str, config: AttributionConfig, score: Score) -> "Explainer":
        """As ``config`` sets the method."""
        settings = getattr(config, method)
        layers = {layer: getattr(config, layer) for layer in getattr(settings, "layers", ())}
        return cls(method, settings, layers, score)

    @property
    def taps(self) -> tuple[str, ...]:
        """Of which feature statistics are needed."""
        return required_taps(self.method, self._config)

    @property
    def score_function(self) -> "ScoreFunction":
        from attribution.base import SCORES

        return SCORES[self.score]

    def build(self, statistics: "Mapping[str, FeatureStatistics]") -> "AttributionMethod":
        """``statistics``: by tap. Raises ValueError where one is missing."""
        from attribution.methods import build_method

        return build_method(self.method, self._config, statistics)

    @property
    def _config(self) -> AttributionConfig:
        config = AttributionConfig()
        # Not by ``replace``: a method of the user's own is no field.
        vars(config).update({**self.layers, self.method: self.settings})
        return config
