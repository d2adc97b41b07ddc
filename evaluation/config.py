"""Settings of the evaluation wing. Nothing here imports torch: a command line composes fast."""

from dataclasses import dataclass, field
from enum import Enum


class BoxRounding(Enum):
    """How a box in the 1024-px frame becomes a mask of pixels."""

    centre = "centre"  # ours: a pixel is in when its centre is; keeps the area on average
    truncated = "truncated"  # published code: x, y, w, h cut to integers; loses 1.4 % at 224 px


@dataclass
class BootstrapConfig:
    """Resampling of patients, the unit that is independent."""

    resamples: int = 2000
    confidence: float = 0.95


@dataclass
class LocalizationConfig:
    """IoU of thresholded maps with boxes; maps are divided by their maximum first."""

    thresholds: int = 99  # evenly spaced inside (0, 1): 0.01 ... 0.99
    box_rounding: BoxRounding = BoxRounding.centre
    fold_seed: int = 0  # which patients choose the threshold for which others


@dataclass
class ShortcutConfig:
    """What a linear model is given in place of a film, and how well it may do."""

    bins: int = 32  # ours: of the grey histogram
    thumbnail: int = 8  # ours: side in tiles
    folds: int = 5  # ours: of patients
    inverse_penalty: float = 0.1  # ours: C of the logistic regression, on standardised features
    limit: float = 0.65  # ours: AUC above which a class is given away


@dataclass
class EvaluationConfig:
    metrics: list[str] = field(default_factory=lambda: ["localization"])
    max_images: int | None = None  # samples taken at most, spread evenly over findings
    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)
    localization: LocalizationConfig = field(default_factory=LocalizationConfig)


@dataclass
class ReportConfig:
    """How the report looks. Nothing here is part of a key of a computed number."""

    examples_per_finding: int = 1
