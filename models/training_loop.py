"""The training loop's own part: losses, history, learning rates, what is written after an epoch."""

import copy
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor, nn

from models.checkpoints import save_weights
from models.config import BatchNorm, Optimizer, Schedule, TrainConfig
from models.epoch_order import EpochOrder, Stream, derived_seed
from models.process_group import Rank
from models.validation_metrics import Metric

LAST = "last.ckpt"
BEST = "best.safetensors"

OnProgress = Callable[[int, int, int, int, Mapping[str, float]], None]
"""(epoch from 1, epochs, batches done in it, batches an epoch, losses): after every batch.

batches: of this process, each a part of a step. losses: `train_loss`, the mean over its films of
this epoch so far, and from epoch 2 on `val_loss`, the last.
"""


class TrainingError(ValueError):
    """Training cannot start or go on; the message names the setting and what to do."""


class TrainingLoop(pl.LightningModule):
    """A network as Lightning trains it; ``history`` gets a row per epoch (see TrainResult)."""

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        seed: int,
        settings: dict[str, Any],
        order: EpochOrder,
        batches: int,
        loss: nn.Module,
        on_progress: OnProgress | None,
        prepare: Callable[[Tensor], Tensor],
        metric: Metric,
        rank: Rank,
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.seed = seed
        self.settings = settings
        self.order = order
        self.batches = batches
        self.loss = loss
        self.on_progress = on_progress
        self.prepare = prepare
        self.metric = metric
        self.rank = rank
        self.history: list[dict[str, float]] = []
        self.train_losses: list[float] = []
        self.val_outputs: list[tuple[Tensor, Tensor]] = []
        self.started = 0.0

    @property
    def best_epoch(self) -> int:
        return int(min(self.history, key=lambda row: row["val_loss"])["epoch"])

    def configure_optimizers(self) -> Any:
        rate, decay = self.config.learning_rate, self.config.weight_decay
        optimizer: torch.optim.Optimizer
        if self.config.optimizer is Optimizer.sgd:
            momentum = self.config.momentum
            optimizer = torch.optim.SGD(
                self.model.parameters(), rate, momentum, weight_decay=decay, fused=True
            )
        else:
            optimizer = torch.optim.AdamW(
                self.model.parameters(), rate, weight_decay=decay, fused=True
            )
        if self.config.schedule is Schedule.constant:
            return optimizer
        steps = self.config.epochs * self.batches // self.config.accumulate
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_start(self) -> None:
        for row in self.history:  # of the process that was stopped
            self._tell(row)

    def on_train_epoch_start(self) -> None:
        self.started = time.perf_counter()
        self.train_losses = []

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        parts = self.config.accumulate * self.rank.of
        part = batch_idx % self.config.accumulate * self.rank.of + self.rank.number
        torch.manual_seed(derived_seed(self.seed, Stream.STEP, self.global_step * parts + part))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        films, labels = batch
        loss: Tensor = self.loss(self.model(self.prepare(films)).float(), labels)
        self.train_losses.append(self._finite(loss.item(), "training"))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.on_progress is not None:
            losses = {"train_loss": float(np.mean(self.train_losses))}
            if self.history:
                losses["val_loss"] = self.history[-1]["val_loss"]
            epoch, done = len(self.history) + 1, len(self.train_losses)
            self.on_progress(epoch, self.config.epochs, done, self.batches, losses)

    def on_validation_epoch_start(self) -> None:
        if self.config.batch_norm is BatchNorm.learnt:  # else each process would judge another net
            statistics = (b for b in self.model.buffers() if b.is_floating_point())
            self.rank.average(statistics)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        films, labels = batch
        with torch.autocast(films.device.type, enabled=False):  # as whoever predicts later
            self.val_outputs.append((self.model(self.prepare(films)).float().cpu(), labels.cpu()))

    def on_train_epoch_end(self) -> None:
        gathered = self.rank.gathered((self.val_outputs, self.train_losses))
        outputs = [batch for val_outputs, _ in gathered for batch in val_outputs]
        losses = [loss for _, train_losses in gathered for loss in train_losses]
        logits, labels = (torch.cat(parts).double() for parts in zip(*outputs, strict=True))
        self.val_outputs = []
        exact = copy.deepcopy(self.loss).cpu().double()
        val_loss = self._finite(exact(logits, labels).item(), "validation")
        self.history.append(
            {
                "epoch": len(self.history) + 1,
                "train_loss": float(np.mean(losses)),
                "val_loss": val_loss,
                self.metric.name: self.metric.of(logits.numpy(), labels.numpy()),
                "seconds": time.perf_counter() - self.started,
            }
        )
        self._tell(self.history[-1])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["training"] = {"settings": self.settings, "history": self.history}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["training"]["history"]
        steps = self.batches // self.config.accumulate
        self.order.set_epoch(checkpoint["global_step"] // steps)

    def _tell(self, row: Mapping[str, float]) -> None:
        if self.logger is not None:
            values = {name: value for name, value in row.items() if name != "epoch"}
            self.logger.log_metrics(values, step=int(row["epoch"]))

    def _finite(self, loss: float, what: str) -> float:
        if not math.isfinite(loss):
            raise TrainingError(
                f"the {what} loss is {loss} in epoch {len(self.history) + 1}: lower "
                f"train.learning_rate (now {self.config.learning_rate:g})"
            )
        return loss


class KeepEpochs(Checkpoint):
    """Publishes the best weights, then the state to resume from, each whole or not at all.

    As a Lightning Checkpoint it is called last at the end of an epoch, after its history row.
    Killed between the two files, a resumed run repeats the epoch and writes the same best weights.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        module = cast(TrainingLoop, pl_module)
        if trainer.is_global_zero and module.best_epoch == len(module.history):
            save_weights(self.folder / BEST, module.model.state_dict())
        # Lightning writes to the final name; a kill in the middle would leave half a file there.
        temporary = self.folder / (LAST + ".tmp")
        trainer.save_checkpoint(temporary)  # written by one process, waited for by all
        if trainer.is_global_zero:
            os.replace(temporary, self.folder / LAST)
