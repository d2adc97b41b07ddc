"""Settings of the attribution wing. Nothing here imports torch: a command line composes fast."""

from dataclasses import dataclass, field
from enum import Enum


class Score(Enum):
    """The scalar per image that gradients are taken of."""

    logit = "logit"
    sigmoid = "sigmoid"
    output = "output"  # a regression head's raw value


class ModelLoss(Enum):
    """How Eq. 4's cross-entropy reads for a multi-label network."""

    target = "target"  # ours: -log sigmoid(logit of the target)
    softmax_ce = "softmax_ce"  # published code, older scripts
    bce_onehot = "bce_onehot"  # published code: mean over all outputs against a one-hot label


class Reduction(Enum):
    max_abs = "max_abs"  # published code (torchray): max over the channels of |gradient|


@dataclass
class StatisticsConfig:
    """Per-neuron mean and standard deviation of a feature map, from training films."""

    num_images: int = 1000  # published library warns below 1000; published code took 800 test films
    batch_size: int = 16


@dataclass
class GradientConfig:
    reduction: Reduction = Reduction.max_abs


@dataclass
class GradCAMConfig:
    tap: str = "final"  # final = after the last ReLU (published: norm5, in effect post-ReLU)


@dataclass
class RandomConfig:
    """Independent uniform noise per pixel: the control row of every table."""


@dataclass
class IBAConfig:
    """Information bottleneck attribution (Eq. 1-4)."""

    tap: str = "block3"  # paper
    beta: float = 10.0  # published code
    steps: int = 10  # published code
    noise_samples: int = 10  # published code
    learning_rate: float = 1.0  # published code (Adam)
    initial_alpha: float = 5.0  # published code
    sigma: float = 1.0  # published code: Gaussian smoothing of lambda, in feature-map pixels
    min_std: float = 0.01  # published code
    active_threshold: float = 0.01  # published code: neurons non-zero less often carry nothing
    model_loss: ModelLoss = ModelLoss.target


@dataclass
class AttributionConfig:
    """Which methods, on which score, in which micro-batches."""

    methods: list[str] = field(default_factory=lambda: ["gradient", "grad_cam", "random", "iba"])
    score: Score = Score.logit  # published code
    batch_size: int = 4  # images in one micro-batch; part of a shard's key
    shard_size: int = 32  # samples in one shard
    statistics: StatisticsConfig = field(default_factory=StatisticsConfig)
    gradient: GradientConfig = field(default_factory=GradientConfig)
    grad_cam: GradCAMConfig = field(default_factory=GradCAMConfig)
    random: RandomConfig = field(default_factory=RandomConfig)
    iba: IBAConfig = field(default_factory=IBAConfig)


def required_taps(method: str, config: AttributionConfig) -> tuple[str, ...]:
    """The taps whose feature statistics a method needs."""
    return (config.iba.tap,) if method == "iba" else ()
