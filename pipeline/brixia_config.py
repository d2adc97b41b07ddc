"""The second half of the paper as one typed section: films with zone scores, and what is done."""

from collections.abc import Callable
from dataclasses import dataclass, field

from data.config import (
    BrixiaConfig,
    BrixiaPhantomConfig,
    CohenReader,
    LungSource,
    ScoredFilms,
    TestFilms,
)
from models.config import Optimizer, TrainConfig


@dataclass(frozen=True)
class LungsConfig:
    """The lung masks that are cut into zones."""

    source: LungSource = LungSource.pairs
    side: int = 256  # ours: of the films that the network sees; divisible by 16
    max_films: int | None = None  # that it learns from; null: all
    test_fraction: float = 0.2  # ours: of the pairs, held out
    epochs: int = 40
    batch_size: int = 8
    learning_rate: float = 3e-3  # ours: AdamW, one cycle


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
    max_samples: int | None = None  # (film, detector) pairs, spread evenly over the detectors
    max_severity_films: int | None = None


Require = Callable[[bool, str, str], None]


def check_brixia(
    config: BrixiaStudyConfig,
    folders: dict[str, str | None],
    named: set[str],
    regression_known: tuple[str, ...],
    require: Require,
) -> None:
    """Calls ``require(holds, key, message)`` for all that can be known before any work starts.

    ``folders``: the paths brixia, cohen and lungs; ``named``: the keys on the command line.
    """
    none = config.source is ScoredFilms.none
    films = "brixia=files or brixia=phantom"
    needed = {
        "brixia": (
            config.source is ScoredFilms.files,
            "brixia=files",
            "dicom_clean/ and metadata_global_v2.csv",
            "brixia=files",
        ),
        "cohen": (
            not none and config.test is TestFilms.cohen,
            "brixia.test=cohen",
            "public-annotations.csv and its films",
            f"{films}, and brixia.test=cohen" if none else "brixia.test=cohen",
        ),
        "lungs": (
            not none and config.lungs.source is not LungSource.phantoms,
            f"brixia.lungs.source={config.lungs.source.value}",
            "films in cxr/ and masks/"
            if config.lungs.source is LungSource.pairs
            else "a mask for every test film, under the film's name",
            films if none else "brixia.lungs.source=pairs or masks",
        ),
    }
    for name, (wanted, setting, content, hint) in needed.items():
        require(
            not wanted or folders[name] is not None,
            f"paths.{name}",
            f"is not set, but {setting} reads it; give the folder with {content}",
        )
        require(
            wanted or f"paths.{name}" not in named,
            f"paths.{name}",
            f"is set, but nothing reads it; add {hint}, or leave it out",
        )
    if none:
        require(
            config.test is TestFilms.own,
            "brixia.test",
            f"cohen, but nothing is learnt; add {films}",
        )
        return
    lungs = config.lungs
    require(
        lungs.source is not LungSource.phantoms or config.source is ScoredFilms.phantoms,
        "brixia.lungs.source",
        "phantoms, but the films are files: give pairs or masks at paths.lungs",
    )
    require(lungs.side % 16 == 0 and lungs.side >= 16, "brixia.lungs.side", "divisible by 16")
    for key, value in {
        "brixia.lungs.epochs": lungs.epochs,
        "brixia.detector.epochs": config.detector.epochs,
        "brixia.regressor.epochs": config.regressor.epochs,
        "brixia.phantom.num_films": config.phantom.num_films,
    }.items():
        require(value >= 1, key, f"at least 1, not {value}")
    for key, count, least in (
        ("brixia.max_samples", config.max_samples, 6),  # two patients for each detector
        ("brixia.max_severity_films", config.max_severity_films, 2),
        ("brixia.lungs.max_films", lungs.max_films, 2),
    ):
        require(count is None or count >= least, key, f"at least {least}, or null for all")
    for key, share in {
        "brixia.films.val_fraction": config.films.val_fraction,
        "brixia.films.test_fraction": config.films.test_fraction,
        "brixia.lungs.test_fraction": lungs.test_fraction,
    }.items():
        require(0 < share < 1, key, "between 0 and 1, exclusive")
    for name, training in (("detector", config.detector), ("regressor", config.regressor)):
        require(
            not training.horizontal_flip,
            f"brixia.{name}.horizontal_flip",
            "must be false: the frozen features are computed once",
        )
    require(
        config.detector.primary in config.detector.losses,
        "brixia.detector.primary",
        "must be one of brixia.detector.losses",
    )
    methods = config.regression_methods
    unknown = sorted(set(methods) - set(regression_known))
    require(
        not unknown,
        "brixia.regression_methods",
        f"{', '.join(unknown)} cannot explain a regressor; known: {', '.join(regression_known)}",
    )
    require(
        bool(methods) and len(set(methods)) == len(methods),
        "brixia.regression_methods",
        "names at least one method, and none twice",
    )
