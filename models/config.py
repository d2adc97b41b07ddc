"""Settings of the models wing. Nothing here imports torch, so that a command line composes fast."""

from dataclasses import dataclass, field
from enum import Enum


class Loss(Enum):
    """Binary cross-entropy per output, plain or with ``pos_weight`` (Eq. 8)."""

    bce = "bce"
    weighted_bce = "weighted_bce"


class PosWeight(Enum):
    """Eq. 8's beta: negatives / positives."""

    per_class = "per_class"  # published code: of each class, over the train fold
    scalar = "scalar"  # one for all classes, over all labels of the train fold
    batchwise = "batchwise"  # published code, other flag: one, over all labels of each batch


class Optimizer(Enum):
    adamw = "adamw"
    sgd = "sgd"


class Schedule(Enum):
    constant = "constant"
    one_cycle = "one_cycle"


class LoggerName(Enum):
    """Who is told of each epoch while a training runs; history.csv is written in any case."""

    csv = "csv"
    tensorboard = "tensorboard"
    mlflow = "mlflow"


LOGGER_PACKAGES = {LoggerName.tensorboard: "tensorboard", LoggerName.mlflow: "mlflow"}
"""What ``make setup EXTRAS=loggers`` installs for them."""


@dataclass(frozen=True)
class ModelConfig:
    """DenseNet121 and the weights it starts from."""

    init: str = "random"  # random | imagenet | path of weights, ours or others' (docs/data.md)


@dataclass(frozen=True)
class TrainConfig:
    """Supervised training. The defaults are the published recipe (SGD, no decay, best val loss).

    One model is trained for each of ``losses``, from the same initial weights.
    """

    losses: list[Loss] = field(default_factory=lambda: [Loss.bce, Loss.weighted_bce])
    primary: Loss = Loss.weighted_bce  # published code: the model of Table 1 and the figures
    pretrain_epochs: int = 0  # ours: plain BCE that all losses start from; stands for ImageNet
    pretrain_learning_rate: float = 1e-3
    epochs: int = 10  # published code: up to 100, best epoch kept; val loss settles near 10
    batch_size: int = 32  # published code
    optimizer: Optimizer = Optimizer.sgd  # published code
    learning_rate: float = 1e-3  # published code; the peak where the schedule is one_cycle
    momentum: float = 0.9  # published code (SGD only)
    weight_decay: float = 1e-4  # published code
    schedule: Schedule = Schedule.constant  # published code
    horizontal_flip: bool = False  # published code: none; a flipped chest is situs inversus
    pos_weight: PosWeight = PosWeight.per_class
    pos_weight_max: float = 1000.0  # ours: bound of negatives/positives; 1000 clips no NIH class
    num_workers: int = 0
