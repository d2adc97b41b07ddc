"""Settings of the attribution wing. Nothing here imports torch: a command line composes fast."""

from dataclasses import dataclass, field, is_dataclass
from enum import Enum
from typing import Any, get_type_hints

from models.config import FrozenPrecision


class Score(Enum):
    """The scalar per image that gradients are taken of."""

    logit = "logit"
    sigmoid = "sigmoid"
    output = "output"  # a regressor's raw value
    squared_deviation = "squared_deviation"  # (regressor's value - target)^2


class ModelLoss(Enum):
    """How Eq. 4's cross-entropy reads for a multi-label network."""

    target = "target"  # ours: -log sigmoid(logit of the target)
    softmax_ce = "softmax_ce"  # published code, older scripts
    bce_onehot = "bce_onehot"  # published code: mean over all outputs against a one-hot label


class Reduction(Enum):
    max_abs = "max_abs"  # published code (torchray): max over the channels of |gradient|


class PathReduction(Enum):
    """How integrated gradients of the three channels become one map."""

    abs_sum = "abs_sum"  # ours: the published code's negative values wrapped in 8 bits
    signed_mean = "signed_mean"  # published code


class Intersection(Enum):
    """How Multi-layer IBA joins the maps of its taps."""

    binary = "binary"  # paper, Eq. 7: every map thresholded; 1 where all are above
    soft = "soft"  # published code: the first map in bits/pixel, where all others are above


@dataclass(frozen=True)
class StatisticsConfig:
    """Per-neuron mean and standard deviation of a feature map, from training films."""

    # published library warns below 1000; published code took 800 test films
    num_images: int = field(default=1000, metadata={"least": 1})
    batch_size: int = field(default=16, metadata={"least": 1})


@dataclass(frozen=True)
class OperatingPointsConfig:
    """How ``beta: auto`` is found: by bisection of log(beta) on films of the validation fold."""

    num_films: int = field(default=10, metadata={"least": 1})
    lowest: float = 0.01
    highest: float = 1000.0
    rounds: int = field(default=5, metadata={"least": 1})  # betas that are tried


@dataclass(frozen=True)
class GradientConfig:
    reduction: Reduction = Reduction.max_abs


@dataclass(frozen=True)
class GradCAMConfig:
    """GradCAM and its relatives, at a feature map."""

    tap: str = "final"  # final = after the last ReLU (published: norm5, in effect post-ReLU)


@dataclass(frozen=True)
class RandomConfig:
    """Independent uniform noise per pixel: the control row of every table."""


@dataclass(frozen=True)
class IntegratedGradientsConfig:
    """Gradients along the straight path from the mean-grey image (0 after normalisation)."""

    # published code (captum's default), Gauss-Legendre
    steps: int = field(default=50, metadata={"least": 1})
    # ours: points of the path in one forward; bounds the memory
    internal_batch_size: int = field(default=8, metadata={"least": 1})
    reduction: PathReduction = PathReduction.abs_sum


@dataclass(frozen=True)
class InputXGradientConfig:
    """The normalised image times the gradient of the score."""


@dataclass(frozen=True)
class SmoothGradConfig:
    """Gradients at copies of the image with normal noise on them."""

    samples: int = field(default=25, metadata={"least": 1})  # published code
    # Published code: the noise's deviation, as a share of the image's range of values.
    noise: float = field(default=0.15, metadata={"between": (0, 1)})
    internal_batch_size: int = field(default=8, metadata={"least": 1})  # ours: copies in a forward


@dataclass(frozen=True)
class GuidedBackpropConfig:
    """Gradients of which each ReLU passes on the positive part only.

    A known negative control: such maps hardly change when the weights do (Adebayo et al. 2018).
    """


@dataclass(frozen=True)
class DeepLiftConfig:
    """DeepLIFT's rescale rule, from the mean-grey image."""


@dataclass(frozen=True)
class OcclusionConfig:
    """A mean-grey square that is moved over the film; at 224 px 28 px wide, at 225 places."""

    window: float = field(default=1 / 8, metadata={"between": (0, 1)})  # ours: share of the side
    moves: int = field(default=2, metadata={"least": 1})  # ours: until it is one width further
    internal_batch_size: int = field(default=8, metadata={"least": 1})  # places in one forward


@dataclass(frozen=True)
class RISEConfig:
    """Random masks of smooth cells, through which the model sees the film."""

    masks: int = field(default=1000, metadata={"least": 2})  # ours; paper: 4000 to 8000
    cells: int = field(default=7, metadata={"least": 1})  # paper: along a side
    probability: float = field(default=0.5, metadata={"between": (0, 1)})  # paper: of an open cell
    internal_batch_size: int = field(default=8, metadata={"least": 1})  # ours: masks in one forward


@dataclass(frozen=True)
class LRPConfig:
    """z+ on convolutions, flat on the first, epsilon on linear layers and average pools."""

    epsilon: float = 1e-6  # ours (zennit's default); the published code has no LRP


@dataclass(frozen=True)
class ExcitationBackpropConfig:
    """alpha1-beta0 from the output down to a feature map, starting from 1."""

    tap: str = "final"  # published code: norm5, in effect after the ReLU


AUTO = "auto"


@dataclass(frozen=True)
class BottleneckConfig:
    """A bottleneck at one tap, and how its mask is fitted."""

    tap: str = "block3"  # paper
    # Published code, or AUTO: found on validation films by the rule of the method.
    beta: int | float | str = 10.0
    steps: int = field(default=10, metadata={"least": 1})  # published code
    noise_samples: int = field(default=10, metadata={"least": 1})  # published code
    antithetic: bool = False  # ours: half of the samples are the negatives of the other half
    learning_rate: float = 1.0  # published code (Adam)
    initial_alpha: float = 5.0  # published code
    # Published code: Gaussian smoothing of lambda, in cells of the feature map. At 224 px; the
    # pipeline scales it with the films' side, as all lengths. ``explain`` takes it as it is.
    sigma: float = 1.0
    min_std: float = 0.01  # published code
    active_threshold: float = 0.01  # published code: neurons non-zero less often carry nothing

    def __post_init__(self) -> None:
        if isinstance(self.beta, int):  # of one value one key
            object.__setattr__(self, "beta", float(self.beta))

    @property
    def found_beta(self) -> float:
        """beta as a number. Raises ValueError where it is still to be found."""
        if isinstance(self.beta, str):
            raise ValueError(
                f"beta is {self.beta!r}: a bottleneck is fitted at a number; "
                "attribution.operating_point finds one"
            )
        return self.beta


@dataclass(frozen=True)
class IBAConfig(BottleneckConfig):
    """Information bottleneck attribution (Eq. 1-4)."""

    model_loss: ModelLoss = ModelLoss.target


@dataclass(frozen=True)
class InverseIBAConfig(IBAConfig):
    """Inverse IBA (Eq. 5-6)."""

    beta: int | float | str = 30.0  # published code


@dataclass(frozen=True)
class RegressionIBAConfig(BottleneckConfig):
    """Regression IBA; its losses are in squared units of the score, published betas are unknown."""


@dataclass(frozen=True)
class MultilayerIBAConfig:
    """Multi-layer IBA (Eq. 7): the maps of IBA at several taps, from the finest to the coarsest."""

    # Methods of one tap each, with their own settings (paper: IBA at dense blocks 1, 2 and 3).
    layers: list[str] = field(default_factory=lambda: ["iba_block1", "iba_block2", "iba"])
    # Multiples of each map's root mean square. Published code: 0.006 of the L2 norm of a 224-px
    # map, which is 0.006 * 224.
    thresholds: list[float] = field(default_factory=lambda: [1.344, 1.344, 1.344])
    mode: Intersection = Intersection.soft


OWN_METHODS: dict[str, Any] = {}
"""Settings of the methods that ``methods.register_method`` added, by name."""


@dataclass(frozen=True)
class AttributionConfig:
    """Which methods, on which score, in which micro-batches."""

    methods: list[str] = field(default_factory=lambda: ["gradient", "grad_cam", "random", "iba"])
    score: Score = Score.logit  # published code
    # published code; of the network behind a bottleneck, where all but a few of the passes are
    precision: FrozenPrecision = FrozenPrecision.float32
    # images in one micro-batch; part of a shard's key
    batch_size: int = field(default=4, metadata={"least": 1})
    shard_size: int = field(default=32, metadata={"least": 1})  # samples in one shard
    statistics: StatisticsConfig = field(default_factory=StatisticsConfig)
    operating_points: OperatingPointsConfig = field(default_factory=OperatingPointsConfig)
    gradient: GradientConfig = field(default_factory=GradientConfig)
    grad_cam: GradCAMConfig = field(default_factory=GradCAMConfig)
    integrated_gradients: IntegratedGradientsConfig = field(
        default_factory=IntegratedGradientsConfig
    )
    lrp: LRPConfig = field(default_factory=LRPConfig)
    excitation_backprop: ExcitationBackpropConfig = field(default_factory=ExcitationBackpropConfig)
    grad_cam_plus_plus: GradCAMConfig = field(default_factory=GradCAMConfig)
    # Ours: behind the last feature map all cells of a channel have one weight.
    layer_cam: GradCAMConfig = field(default_factory=lambda: GradCAMConfig(tap="block3"))
    eigen_cam: GradCAMConfig = field(default_factory=GradCAMConfig)
    occlusion: OcclusionConfig = field(default_factory=OcclusionConfig)
    rise: RISEConfig = field(default_factory=RISEConfig)
    smooth_grad: SmoothGradConfig = field(default_factory=SmoothGradConfig)
    input_x_gradient: InputXGradientConfig = field(default_factory=InputXGradientConfig)
    deep_lift: DeepLiftConfig = field(default_factory=DeepLiftConfig)
    guided_backprop: GuidedBackpropConfig = field(default_factory=GuidedBackpropConfig)
    random: RandomConfig = field(default_factory=RandomConfig)
    iba: IBAConfig = field(default_factory=IBAConfig)
    iba_block1: IBAConfig = field(default_factory=lambda: IBAConfig(tap="block1"))
    iba_block2: IBAConfig = field(default_factory=lambda: IBAConfig(tap="block2"))
    inverse_iba: InverseIBAConfig = field(default_factory=InverseIBAConfig)
    multilayer_iba: MultilayerIBAConfig = field(default_factory=MultilayerIBAConfig)
    regression_iba_mse: RegressionIBAConfig = field(default_factory=RegressionIBAConfig)
    regression_iba_rm: RegressionIBAConfig = field(default_factory=RegressionIBAConfig)
    regression_iba_dv: RegressionIBAConfig = field(default_factory=RegressionIBAConfig)

    def __getattr__(self, name: str) -> Any:
        """The settings of an added method, which no field holds."""
        if name in OWN_METHODS:
            return OWN_METHODS[name]
        raise AttributeError(f"attribution has no setting {name!r}")


MANY_FORWARDS = frozenset({"occlusion", "rise"})
"""Methods that ask the whole model hundreds of times a film."""

METHODS = tuple(
    name
    for name, kind in get_type_hints(AttributionConfig).items()
    if is_dataclass(kind) and kind not in (StatisticsConfig, OperatingPointsConfig)
)
"""The names of the project's methods: the settings above that are a method's."""

CLASSIFIER_METHODS = tuple(name for name in METHODS if not name.startswith("regression_iba"))

REGRESSION_METHODS = (
    *(name for name in METHODS if name.startswith("regression_iba")),
    *("gradient", "integrated_gradients", "random"),
)
"""Those that can explain a regressor."""


def required_taps(method: str, config: AttributionConfig) -> tuple[str, ...]:
    """The taps whose feature statistics a method needs."""
    settings = getattr(config, method)
    if isinstance(settings, MultilayerIBAConfig):
        return tuple(tap for layer in settings.layers for tap in required_taps(layer, config))
    return (settings.tap,) if isinstance(settings, BottleneckConfig) else ()
