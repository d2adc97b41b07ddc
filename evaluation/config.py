"""Settings of the evaluation wing. Nothing here imports torch: a command line composes fast."""

from dataclasses import dataclass, field
from enum import Enum, StrEnum

from models.config import FrozenPrecision

REFERENCE_SIDE = 224  # px: lengths in settings, a bottleneck's sigma too, are those at this side


class Metric(StrEnum):
    """What maps are measured by: the choices of ``evaluation.metrics``."""

    localization = "localization"  # IoU and more with boxes, or with zones
    truth = "truth"  # phantoms alone: with the pixels that the finding truly changes
    insertion_deletion = "insertion_deletion"
    sensitivity_n = "sensitivity_n"
    equal_area = "equal_area"
    sanity = "sanity"
    road = "road"
    one_spread = "one_spread"  # phantoms alone: taps compared at one point-spread
    all_regions = "all_regions"  # films with several lesions, or several zones of score 3
    zone_drops = "zone_drops"  # phantoms alone: the regressor's score when a zone is healthy


class BoxRounding(Enum):
    """How a box in the 1024-px frame becomes a mask of pixels."""

    centre = "centre"  # ours: a pixel is in when its centre is; keeps the area on average
    truncated = "truncated"  # published code: x, y, w, h cut to integers; loses 1.4 % at 224 px


class Baseline(Enum):
    """What stands where pixels were taken away."""

    blur = "blur"  # paper (insertion), published code (both games)
    zero = "zero"  # ours: 0 in normalised space, the mean grey; the Sensitivity-N of published code


class SetSizes(Enum):
    """How many pixels a mask of Sensitivity-N replaces."""

    fractions = "fractions"  # ours: ``fractions`` of the film
    published_code = "published_code"  # 46 numbers from 1 to 50118, of which few move the score


class CurveRule(Enum):
    """Which states an insertion or deletion curve holds, and how its area is taken."""

    full = "full"  # ours: from no pixel to all of them, both ends included, trapezoid
    published_code = "published_code"  # 13 states up to half the pixels; 224 px only


@dataclass(frozen=True)
class BootstrapConfig:
    """Resampling of patients, the unit that is independent."""

    resamples: int = field(default=2000, metadata={"least": 1})
    confidence: float = field(default=0.95, metadata={"between": (0, 1)})


@dataclass(frozen=True)
class LocalizationConfig:
    """IoU of thresholded maps with boxes; relative thresholds are shares of a map's maximum."""

    # evenly spaced inside (0, 1): 0.01 ... 0.99
    thresholds: int = field(default=99, metadata={"least": 1})
    box_rounding: BoxRounding = BoxRounding.centre
    fold_seed: int = 0  # which patients choose the threshold for which others


@dataclass(frozen=True)
class LocalizationMetricsConfig:
    """IoU under thresholds that nobody chose, and metrics without a threshold."""

    # ours: shares of the map's maximum
    fixed_thresholds: list[float] = field(default_factory=lambda: [0.3, 0.5])
    area: float = 0.1  # ours: share of the film on which recalls are compared
    heat_floor: float = 0.1  # published code: less heat than this share of the maximum is none
    heat_levels: int = 11  # published code: quantiles 0, 0.1, ..., 1 of the Effective Heat Ratio


@dataclass(frozen=True)
class BlurConfig:
    """Gaussian blur in pixels at 224 px; lengths scale with the side."""

    sigma: float = 10.0  # published code
    kernel: int = 81  # ours: 4 sigma to each side; published code 19, which is nearly a box


@dataclass(frozen=True)
class InsertionDeletionConfig:
    """Pixels brought back into a baseline, or taken out of the film, the highest ranked first."""

    baselines: list[Baseline] = field(default_factory=lambda: [Baseline.blur, Baseline.zero])
    rule: CurveRule = CurveRule.full
    # Each other method has its own results. Ours: no claim is about the single taps.
    without: list[str] = field(
        default_factory=lambda: ["iba_block1", "iba_block2"], metadata={"keyed": False}
    )
    max_samples: int | None = None  # of those evaluated, spread over the findings; null: all
    # ours: at 224 px, scales with the side; rule=published_code has its own
    steps: int = field(default=48, metadata={"least": 1})
    min_score: float | None = None  # published code 0.6: samples that score less are left out
    # ours: the score falls at least so far from film to blank, or there is no relative area
    min_drop: float = field(default=0.05, metadata={"least": 0})
    blur: BlurConfig = field(default_factory=BlurConfig)
    # films in one forward pass; part of the key: it moves last bits
    batch_size: int = field(default=32, metadata={"least": 1})


def published_insertion_deletion() -> InsertionDeletionConfig:
    """The preset of the published code, for 224 px."""
    return InsertionDeletionConfig(
        baselines=[Baseline.blur],
        rule=CurveRule.published_code,
        min_score=0.6,
        blur=BlurConfig(kernel=19),
    )


@dataclass(frozen=True)
class EqualAreaConfig:
    """The same number of pixels removed by every map (Discussion of the paper)."""

    fractions: list[float] = field(default_factory=lambda: [0.05, 0.1, 0.2])  # ours
    baseline: Baseline = Baseline.blur  # ours, as in insertion/deletion
    blur: BlurConfig = field(default_factory=BlurConfig)
    batch_size: int = field(default=32, metadata={"least": 1})


@dataclass(frozen=True)
class SensitivityNConfig:
    """Output change under random masks of n pixels against the map's sum under them."""

    baseline: Baseline = Baseline.zero  # published code (its --blur is never used)
    sizes: SetSizes = SetSizes.fractions
    # ours: of the pixels; fewer move the score by less than rounding
    fractions: list[float] = field(default_factory=lambda: [0.02, 0.05, 0.1, 0.2, 0.4])
    max_samples: int | None = None
    # ours; published code 100 for regression, 30 for classification
    masks: int = field(default=40, metadata={"least": 2})
    blur: BlurConfig = field(default_factory=BlurConfig)
    batch_size: int = field(default=32, metadata={"least": 1})


@dataclass(frozen=True)
class SanityConfig:
    """Controls that no explanation of a model may fail."""

    # ours: the cheap ones, and those of the paper
    methods: list[str] = field(
        default_factory=lambda: [
            *("gradient", "grad_cam", "random"),
            *("iba", "inverse_iba", "multilayer_iba"),
        ],
        metadata={"keyed": False},  # each method has its own results
    )
    max_samples: int | None = None
    statistics_images: int = 64  # ours: a bottleneck's statistics, anew for each randomised model
    # Cascading randomisation reaches down to each of these in turn, and all that lies above it.
    layers: list[str] = field(
        default_factory=lambda: [
            "classifier",
            "features.denseblock4",
            "features.denseblock3",
            "features.denseblock2",
            "features.denseblock1",
            "features.conv0",
        ]
    )
    ssim_window: int = 5  # published code
    noise_draws: int = field(default=10, metadata={"least": 1})  # ours
    noise_std: float = 0.05  # ours: normalised units, about 3 grey levels of 255
    seed: int = 0


@dataclass(frozen=True)
class ROADConfig:
    """Remove and debias (Rong et al. 2022): removed pixels are imputed from their neighbours."""

    # ours: the cheap ones, and those of the paper
    methods: list[str] = field(
        default_factory=lambda: [
            *("gradient", "grad_cam", "random"),
            *("iba", "inverse_iba", "multilayer_iba"),
        ],
        metadata={"keyed": False},  # each method has its own results
    )
    max_samples: int | None = None
    # ours; the publication takes 0.1, 0.2, ..., 0.9
    fractions: list[float] = field(default_factory=lambda: [0.1, 0.3, 0.5, 0.7, 0.9])
    noise_std: float = 0.01  # publication
    seed: int = 0
    batch_size: int = field(default=32, metadata={"least": 1})


@dataclass(frozen=True)
class ClaimsConfig:
    """What makes a claim hold, fail or stay undecided."""

    alpha: float = 0.05
    least_power: float = 0.5  # ours: a claim that would more likely be missed is not judged
    simulations: int = field(default=1000, metadata={"least": 1})  # runs, of claims_power.csv


@dataclass(frozen=True)
class ShortcutConfig:
    """What a linear model is given in place of a film, and how well it may do."""

    bins: int = 32  # ours: of the grey histogram
    thumbnail: int = 8  # ours: side in tiles
    folds: int = 5  # ours: of patients
    inverse_penalty: float = 0.1  # ours: C of the logistic regression, on standardised features
    limit: float = 0.65  # ours: AUC above which a class is given away


@dataclass(frozen=True)
class EvaluationConfig:
    metrics: list[str] = field(default_factory=lambda: ["localization"])
    # published code; of the network where insertion/deletion, Sensitivity-N, equal area, ROAD or a
    # metric of the user's own asks for scores
    precision: FrozenPrecision = FrozenPrecision.float32
    findings: list[str] | None = None  # whose boxes are explained and evaluated; null: all
    # samples taken at most, spread evenly over findings
    max_images: int | None = field(default=None, metadata={"least": 2})
    # of all_regions, on phantoms: samples with several lesions of a finding, taken at most
    max_several_lesions: int | None = field(default=None, metadata={"least": 2})
    bootstrap: BootstrapConfig = field(default_factory=BootstrapConfig)
    shortcuts: ShortcutConfig = field(default_factory=ShortcutConfig)
    localization: LocalizationConfig = field(default_factory=LocalizationConfig)
    localization_metrics: LocalizationMetricsConfig = field(
        default_factory=LocalizationMetricsConfig
    )
    insertion_deletion: InsertionDeletionConfig = field(default_factory=InsertionDeletionConfig)
    equal_area: EqualAreaConfig = field(default_factory=EqualAreaConfig)
    sensitivity_n: SensitivityNConfig = field(default_factory=SensitivityNConfig)
    sanity: SanityConfig = field(default_factory=SanityConfig)
    road: ROADConfig = field(default_factory=ROADConfig)
    claims: ClaimsConfig = field(default_factory=ClaimsConfig)


@dataclass(frozen=True)
class ReportConfig:
    """How the report looks. Nothing here is part of a key of a computed number."""

    examples_per_finding: int = field(default=1, metadata={"least": 1})
    # The image browser: films in it at most; without embedding no pixel of a film is in the file.
    max_images: int = field(default=48, metadata={"least": 1})
    embed_images: bool = True
    hash_ids: bool = False  # films and patients in the run folder under names of the store's own
