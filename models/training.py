"""Training with binary cross-entropy: the best epoch is kept, a killed run resumes bit-equal.

Checkpoints are written at the end of an epoch only, so a resumed run repeats at most the epoch in
which it was stopped. They hold weights, optimizer, learning-rate schedule and history; order, flips
and random state follow from the seed alone (epoch_order).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from models.checkpoints import load_weights
from models.config import BatchNorm, TrainConfig, partition_problems
from models.densenet import normalise
from models.epoch_order import FilmDataset, MirroredFilms, films_in_order
from models.losses import BinaryCrossEntropy
from models.process_group import ALONE, Rank
from models.training_checkpoint import BEST, keep_epoch, last_state, training_settings
from models.training_logs import LogRow
from models.training_loop import OnProgress, TrainingError, TrainingLoop
from models.validation_metrics import MEAN_AUC, Metric


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
    logger: AbstractContextManager[LogRow] | None = None,
    rank: Rank = ALONE,
) -> TrainResult:
    """Train ``model`` in place; leave it on the CPU with the weights of the lowest validation loss.

    ``folder`` keeps last.ckpt and best.safetensors; calling again with the same arguments resumes
    there and ends in the same bytes on the same device and number of threads. ``loss``: logits
    and labels (N, C) -> mean over both; plain binary cross-entropy by default. A rest of films that
    does not fill a batch sits out its epoch: batch norm cannot learn from a batch of one.
    ``prepare`` makes a batch of films the model's input; ``metric`` chooses nothing.
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
    num_films, num_val = _length(train_data), _length(val_data)
    step = min(config.batch_size, num_films)
    parts = config.accumulate * rank.of
    loader: Any = partial(DataLoader, num_workers=config.num_workers)
    val_share = Subset(val_data, rank.share(num_val))
    val_batches = loader(val_share, batch_size=config.batch_size // parts)
    settings = training_settings(model, config, loss)
    settings |= {"seed": seed, "train films": num_films, "validation films": num_val}
    settings |= {"metric": metric.name, "processes": rank.of}
    folder.mkdir(parents=True, exist_ok=True)
    state = last_state(folder, settings)
    was_training = model.training
    log_to = logger if logger is not None else nullcontext(lambda row: None)
    try:
        with _reproducible(device), rank.joined(device), log_to as log_row:
            # Channels last is faster, on CPUs too.
            model.to(device).to(memory_format=cast(Any, torch.channels_last))
            loop = TrainingLoop(
                model=model,
                config=config,
                batches=num_films // step * config.accumulate,
                seed=seed,
                device=device,
                loss=loss,
                on_progress=on_progress,
                prepare=prepare,
                metric=metric,
                rank=rank,
            )
            if state:
                loop.load_state_dict(state)
            for row in loop.history:
                log_row(row)
            for epoch in range(len(loop.history), config.epochs):
                films = train_data
                if config.horizontal_flip:
                    films = MirroredFilms(train_data, seed, epoch)
                order = films_in_order(num_films, seed, epoch, step, step // parts, rank)
                train_batches = loader(films, batch_size=step // parts, sampler=order)
                loop.run_epoch(train_batches, val_batches)
                if rank.number == 0:
                    keep_epoch(folder, loop, settings)
                log_row(loop.history[-1])
    finally:
        model.cpu().train(was_training).to(memory_format=cast(Any, torch.contiguous_format))
    model.load_state_dict(load_weights(folder / BEST))
    return TrainResult(pd.DataFrame(loop.history), loop.best_epoch)


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


@contextmanager
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
