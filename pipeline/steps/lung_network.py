"""lung_network: a network that outlines lungs, learnt from films with masks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, cast

import numpy as np
import pandas as pd

from data.config import LungsConfig
from models.config import Optimizer, Schedule, TrainConfig
from pipeline.step import Inputs, Source, Step, Work
from pipeline.steps.films import IMAGE_READERS
from pipeline.steps.training import batches_done, keep_history
from pipeline.store import RESUME

if TYPE_CHECKING:  # torch is imported when the step runs
    from torch.utils.data import TensorDataset

    from models.epoch_order import FilmDataset

NETWORK = "network.safetensors"
_FOLDS = ("train", "val", "test")
_VAL_SHARE = 0.15  # ours: of the pairs that are not held out


@dataclass(frozen=True)
class LungNetwork(Step):
    """A network that outlines lungs, and its Dice on held-out films.

    It learns the masks of phantoms, with their ``index`` and ``pack`` at ``config.side``; where
    these are None, the pairs of films and masks in ``films``.
    """

    version: ClassVar = 6
    code: ClassVar = (
        "models",
        *IMAGE_READERS,
        *("data/laterality.py", "data/lung_pairs.py", "data/lungs.py"),
        *("data/packing.py", "data/splits.py"),
    )
    config: LungsConfig
    films: Source
    index: Source | None
    pack: Source | None
    seed: int
    threads: int
    batch: int = 16  # held-out films in one forward pass

    def run(self, work: Work) -> None:
        from models.checkpoints import save_weights
        from models.lung_unet import DiceAndCrossEntropy, grey, initial_lung_unet, predict_masks
        from models.training import train
        from models.validation_metrics import MEAN_DICE, dice_per_image
        from pipeline.steps.loaded_model import start_torch

        device = start_torch(work.machine, self.threads)
        names, folds = self._folds(work)
        recipe = TrainConfig(
            epochs=self.config.epochs,
            batch_size=self.config.batch_size,
            optimizer=Optimizer.adamw,
            learning_rate=self.config.learning_rate,
            schedule=Schedule.one_cycle,
        )
        model = initial_lung_unet(self.seed)
        result = train(
            model,
            cast("FilmDataset", folds["train"]),
            cast("FilmDataset", folds["val"]),
            recipe,
            seed=self.seed,
            folder=work.folder / RESUME,
            device=device,
            loss=DiceAndCrossEntropy(),
            on_progress=batches_done(work),
            prepare=grey,
            metric=MEAN_DICE,
        )
        keep_history(work, result)
        films, truth = folds["test"].tensors
        masks = predict_masks(model, films.split(self.batch), device)
        dice = dice_per_image(masks, truth[:, 0].numpy() > 0)
        table = pd.DataFrame({"image": names["test"], "dice": dice})
        table.to_csv(work.folder / "dice.csv", index=False)
        save_weights(work.folder / NETWORK, model.state_dict())
        work.note(
            f"{len(folds['train']):,} films, best epoch {result.best_epoch} of"
            f" {self.config.epochs}; Dice on {len(dice):,} held-out films: mean {dice.mean():.3f},"
            f" lowest {dice.min():.3f}"
        )

    def _folds(self, work: Work) -> tuple[dict[str, list[str]], "dict[str, TensorDataset]"]:
        """Names and (film uint8 (side, side), mask float32 (1, side, side)) by fold."""
        import torch
        from torch.utils.data import TensorDataset

        from data.integrity import DataError
        from data.laterality import check_sides, mask_side

        pairs = self.read_pairs(work) if self.pack is None else self._phantoms(work)
        pairs.problems.to_csv(work.folder / "problems.csv", index=False)
        if len(pairs.problems):
            work.note(
                f"{len(pairs.problems):,} films or masks are left out, turned or doubtful; see"
                " problems.csv"
            )
        check_sides(
            [mask_side(film, mask) for film, mask in zip(pairs.films, pairs.masks, strict=True)],
            f"the lung masks of {work[self.films].name}",
        )
        names, folds = {}, {}
        for fold in _FOLDS:
            rows = np.flatnonzero(pairs.table["fold"] == fold)
            if fold == "train" and self.config.max_films is not None:
                rows = rows[: self.config.max_films]
            if not len(rows):
                raise DataError(f"the {fold} fold has no film with a lung mask: give more of them")
            names[fold] = pairs.table["image"].iloc[rows].tolist()
            folds[fold] = TensorDataset(
                torch.from_numpy(pairs.films[rows]),
                torch.from_numpy(pairs.masks[rows][:, None]).float(),
            )
        return names, folds

    def _phantoms(self, inputs: Inputs) -> "LungPairs":
        from data.integrity import problem_table
        from data.lungs import read_lung_mask
        from data.packing import PackedFilms
        from data.phantom.brixia_layout import mask_path
        from pipeline.steps.packed_films import readable_images

        assert self.index is not None
        assert self.pack is not None
        packed = PackedFilms(inputs[self.pack])
        table = readable_images(inputs[self.index], packed)[["image", "fold"]]
        root, side = inputs[self.films], self.config.side
        masks = [read_lung_mask(root / mask_path(image), side) for image in table["image"]]
        films = packed.load(table["image"].tolist())
        return LungPairs(table, films, np.stack(masks), problem_table([]))

    def read_pairs(self, inputs: Inputs) -> "LungPairs":
        """The films and masks at ``paths.lungs`` that can be read, with their folds."""
        from data.integrity import DataError, commonest, list_problems
        from data.lung_pairs import read_lung_pair, read_lung_pairs
        from data.splits import split_by_patient

        root = inputs[self.films]
        pairs = read_lung_pairs(root, self.config.test_fraction, seed=0)
        films, masks, reasons, readable = [], [], [], []
        for path, mask_path in pairs.images[["path", "mask_path"]].itertuples(index=False):
            try:
                film, mask, reason = read_lung_pair(root, path, mask_path, self.config.side)
            except DataError as error:
                reasons.append(str(error))
                readable.append(False)
                continue
            films.append(film)
            masks.append(mask)
            reasons.append(reason)
            readable.append(True)
        why = pd.Series(reasons, dtype=object)
        listed = list_problems(pairs.images["image"][why != ""], "film or mask", why[why != ""])
        if not films:
            raise DataError(f"no pair of {root} can be read: {commonest(listed)}")
        problems = pd.concat([pairs.problems, listed], ignore_index=True)
        table = pairs.images[readable].reset_index(drop=True)
        learn = table.index[table["fold"] == "train"]
        in_val = split_by_patient(table["image"][learn], _VAL_SHARE, seed=0)
        table.loc[learn[in_val], "fold"] = "val"
        # Names say where a film is from: a part of them in their order would be of one hospital.
        order = np.random.default_rng(0).permutation(len(table))
        table = table.iloc[order].reset_index(drop=True)
        shuffled = [np.stack([each[k] for k in order]) for each in (films, masks)]
        return LungPairs(table, shuffled[0], shuffled[1], problems)


class LungPairs(NamedTuple):
    """N films with lung masks."""

    table: pd.DataFrame  # image, fold
    films: np.ndarray  # uint8 (N, side, side)
    masks: np.ndarray  # bool (N, side, side)
    problems: pd.DataFrame
