"""Settings of the models wing. Nothing here imports torch, so that a command line composes fast."""

from dataclasses import dataclass
from enum import Enum


class Loss(Enum):
    """Binary cross-entropy per output, plain or with ``pos_weight`` (Eq. 8)."""

    bce = "bce"
    weighted_bce = "weighted_bce"


class Optimizer(Enum):
    adamw = "adamw"
    sgd = "sgd"


class Schedule(Enum):
    constant = "constant"
    one_cycle = "one_cycle"


@dataclass
class ModelConfig:
    """DenseNet121 and the weights it starts from."""

    init: str = "random"  # random | imagenet | path of a .safetensors or state-dict file


@dataclass
class TrainConfig:
    """Supervised training. The defaults are the published recipe (SGD, no decay, best val loss)."""

    loss: Loss = Loss.bce
    epochs: int = 10  # published code: up to 100, best epoch kept; val loss settles near 10
    batch_size: int = 32  # published code
    optimizer: Optimizer = Optimizer.sgd  # published code
    learning_rate: float = 1e-3  # published code; the peak where the schedule is one_cycle
    momentum: float = 0.9  # published code (SGD only)
    weight_decay: float = 1e-4  # published code
    schedule: Schedule = Schedule.constant  # published code
    horizontal_flip: bool = False  # published code: none; a flipped chest is situs inversus
    pos_weight_max: float = 1000.0  # ours: bound of negatives/positives; 1000 clips no NIH class
    num_workers: int = 0
