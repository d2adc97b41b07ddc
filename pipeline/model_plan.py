"""The stages that explain one model: feature statistics at each tap, and every method's maps."""

from collections.abc import Iterable

from attribution.config import MultilayerIBAConfig, Score, required_taps
from pipeline.config import PipelineConfig
from pipeline.graph import Stage
from pipeline.stages import attribute, statistics


def statistics_stages(
    config: PipelineConfig,
    methods: Iterable[str],
    model: str,
    train: Stage,
    index: Stage,
    pack: Stage,
) -> dict[str, Stage]:
    """By tap, those that the methods need; ``model`` names it on screen. Over the train films."""
    taps = {tap for method in methods for tap in required_taps(method, config.attribution)}
    return {tap: statistics.stage(config, model, tap, train, index, pack) for tap in sorted(taps)}


def attribute_stages(
    config: PipelineConfig,
    methods: Iterable[str],
    model: str,
    train: Stage,
    pack: Stage,
    select: Stage,
    of_tap: dict[str, Stage],
    score: Score | None = None,
) -> dict[str, Stage]:
    """By method. ``of_tap``: ``statistics_stages``; ``model`` and ``score`` as in ``attribute``."""

    def stage(method: str) -> Stage:
        settings = getattr(config.attribution, method)
        if isinstance(settings, MultilayerIBAConfig):
            layers = {layer: stage(layer) for layer in settings.layers}
            return attribute.joined_stage(config, method, model, layers)
        wanted = {tap: of_tap[tap] for tap in required_taps(method, config.attribution)}
        return attribute.stage(config, method, model, train, pack, select, wanted, score)

    return {method: stage(method) for method in methods}
