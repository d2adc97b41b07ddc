"""Settings of the models wing. Nothing here imports torch, so that a command line composes fast."""

from collections.abc import Iterator
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


class Precision(Enum):
    """Of a training step's arithmetic; weights, loss and validation are float32 in any case."""

    float32 = "float32"
    bf16_mixed = "bf16_mixed"  # matrix products and convolutions in bfloat16


class FrozenPrecision(Enum):
    """Of a trained network's products and convolutions where maps are fitted or scores asked for;
    weights are cast once, and every sum over its outputs is float32 in any case."""

    float32 = "float32"
    bf16 = "bf16"  # refused where the processor is no faster in it


class BatchNorm(Enum):
    """What batch norms normalise by while a network is trained."""

    learnt = "learnt"  # the films of one part of a step; running statistics follow
    frozen = "frozen"  # the running statistics of the initial weights, which stay


class LoggerName(Enum):
    """Where each epoch is logged while a training runs; history.csv is written in any case."""

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
    # published code: up to 100, best epoch kept; val loss settles near 10
    epochs: int = field(default=10, metadata={"least": 0})
    # published code; films of one step, over all processes and parts
    batch_size: int = field(default=32, metadata={"least": 1})
    optimizer: Optimizer = Optimizer.sgd  # published code
    learning_rate: float = 1e-3  # published code; the peak where the schedule is one_cycle
    momentum: float = 0.9  # published code (SGD only)
    weight_decay: float = 1e-4  # published code
    schedule: Schedule = Schedule.constant  # published code
    horizontal_flip: bool = False  # published code: none; a flipped chest is situs inversus
    pos_weight: PosWeight = PosWeight.per_class
    pos_weight_max: float = 1000.0  # ours: bound of negatives/positives; 1000 clips no NIH class
    accumulate: int = 1  # published code; parts that each process computes its films of a step in
    precision: Precision = Precision.float32  # published code
    batch_norm: BatchNorm = BatchNorm.learnt  # published code; smaller sides learn in any case
    num_workers: int = field(default=0, metadata={"keyed": False})


@dataclass(frozen=True)
class ClassifierTrainConfig(TrainConfig):
    """Training of the classifiers, which several processes can share (docs/scaling.md)."""

    processes: int = 1  # published code
    # ours: on shapes laid on phantom bodies, plain BCE; all losses start from it, as from ImageNet
    pretrain_epochs: int = field(default=0, metadata={"least": 0})
    # ours: of each loss at pretrain_side, before its epochs at dataset.side (progressive resizing)
    small_epochs: int = field(default=0, metadata={"least": 0})
    pretrain_side: int = field(default=112, metadata={"least": 32})
    pretrain_learning_rate: float = 1e-3  # of both
    # null: the run's seed. A sweep over seeds that gives one shares the pre-training.
    pretrain_seed: int | None = field(default=None, metadata={"least": 0})


def partition_problems(config: TrainConfig, processes: int) -> Iterator[tuple[str, str]]:
    """(setting, what is wrong with it) where a step's films cannot be cut into parts.

    ``batch_size`` is of a whole step, so that a recipe stays the same on any number of processes.
    """
    for name, value in {"processes": processes, "accumulate": config.accumulate}.items():
        if value < 1:
            yield name, f"at least 1, not {value}"
            return
    parts = processes * config.accumulate
    if parts == 1:
        return
    size = config.batch_size
    if size % parts:
        yield (
            "batch_size",
            f"{size} films of a step do not divide into {parts} parts (processes x accumulate)",
        )
    elif config.batch_norm is BatchNorm.learnt and size < 2 * parts:
        yield (
            "batch_size",
            f"{size} films of a step in {parts} parts: batch norm needs at least 2 in each",
        )
    if Loss.weighted_bce in config.losses and config.pos_weight is PosWeight.batchwise:
        yield (
            "pos_weight",
            "batchwise weighs a batch by all its labels, of which a part knows its own",
        )
