"""predicted_lungs, given_lungs: lung masks of the test films."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from pipeline.step import Source, Step, Work
from pipeline.steps.films import IMAGE_READERS
from pipeline.steps.lung_network import NETWORK
from pipeline.steps.prediction import read_test_names

if TYPE_CHECKING:
    from data.packing import PackedFilms


@dataclass(frozen=True)
class PredictedLungs(Step):
    """Lung masks of the test fold by a network; ``pack`` is at the side that the network sees.

    ``side``: of the masks, the classifier's.
    """

    version: ClassVar = 3
    code: ClassVar = (
        *("models/lung_unet.py", "data/laterality.py", "data/lungs.py", "data/packing.py"),
    )
    network: Source
    index: Source
    pack: Source
    side: int
    threads: int
    batch: int = 16  # films in one forward pass

    def run(self, work: Work) -> None:
        from data.integrity import problem_table
        from data.packing import PackedFilms
        from models.lung_unet import load_lung_unet, predict_masks
        from pipeline.steps.loaded_model import start_torch
        from pipeline.steps.packed_films import film_batches

        device = start_torch(work.machine, self.threads)
        films = PackedFilms(work[self.pack])
        names = read_test_names(work[self.index], films)
        model = load_lung_unet(work[self.network] / NETWORK)
        masks: list[np.ndarray] = []
        for batch in film_batches(films, names, self.batch, device):
            masks += list(predict_masks(model, [batch], device))
            work.progress(len(masks), len(names))
        _write(work, films, names, masks, self.side, problem_table([]))


@dataclass(frozen=True)
class GivenLungs(Step):
    """Lung masks of the test fold that lie in ``folder`` of ``masks``, under the films' names."""

    version: ClassVar = 4
    code: ClassVar = (
        *("data/lungs.py", "data/laterality.py", "data/packing.py"),
        *IMAGE_READERS,
    )
    masks: Source
    folder: str
    index: Source
    pack: Source
    side: int

    def run(self, work: Work) -> None:
        from data.image_files import read_film
        from data.integrity import DataError, commonest, list_problems
        from data.laterality import check_sides, mask_side
        from data.lung_pairs import MASK_ENDING, SUFFIXES
        from data.lungs import squashed_mask
        from data.nih_files import find_films
        from data.packing import PackedFilms

        films = PackedFilms(work[self.pack])
        names = read_test_names(work[self.index], films)
        root = work[self.masks]
        files, passed_over = find_films(root, SUFFIXES, self.folder)
        paths = {
            Path(str(name)).stem.removesuffix(MASK_ENDING): path for name, path in files.items()
        }
        masks, kept, turns = [], [], []
        for done, name in enumerate(names, 1):
            if (path := paths.get(Path(name).stem)) is not None:
                grey, turned = read_film(root / path)
                masks.append(squashed_mask(grey, films.side))
                kept.append(name)
                turns.append(turned)
            work.progress(done, len(names))
        if not kept:
            why = f": {commonest(passed_over)}" if len(passed_over) else ""
            raise DataError(
                f"no test film has a lung mask of its name in {root / self.folder}{why}"
            )
        cues = [mask_side(film, mask) for film, mask in zip(films.load(kept), masks, strict=True)]
        check_sides(cues, f"the lung masks in {self.folder}")
        absent = pd.Series(sorted(set(names) - set(kept)), dtype=object)
        if len(absent):
            work.note(f"{len(absent):,} of {len(names):,} test films have no lung mask: left out")
        reasons = pd.Series(turns, dtype=object)
        turned_masks = list_problems(
            pd.Series(kept)[reasons != ""], self.folder, reasons[reasons != ""]
        )
        left_out = list_problems(absent, self.folder, "no lung mask: film left out")
        _write(work, films, kept, masks, self.side, pd.concat([left_out, turned_masks]))


def read_lungs(folder: Path) -> tuple[list[str], np.ndarray]:
    """Film names and masks bool (N, side, side) of a finished step."""
    names = pd.read_csv(folder / "films.csv", dtype={"image": str})["image"].tolist()
    return names, np.load(folder / "masks.npy")


def _write(
    work: Work,
    films: "PackedFilms",
    names: list[str],
    masks: Sequence[np.ndarray],
    side: int,
    problems: pd.DataFrame,
) -> None:
    """masks.npy, bool (N, side, side), and the films' names in its order.

    Raises DataError where the films look mirrored.
    """
    from data.laterality import check_sides, heart_side
    from data.lungs import MASK_LEVEL
    from data.packing import squash

    cues = [heart_side(film, mask) for film, mask in zip(films.load(names), masks, strict=True)]
    check_sides(cues, "the test films")
    squashed = [squash(mask.astype(np.uint8) * 255, side) > MASK_LEVEL for mask in masks]
    np.save(work.folder / "masks.npy", np.stack(squashed))
    pd.DataFrame({"image": names}).to_csv(work.folder / "films.csv", index=False)
    problems.to_csv(work.folder / "problems.csv", index=False)
