"""Training with binary cross-entropy: the best epoch is kept, a killed run resumes bit-equal.

Checkpoints are written at the end of an epoch only, so a resumed run repeats at most the epoch in
which it was stopped. Lightning restores weights, optimizer, learning-rate schedule and counters. It
does not restore order, flips and random state: these follow from the seed alone (epoch_order).
"""

import contextlib
import hashlib
import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, cast

import pandas as pd
import pytorch_lightning as pl
import safetensors.torch
import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import SIGTERMException
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Subset

from models.checkpoints import load_weights
from models.config import IF_NOT_NAMED, BatchNorm, Precision, TrainConfig, partition_problems
from models.densenet import normalise
from models.epoch_order import EpochFilms, EpochOrder, FilmDataset
from models.losses import BinaryCrossEntropy
from models.process_group import ALONE, Rank
from models.training_loop import (
    BEST,
    LAST,
    KeepEpochs,
    OnProgress,
    TrainingError,
    TrainingLoop,
)
from models.validation_metrics import MEAN_AUC, Metric

log = logging.getLogger(__name__)
# How films are loaded, and what chooses the loss and the initial weights that train() is given.
_NOT_OF_ONE_TRAINING = (
    *("num_workers", "losses", "primary", "pos_weight", "pos_weight_max"),
    *("pretrain_epochs", "pretrain_learning_rate"),
)
_PRECISION: dict[Precision, Literal["32-true", "bf16-mixed"]] = {
    Precision.float32: "32-true",
    Precision.bf16_mixed: "bf16-mixed",
}


@dataclass(frozen=True)
class TrainResult:
    """What a training leaves beside the weights in the model.

    history: one row per epoch: epoch (from 1), train_loss, val_loss (means over films and classes),
    the column of train()'s ``metric``, seconds (the only column that differs between two runs).
    best_epoch: the one of the lowest val_loss.
    """

    history: pd.DataFrame
    best_epoch: int


def train(
    model: nn.Module,
    train_data: FilmDataset,
    val_data: FilmDataset,
    config: TrainConfig,
    *,
    seed: int,
    folder: Path,
    device: torch.device,
    loss: nn.Module | None = None,
    on_progress: OnProgress | None = None,
    prepare: Callable[[Tensor], Tensor] = normalise,
    metric: Metric = MEAN_AUC,
    logger: Logger | None = None,
    rank: Rank = ALONE,
) -> TrainResult:
    """Train ``model`` in place; leave it on the CPU with the weights of the lowest validation loss.

    ``folder`` keeps last.ckpt and best.safetensors; calling again with the same arguments resumes
    there and ends in the same bytes on the same device and number of threads. ``loss``: logits
    and labels (N, C) -> mean over both; plain binary cross-entropy by default. A rest of films that
    does not fill a batch sits out its epoch: batch norm cannot learn from a batch of one.
    ``prepare`` makes a batch of films the model's input; ``metric`` is told, and chooses nothing.
    ``logger`` gets each row of the history, those before a resume too.

    ``rank`` is this process's where several train together: each calls it with the same arguments
    but ``logger`` and ``on_progress``, which one of them needs, and gets the same weights. Equal
    bytes then need the same number of processes. With frozen statistics another number, or another
    ``accumulate``, differs by rounding alone; learnt ones are of the films of a part, and the
    running ones the mean over the processes.

    Raises TrainingError for data or settings that cannot be trained with, for a folder that holds
    another training, and where the loss is no longer finite. Interrupts pass through.
    """
    _check(train_data, val_data, config, rank)
    device = rank.device(device)
    loss = loss if loss is not None else BinaryCrossEntropy()
    num_films = _length(train_data)
    step = min(config.batch_size, num_films)
    order = EpochOrder(num_films, seed, step, config.accumulate, rank)
    train_loader = DataLoader(
        cast(Any, EpochFilms(train_data, seed, config.horizontal_flip)),
        batch_size=order.part,
        sampler=cast(Any, order),
        num_workers=config.num_workers,
    )
    val_loader = DataLoader(
        Subset(val_data, rank.share(_length(val_data))),
        batch_size=config.batch_size // (config.accumulate * rank.of),
        num_workers=config.num_workers,
    )
    settings = _settings(model, config, seed, num_films, _length(val_data), loss)
    settings |= {"metric": metric.name, "processes": rank.of}
    module = TrainingLoop(
        *(model, config, seed, settings, order, len(train_loader), loss, on_progress, prepare),
        *(metric, rank),
    )
    folder.mkdir(parents=True, exist_ok=True)
    resume = _resumable(folder, settings)
    was_training = model.training
    model.train().to(memory_format=cast(Any, torch.channels_last))  # faster, on CPUs too
    if config.batch_norm is BatchNorm.frozen:
        for norm in (each for each in model.modules() if isinstance(each, _BatchNorm)):
            norm.eval()
    try:
        with _quiet_lightning(), _reproducible(device), rank.joined(device):
            trainer = pl.Trainer(
                **rank.trainer_arguments(device),
                precision=_PRECISION[config.precision],
                accumulate_grad_batches=config.accumulate,
                max_epochs=config.epochs,
                callbacks=[KeepEpochs(folder)],
                default_root_dir=folder,
                logger=logger or False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )
            trainer.fit(module, train_loader, val_loader, ckpt_path=resume, weights_only=True)
    except SystemExit as error:
        # Lightning turns an interrupt into exit code 1 and, unless the caller handles it, SIGTERM
        # into exit code 0: neither says what happened.
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        if isinstance(error, SIGTERMException):
            raise SystemExit(128 + signal.SIGTERM) from error
        raise
    finally:
        model.train(was_training).to(memory_format=cast(Any, torch.contiguous_format))
    model.cpu().load_state_dict(load_weights(folder / BEST))
    return TrainResult(pd.DataFrame(module.history), module.best_epoch)


def _length(data: FilmDataset) -> int:
    return len(cast(Any, data))


def _check(train_data: FilmDataset, val_data: FilmDataset, config: TrainConfig, rank: Rank) -> None:
    for name, problem in partition_problems(config, rank.of):
        raise TrainingError(f"train.{name}: {problem}")
    if config.epochs < 1:
        raise TrainingError(f"train.epochs is {config.epochs}: at least 1 is needed")
    if config.batch_size < 2 and config.batch_norm is BatchNorm.learnt:
        raise TrainingError(f"train.batch_size is {config.batch_size}: batch norm needs at least 2")
    if _length(train_data) < 2:
        raise TrainingError(
            f"the train fold has {_length(train_data)} films, at least 2 are needed: add images"
        )
    if _length(val_data) == 0:
        raise TrainingError(
            "the validation fold is empty, so no epoch can be chosen: add images of more patients "
            "or raise the data set's validation fraction"
        )
    parts = rank.of * config.accumulate
    if parts > 1 and _length(train_data) < config.batch_size:
        raise TrainingError(
            f"the train fold has {_length(train_data)} films, fewer than one step cut into {parts}"
            f" parts: lower train.batch_size (now {config.batch_size})"
        )
    if _length(val_data) < rank.of:
        raise TrainingError(
            f"the validation fold has {_length(val_data)} films for {rank.of} processes: lower"
            " train.processes"
        )


def _settings(
    model: nn.Module,
    config: TrainConfig,
    seed: int,
    num_train: int,
    num_val: int,
    loss: nn.Module,
) -> dict[str, Any]:
    """What a training in a folder must agree in with the one that left its checkpoint there."""
    values = {
        name: value.value if isinstance(value, Enum) else value
        for name, value in asdict(config).items()
        if name not in _NOT_OF_ONE_TRAINING
    }
    weights = safetensors.torch.save({k: v.cpu() for k, v in model.state_dict().items()})
    return {
        **values,
        "seed": seed,
        "train films": num_train,
        "validation films": num_val,
        "initial weights": hashlib.sha256(weights).hexdigest(),
        "loss": type(loss).__name__,
        "loss weights": {name: value.tolist() for name, value in loss.named_buffers()},
    }


def _resumable(folder: Path, settings: dict[str, Any]) -> Path | None:
    """The checkpoint to go on from, or None; a damaged one is reported and costs a restart."""
    last = folder / LAST
    if not last.exists():
        return None
    try:
        saved = torch.load(last, map_location="cpu", weights_only=True)["training"]
        load_weights(folder / BEST)
    except Exception as error:  # a damaged pickle can raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        log.warning(
            "cannot resume from %s (%s): training restarts from its first epoch and ends in the "
            "same result",
            last,
            reason,
        )
        return None
    before = {**IF_NOT_NAMED, **saved["settings"]}
    other = [name for name, value in settings.items() if before.get(name) != value]
    if other:
        raise TrainingError(
            f"{last} belongs to another training (other {', '.join(other)}): go on with its "
            "settings, or delete it to train anew"
        )
    log.info("resuming from %s after epoch %d", last, len(saved["history"]))
    return last


@contextlib.contextmanager
def _reproducible(device: torch.device) -> Iterator[None]:
    """Deterministic kernels, and the caller's random and kernel state as it was afterwards."""
    cudnn = torch.backends.cudnn
    kernels = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    deterministic: Any = torch.utils.deterministic  # its stubs leave the switch out
    fills = deterministic.fill_uninitialized_memory
    on_cuda = device.type == "cuda"
    try:
        with torch.random.fork_rng(devices=[device.index or 0] if on_cuda else []):
            # On CUDA the strict switch needs an environment variable before the first kernel.
            torch.use_deterministic_algorithms(device.type == "cpu" or kernels[0])
            cudnn.deterministic, cudnn.benchmark = True, False
            # Writing NaN into new memory first finds faults; it takes time and changes no result.
            deterministic.fill_uninitialized_memory = False
            yield
    finally:
        torch.use_deterministic_algorithms(kernels[0])
        cudnn.deterministic, cudnn.benchmark = kernels[1:]
        deterministic.fill_uninitialized_memory = fills


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """No tips, device lists or warnings about workers: progress is the caller's to show."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
