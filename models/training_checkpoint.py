"""What a training leaves in its folder after each epoch, and how the next process goes on there."""

import hashlib
import logging
import os
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from models.checkpoints import load_weights, save_weights
from models.config import TrainConfig
from models.training_loop import TrainingError, TrainingLoop

log = logging.getLogger(__name__)
LAST = "last.ckpt"
BEST = "best.safetensors"
# How films are loaded, and what chooses the loss and the initial weights that train() is given.
_NOT_OF_ONE_TRAINING = (
    *("num_workers", "losses", "primary", "pos_weight", "pos_weight_max"),
    *("pretrain_epochs", "pretrain_learning_rate"),
)


def training_settings(model: nn.Module, config: TrainConfig, loss: nn.Module) -> dict[str, Any]:
    """What a training in a folder must agree in with the one that left its checkpoint there.

    model: with its initial weights. The seed, the data and the metric are the caller's to add.
    """
    weights = safetensors.torch.save({k: v.cpu() for k, v in model.state_dict().items()})
    values = {
        name: value.value if isinstance(value, Enum) else value
        for name, value in asdict(config).items()
        if name not in _NOT_OF_ONE_TRAINING
    }
    return {
        **values,
        "initial weights": hashlib.sha256(weights).hexdigest(),
        "loss": type(loss).__name__,
        "loss weights": {name: value.tolist() for name, value in loss.named_buffers()},
    }


def keep_epoch(folder: Path, loop: TrainingLoop, settings: dict[str, Any]) -> None:
    """Publishes the best weights, then the state to resume from, each whole or not at all.

    Killed between the two files, a resumed run repeats the epoch and writes the same best weights.
    """
    if loop.best_epoch == len(loop.history):
        save_weights(folder / BEST, loop.model.state_dict())
    temporary = folder / (LAST + ".tmp")
    with temporary.open("wb") as file:
        torch.save({**loop.state_dict(), "settings": settings}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / LAST)


def last_state(folder: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """The state to go on from, or None; a damaged one is reported and costs a restart.

    Raises TrainingError where another training left it.
    """
    last = folder / LAST
    if not last.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(last, map_location="cpu", weights_only=True)
        before = state["settings"]
        load_weights(folder / BEST)
    except Exception as error:  # a damaged pickle can raise anything
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        log.warning(
            "cannot resume from %s (%s): training restarts from its first epoch and ends in the "
            "same result",
            last,
            reason,
        )
        return None
    other = [name for name, value in settings.items() if before.get(name) != value]
    if other:
        raise TrainingError(
            f"{last} belongs to another training (other {', '.join(other)}): go on with its "
            "settings, or delete it to train anew"
        )
    log.info("resuming from %s after epoch %d", last, len(state["history"]))
    return state
