"""train: a classifier of one loss on the train fold, from given initial weights."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import pandas as pd

from models.config import BatchNorm, ClassifierTrainConfig, Loss, TrainConfig
from pipeline.keys import content_key, file_sha256
from pipeline.step import Inputs, Source, Step, UserFiles, Work
from pipeline.store import RESUME

if TYPE_CHECKING:  # torch is imported when the step runs
    from torch import nn

    from models.densenet import DenseNet121
    from models.process_group import Rank
    from models.training import TrainResult
    from models.training_loop import OnProgress
    from pipeline.steps.packed_films import LabelledFilms

_NAMED_WEIGHTS = ("random", "imagenet")


def one_training(config: TrainConfig, loss: Loss) -> TrainConfig:
    """What the training of one loss depends on: the rest of ``config`` at its defaults."""
    unread = ["pos_weight", "pos_weight_max"] if loss is Loss.bce else []
    names = [each.name for each in fields(TrainConfig) if each.name not in unread]
    kept = {name: getattr(config, name) for name in names}
    return TrainConfig(**{**kept, "losses": [loss], "primary": loss})


def small_training(config: ClassifierTrainConfig, loss: Loss, epochs: int) -> TrainConfig:
    """A training at ``config.pretrain_side``, whose weights another one starts from."""
    return replace(
        one_training(config, loss),
        epochs=epochs,
        learning_rate=config.pretrain_learning_rate,
        batch_norm=BatchNorm.learnt,
    )


def initial_weights(init: str) -> UserFiles | str:
    """``model.init`` as a training starts from it: a name, or a file with its labels.

    Raises
    ------
    ValueError
        Where it is neither.
    """
    if init in _NAMED_WEIGHTS:
        return init
    path = Path(init)
    if not path.is_file():
        raise ValueError(f"model.init: {init} is neither a file nor random or imagenet")
    files = {"weights": path, "labels": path.with_suffix(".json")}
    digests = {what: file_sha256(file) for what, file in files.items() if file.is_file()}
    return UserFiles(path, content_key(digests))


@dataclass(frozen=True)
class Train(Step):
    """A classifier that learns the train fold by ``recipe.primary``; the best epoch is kept.

    ``start``: a training, whose weights it starts from (of other labels, below a fresh head), or
    ``initial_weights``.
    """

    version: ClassVar = 4
    code: ClassVar = ("models",)
    recipe: TrainConfig
    labels: tuple[str, ...]
    start: Source | str
    index: Source
    pack: Source
    seed: int
    threads: int
    processes: int = 1

    def run(self, work: Work) -> None:
        from models.checkpoints import save_checkpoint
        from pipeline.steps.loaded_model import WEIGHTS

        prepared = self._prepare(work)
        films = prepared.folds["train"]
        facts: dict[str, object] = {
            "side": films.films.side,
            "loss": self.recipe.primary.value,
            "epochs": self.recipe.epochs,
        }
        if self.recipe.epochs == 0:
            work.note("train.epochs=0: the initial weights are used as they are")
        else:
            if prepared.clipped:
                names = ", ".join(self.labels[position] for position in prepared.clipped)
                work.note(f"positive weight clipped at {self.recipe.pos_weight_max:g}: {names}")
            result = self._train(work, prepared)
            history = keep_history(work, result)
            best = history.loc[history["epoch"] == result.best_epoch].iloc[0]
            facts["best_epoch"] = result.best_epoch
            work.note(
                f"{len(films):,} films, best epoch {result.best_epoch} of {len(history)}:"
                f" validation loss {best['val_loss']:.4f}, mean AUC {best['val_auc']:.3f}"
            )
        save_checkpoint(work.folder / WEIGHTS, prepared.model, self.labels, facts)

    def _train(self, work: Work, prepared: "_Prepared") -> "TrainResult":
        """Leaves the weights of the best epoch in the prepared model."""
        from models.checkpoints import load_weights
        from models.process_group import ALONE
        from models.training_checkpoint import BEST
        from pipeline.training_processes import train_in_processes

        folder, progress = work.folder / RESUME, batches_done(work)
        # Close to what the store calls the result: step, label, the key's first digits.
        logged_as = "-".join([*self.title.split(), work.folder.stem])
        if self.processes == 1:
            return self._learn(work, prepared, folder, logged_as, ALONE, progress)
        learn = partial(self._learn_as, work.inputs, folder.absolute(), logged_as)
        result = train_in_processes(learn, self.processes, self.threads, work.machine, progress)
        prepared.model.load_state_dict(load_weights(folder / BEST))
        return result

    def _learn_as(
        self,
        inputs: Inputs,
        folder: Path,
        logged_as: str,
        rank: "Rank",
        on_progress: "OnProgress | None",
    ) -> "TrainResult":
        """The training as one of its processes does it."""
        return self._learn(inputs, self._prepare(inputs), folder, logged_as, rank, on_progress)

    def _learn(
        self,
        inputs: Inputs,
        prepared: "_Prepared",
        folder: Path,
        logged_as: str,
        rank: "Rank",
        on_progress: "OnProgress | None",
    ) -> "TrainResult":
        """``folder``: of the checkpoints."""
        from models.training import train
        from models.training_logs import training_logger
        from pipeline.steps.loaded_model import start_torch

        machine, logger = inputs.machine, None
        if rank.number == 0:
            logger = training_logger(machine.logger, machine.outputs, logged_as)
        return train(
            prepared.model,
            prepared.folds["train"],
            prepared.folds["val"],
            self.recipe,
            seed=self.seed,
            folder=folder,
            device=start_torch(machine, self.threads),
            loss=prepared.loss,
            on_progress=on_progress,
            logger=logger,
            rank=rank,
        )

    def _prepare(self, inputs: Inputs) -> "_Prepared":
        from data.packing import PackedFilms
        from models.losses import BinaryCrossEntropy, weighted_loss
        from pipeline.steps.packed_films import LabelledFilms, readable_images

        films = PackedFilms(inputs[self.pack])
        images = readable_images(inputs[self.index], films)
        folds = {fold: LabelledFilms(films, images, fold, self.labels) for fold in ("train", "val")}
        recipe, model = self.recipe, self._initial_model(inputs)
        if recipe.primary is Loss.bce or recipe.epochs == 0:
            return _Prepared(model, folds, BinaryCrossEntropy(), [])
        labels = folds["train"].labels
        loss, clipped = weighted_loss(recipe.pos_weight, labels, recipe.pos_weight_max)
        return _Prepared(model, folds, loss, clipped)

    def _initial_model(self, inputs: Inputs) -> "DenseNet121":
        from models.checkpoints import initial_model, load_checkpoint, with_fresh_head
        from pipeline.steps.loaded_model import WEIGHTS

        init = self.start
        if not isinstance(init, str):
            path = inputs[init]
            if path.is_dir():  # of a training
                model, meta = load_checkpoint(path / WEIGHTS)
                same = meta["labels"] == list(self.labels)
                return model if same else with_fresh_head(model, len(self.labels), self.seed)
            init = str(path)
        return initial_model(init, len(self.labels), self.seed, self.labels)


class _Prepared(NamedTuple):
    """What a training works on. Each of several processes reads it for itself."""

    model: "DenseNet121"
    folds: "dict[str, LabelledFilms]"
    loss: "nn.Module"
    clipped: list[int]  # classes whose positive weight the recipe bounds


def batches_done(work: Work) -> "OnProgress":
    """Shows a training's progress, in batches of the whole training."""

    def show(epoch: int, epochs: int, done: int, batches: int, losses: Mapping[str, float]) -> None:
        work.progress((epoch - 1) * batches + done, epochs * batches)

    return show


def keep_history(work: Work, result: "TrainResult") -> pd.DataFrame:
    """Writes ``history.csv`` without the seconds: they differ between equal runs, so the manifest
    holds them and the result must not."""
    history = result.history.drop(columns="seconds")
    history.to_csv(work.folder / "history.csv", index=False)
    return history
