"""lung_network, lungs: a network that outlines lungs, and its masks on the test films."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from data.config import LungSource
from models.config import Optimizer, Schedule, TrainConfig
from pipeline.config import ConfigError, PipelineConfig, section
from pipeline.graph import RawFolder, Stage, Task
from pipeline.stages.pack import IMAGE_READERS
from pipeline.stages.train import batches_done, keep_history
from pipeline.store import RESUME

if TYPE_CHECKING:  # torch is imported when the stage runs
    from torch.utils.data import TensorDataset

    from data.packing import PackedFilms
    from models.epoch_order import FilmDataset

FOLDS = ("train", "val", "test")
_VAL_SHARE = 0.15  # of the pairs that are not held out
_BATCH = 16


def network_stage(
    config: PipelineConfig,
    films: Stage | RawFolder,
    index: Stage | None = None,
    pack: Stage | None = None,
) -> Stage:
    """``index`` and ``pack`` (at ``lungs.side``) are those of phantoms; pairs are their own."""
    lungs = config.brixia.lungs
    settings = section(lungs)
    if lungs.source is LungSource.phantoms:
        del settings["test_fraction"]
    own = {"index": index, "pack": pack} if index and pack else {}
    return Stage(
        name="lung_network",
        version=5,
        settings={"lungs": settings, "seed": config.seed, "threads": config.threads},
        inputs={"films": films, **own},
        run=run_network,
        sources=(
            "models",
            *IMAGE_READERS,
            *("data/laterality.py", "data/lung_pairs.py", "data/lungs.py"),
            *("data/packing.py", "data/splits.py"),
        ),
    )


def stage(config: PipelineConfig, network: Stage, index: Stage, pack: Stage) -> Stage:
    """Masks of the test fold of ``index``, whose films are packed at ``lungs.side``."""
    return Stage(
        name="lungs",
        version=2,
        settings={"side": config.dataset.side, "batch": _BATCH, "threads": config.threads},
        inputs={"network": network, "index": index, "pack": pack},
        run=run,
        sources=(
            *("models/lung_unet.py", "data/laterality.py", "data/lungs.py", "data/packing.py"),
        ),
        variant="predicted",
    )


def given_stage(
    config: PipelineConfig,
    masks: Stage | RawFolder,
    folder: str,
    index: Stage,
    pack: Stage,
    variant: str,
) -> Stage:
    """Masks of the test fold that lie in ``folder``: the phantoms' own, or the user's."""
    return Stage(
        name="lungs",
        version=3,
        settings={"side": config.dataset.side, "folder": folder},
        inputs={"masks": masks, "index": index, "pack": pack},
        run=lambda task: run_given(task, folder),
        sources=("data/lungs.py", "data/laterality.py", "data/packing.py", *IMAGE_READERS),
        variant=variant,
    )


def run_network(task: Task) -> None:
    from models.checkpoints import save_weights
    from models.lung_unet import DiceAndCrossEntropy, grey, initial_lung_unet, predict_masks
    from models.training import train
    from models.validation_metrics import MEAN_DICE, dice_per_image
    from pipeline.torch_runtime import start_torch

    lungs = task.config.brixia.lungs
    device = start_torch(task.config)
    names, folds = _pairs(task)
    recipe = TrainConfig(
        epochs=lungs.epochs,
        batch_size=lungs.batch_size,
        optimizer=Optimizer.adamw,
        learning_rate=lungs.learning_rate,
        schedule=Schedule.one_cycle,
    )
    model = initial_lung_unet(task.config.seed)
    result = train(
        model,
        cast("FilmDataset", folds["train"]),
        cast("FilmDataset", folds["val"]),
        recipe,
        seed=task.config.seed,
        folder=task.folder / RESUME,
        device=device,
        loss=DiceAndCrossEntropy(),
        on_progress=batches_done(task),
        prepare=grey,
        metric=MEAN_DICE,
    )
    keep_history(task, result)
    films, masks = folds["test"].tensors
    found = predict_masks(model, films.split(_BATCH), device)
    dice = dice_per_image(found, masks[:, 0].numpy() > 0)
    pd.DataFrame({"image": names["test"], "dice": dice}).to_csv(
        task.folder / "dice.csv", index=False
    )
    save_weights(task.folder / "network.safetensors", model.state_dict())
    task.note(
        f"{len(folds['train']):,} films, best epoch {result.best_epoch} of {lungs.epochs}; Dice on"
        f" {len(dice):,} held-out films: mean {dice.mean():.3f}, lowest {dice.min():.3f}"
    )


def _pairs(task: Task) -> tuple[dict[str, list[str]], "dict[str, TensorDataset]"]:
    """Names and (film uint8 (side, side), mask float32 (1, side, side)) by fold."""
    import torch
    from torch.utils.data import TensorDataset

    from data.integrity import problem_table
    from data.laterality import check_sides, mask_side
    from data.lungs import read_lung_mask

    lungs, root = task.config.brixia.lungs, task.inputs["films"]
    if lungs.source is LungSource.phantoms:
        table, films = _phantom_pairs(task)
        masks_of = [read_lung_mask(root / path, lungs.side) for path in table["mask_path"]]
        problems = problem_table([])
    else:
        table, films, masks_of, problems = _read_pairs(task)
    problems.to_csv(task.folder / "problems.csv", index=False)
    if len(problems):
        task.note(
            f"{len(problems):,} films or masks are left out, turned or doubtful; see problems.csv"
        )
    masks = np.stack(masks_of)
    check_sides(
        [mask_side(film, mask) for film, mask in zip(films, masks, strict=True)],
        f"the lung masks of {root.name}",
    )
    names, folds = {}, {}
    for fold in FOLDS:
        rows = np.flatnonzero(table["fold"] == fold)
        if fold == "train" and lungs.max_films is not None:
            rows = rows[: lungs.max_films]
        if not len(rows):
            raise ConfigError(f"the {fold} fold has no film with a lung mask: give more of them")
        names[fold] = table["image"].iloc[rows].tolist()
        folds[fold] = TensorDataset(
            torch.from_numpy(films[rows]), torch.from_numpy(masks[rows][:, None]).float()
        )
    return names, folds


def _phantom_pairs(task: Task) -> tuple[pd.DataFrame, np.ndarray]:
    from data.packing import PackedFilms
    from data.phantom.brixia_layout import mask_path
    from pipeline.films import readable_images

    packed = PackedFilms(task.inputs["pack"])
    images = readable_images(task.inputs["index"], packed)
    table = images[["image", "fold"]].assign(mask_path=images["image"].map(mask_path))
    return table, packed.load(table["image"].tolist())


def _read_pairs(
    task: Task,
) -> tuple[pd.DataFrame, np.ndarray, list[np.ndarray], pd.DataFrame]:
    """The readable pairs with their folds, films, masks; and problems."""
    from data.integrity import DataError, commonest, list_problems
    from data.lung_pairs import read_lung_pair, read_lung_pairs
    from data.splits import split_by_patient

    lungs, root = task.config.brixia.lungs, task.inputs["films"]
    pairs = read_lung_pairs(root, lungs.test_fraction, seed=0)
    films, masks, reasons, readable = [], [], [], []
    for path, mask_path in pairs.images[["path", "mask_path"]].itertuples(index=False):
        try:
            film, mask, reason = read_lung_pair(root, path, mask_path, lungs.side)
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
    return table, np.stack([films[k] for k in order]), [masks[k] for k in order], problems


def run(task: Task) -> None:
    from data.integrity import problem_table
    from data.packing import PackedFilms
    from models.lung_unet import load_lung_unet, predict_masks
    from pipeline.films import film_batches
    from pipeline.torch_runtime import start_torch

    device = start_torch(task.config)
    films = PackedFilms(task.inputs["pack"])
    names = _test_names(task, films)
    model = load_lung_unet(task.inputs["network"] / "network.safetensors")
    masks: list[np.ndarray] = []
    for batch in film_batches(films, names, _BATCH, device):
        masks += list(predict_masks(model, [batch], device))
        task.progress(len(masks), len(names))
    _write(task, films, names, masks, problem_table([]))


def run_given(task: Task, folder: str) -> None:
    from data.integrity import DataError, commonest, list_problems, read_film
    from data.laterality import check_sides, mask_side
    from data.lung_pairs import MASK_ENDING, SUFFIXES
    from data.lungs import squashed_mask
    from data.nih_files import find_films
    from data.packing import PackedFilms

    films = PackedFilms(task.inputs["pack"])
    names = _test_names(task, films)
    root = task.inputs["masks"]
    files, passed_over = find_films(root, SUFFIXES, folder)
    path_of = {Path(str(name)).stem.removesuffix(MASK_ENDING): path for name, path in files.items()}
    masks, kept, turns = [], [], []
    for done, name in enumerate(names, 1):
        if (path := path_of.get(Path(name).stem)) is not None:
            grey, turned = read_film(root / path)
            masks.append(squashed_mask(grey, films.side))
            kept.append(name)
            turns.append(turned)
        task.progress(done, len(names))
    if not kept:
        why = f": {commonest(passed_over)}" if len(passed_over) else ""
        raise DataError(f"no test film has a lung mask of its name in {root / folder}{why}")
    cues = [mask_side(film, mask) for film, mask in zip(films.load(kept), masks, strict=True)]
    check_sides(cues, f"the lung masks in {folder}")
    absent = pd.Series(sorted(set(names) - set(kept)), dtype=object)
    if len(absent):
        task.note(f"{len(absent):,} of {len(names):,} test films have no lung mask: left out")
    said = pd.Series(turns, dtype=object)
    turned_masks = list_problems(pd.Series(kept)[said != ""], folder, said[said != ""])
    left_out = list_problems(absent, folder, "no lung mask: film left out")
    _write(task, films, kept, masks, pd.concat([left_out, turned_masks]))


def _test_names(task: Task, films: "PackedFilms") -> list[str]:
    from pipeline.films import readable_images

    images = readable_images(task.inputs["index"], films)
    return images.loc[images["fold"] == "test", "image"].tolist()


def _write(
    task: Task,
    films: "PackedFilms",
    names: list[str],
    masks: Sequence[np.ndarray],
    problems: pd.DataFrame,
) -> None:
    """masks.npy, bool (N, side, side) at the classifier's side, and the films' names in its order.

    Raises DataError where the films look mirrored.
    """
    from data.laterality import check_sides, heart_side
    from data.lungs import MASK_LEVEL
    from data.packing import squash

    cues = [heart_side(film, mask) for film, mask in zip(films.load(names), masks, strict=True)]
    check_sides(cues, "the test films")
    side = task.config.dataset.side
    squashed = [squash(mask.astype(np.uint8) * 255, side) > MASK_LEVEL for mask in masks]
    np.save(task.folder / "masks.npy", np.stack(squashed))
    pd.DataFrame({"image": names}).to_csv(task.folder / "films.csv", index=False)
    problems.to_csv(task.folder / "problems.csv", index=False)


def read_lungs(folder: Path) -> tuple[list[str], np.ndarray]:
    """Film names and masks bool (N, side, side) of a finished lungs stage."""
    names = pd.read_csv(folder / "films.csv", dtype={"image": str})["image"].tolist()
    return names, np.load(folder / "masks.npy")
