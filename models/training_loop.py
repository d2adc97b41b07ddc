"""One epoch after the other: the steps, the validation, a row of history, the state to go on from.

An own loop, since it is shorter than what a framework needs around it to resume bit-equal, to pass
interrupts on and to run in processes that are started elsewhere.
"""

import copy
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import OneCycleLR

from models.config import BatchNorm, Optimizer, Precision, Schedule, TrainConfig
from models.epoch_order import Stream, derived_seed
from models.process_group import Rank
from models.validation_metrics import Metric

Batches = Iterable[tuple[Tensor, Tensor]]
"""Films uint8 (n, H, W), or what else the network's input is made of, and labels float32 (n, C)."""

OnProgress = Callable[[int, int, int, int, Mapping[str, float]], None]
"""(epoch from 1, epochs, batches done in it, batches an epoch, losses): after every batch.

batches: of this process, each a part of a step. losses: `train_loss`, the mean over its films of
this epoch so far, and from epoch 2 on `val_loss`, the last.
"""


class TrainingError(ValueError):
    """Training cannot start or go on; the message names the setting and what to do."""


@dataclass(eq=False)
class TrainingLoop:
    """A network on its device in training; ``history`` gets a row per epoch (see TrainResult)."""

    model: nn.Module
    config: TrainConfig
    batches: int  # of an epoch, in each process: parts of steps
    seed: int
    device: torch.device
    loss: nn.Module
    on_progress: OnProgress | None
    prepare: Callable[[Tensor], Tensor]
    metric: Metric
    rank: Rank

    def __post_init__(self) -> None:
        config = self.config
        self.loss = copy.deepcopy(self.loss).to(self.device)
        self.history: list[dict[str, float]] = []
        self.optimizer = _optimizer(self.model, config)
        self.schedule: OneCycleLR | None = None
        if config.schedule is Schedule.one_cycle:
            steps = config.epochs * self.batches // config.accumulate
            self.schedule = OneCycleLR(self.optimizer, config.learning_rate, total_steps=steps)

    @property
    def best_epoch(self) -> int:
        return int(min(self.history, key=lambda row: row["val_loss"])["epoch"])

    def state_dict(self) -> dict[str, Any]:
        """All that the next epoch depends on and that does not follow from the seed."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule else None,
            "history": self.history,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule:
            self.schedule.load_state_dict(state["schedule"])
        self.history = state["history"]

    def run_epoch(self, train_batches: Batches, val_batches: Batches) -> None:
        """Learns from one batch after the other, validates, and adds the row of the epoch.

        Raises TrainingError where a loss is no longer finite.
        """
        started = time.perf_counter()
        own_losses = self._learn(train_batches)
        if self.config.batch_norm is BatchNorm.learnt:  # else each process would judge another net
            self.rank.average([each for each in self.model.buffers() if each.is_floating_point()])
        gathered = self.rank.gathered((own_losses, self._outputs(val_batches)))
        losses = [loss for train_losses, _ in gathered for loss in train_losses]
        outputs = [batch for _, batches in gathered for batch in batches]
        logits, labels = (torch.cat(parts).double() for parts in zip(*outputs, strict=True))
        exact = copy.deepcopy(self.loss).cpu().double()
        self.history.append(
            {
                "epoch": len(self.history) + 1,
                "train_loss": float(np.mean(losses)),
                "val_loss": self._finite(exact(logits, labels).item(), "validation"),
                self.metric.name: self.metric.of(logits.numpy(), labels.numpy()),
                "seconds": time.perf_counter() - started,
            }
        )

    def _learn(self, batches: Batches) -> list[float]:
        self.model.train()
        if self.config.batch_norm is BatchNorm.frozen:
            for norm in (each for each in self.model.modules() if isinstance(each, _BatchNorm)):
                norm.eval()
        self.optimizer.zero_grad()
        mixed = self.config.precision is Precision.bf16_mixed
        first, parts = len(self.history) * self.batches, self.config.accumulate
        losses: list[float] = []
        for number, (films, labels) in enumerate(batches):
            key = (first + number) * self.rank.of + self.rank.number
            torch.manual_seed(derived_seed(self.seed, Stream.STEP, key))
            films, labels = films.to(self.device), labels.to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=mixed):
                loss: Tensor = self.loss(self.model(self.prepare(films)).float(), labels)
            losses.append(self._finite(loss.item(), "training"))
            (loss / parts).backward()
            if (number + 1) % parts == 0:
                self._step()
            if self.on_progress is not None:
                shown = {"train_loss": float(np.mean(losses))}
                if self.history:
                    shown["val_loss"] = self.history[-1]["val_loss"]
                epoch = len(self.history) + 1
                self.on_progress(epoch, self.config.epochs, number + 1, self.batches, shown)
        return losses

    def _step(self) -> None:
        learnt = [each.grad for each in self.model.parameters() if each.grad is not None]
        self.rank.average(learnt)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.schedule:
            self.schedule.step()

    def _outputs(self, batches: Batches) -> list[tuple[Tensor, Tensor]]:
        self.model.eval()
        with torch.inference_mode():  # in float32, as later predictions
            return [
                (self.model(self.prepare(films.to(self.device))).float().cpu(), labels)
                for films, labels in batches
            ]

    def _finite(self, loss: float, what: str) -> float:
        if not math.isfinite(loss):
            raise TrainingError(
                f"the {what} loss is {loss} in epoch {len(self.history) + 1}: lower "
                f"train.learning_rate (now {self.config.learning_rate:g})"
            )
        return loss


def _optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer is Optimizer.sgd:
        return SGD(model.parameters(), rate, config.momentum, weight_decay=decay, fused=True)
    return AdamW(model.parameters(), rate, weight_decay=decay, fused=True)
