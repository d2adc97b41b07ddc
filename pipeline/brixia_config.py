"""Settings of the second half of the paper: detectors and severity on films with zone scores."""

from dataclasses import dataclass, field

from data.config import (
    BrixiaConfig,
    BrixiaPhantomConfig,
    CohenReader,
    LungsConfig,
    ScoredFilms,
    TestFilms,
)
from models.config import Optimizer, TrainConfig

DETECTOR_METRICS = ("insertion_deletion", "equal_area", "all_regions", "sanity", "road")
SEVERITY_METRICS = ("sensitivity_n", "zone_drops")


def _detector_training() -> TrainConfig:
    return TrainConfig(epochs=10)  # published code: SGD; best validation loss near epoch 4


def _regressor_training() -> TrainConfig:
    # Published code: Adam without decay; its rate is unknown, best epoch 24.
    return TrainConfig(
        epochs=24, optimizer=Optimizer.adamw, learning_rate=1e-4, weight_decay=0.0, batch_size=32
    )


@dataclass(frozen=True)
class BrixiaStudyConfig:
    """Detectors and a severity regressor on films with zone scores; none leaves all of it out."""

    source: ScoredFilms = ScoredFilms.none
    test: TestFilms = TestFilms.own
    films: BrixiaConfig = field(default_factory=BrixiaConfig)
    cohen_reader: CohenReader = CohenReader.senior
    phantom: BrixiaPhantomConfig = field(default_factory=BrixiaPhantomConfig)
    lungs: LungsConfig = field(default_factory=LungsConfig)
    # Fine-tuned from the classifier of train.primary, conv0 to transition2 frozen (published code).
    detector: TrainConfig = field(default_factory=_detector_training)
    regressor: TrainConfig = field(default_factory=_regressor_training)
    # On the regressor, beside attribution.methods on the detector.
    regression_methods: list[str] = field(
        default_factory=lambda: [
            "regression_iba_mse",
            "regression_iba_rm",
            "regression_iba_dv",
            "gradient",
            "random",
        ]
    )
    # What is measured of each, beside IoU with zones, and PCC.
    detector_metrics: list[str] = field(default_factory=lambda: list(DETECTOR_METRICS))
    severity_metrics: list[str] = field(default_factory=lambda: list(SEVERITY_METRICS))
    # (film, detector) pairs, spread evenly over the detectors; two patients for each of three
    max_samples: int | None = field(default=None, metadata={"least": 6})
    # of all_regions: films with several zones of score 3, taken at most
    max_several_threes: int | None = field(default=None, metadata={"least": 2})
    max_severity_films: int | None = field(default=None, metadata={"least": 2})
