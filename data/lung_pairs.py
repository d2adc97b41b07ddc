"""Films with lung masks, as Montgomery's and Shenzhen's are given out: ``cxr/`` and ``masks/``."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.grey_range import grey_doubt
from data.image_files import read_film
from data.integrity import DataError, commonest, list_problems, reason_alone, resolve_film
from data.lungs import Mask, squashed_mask
from data.nih_files import find_films
from data.packing import squash
from data.splits import split_by_patient

FILMS, MASKS = "cxr", "masks"
SUFFIXES = (".png", ".jpg", ".jpeg")
MASK_ENDING = "_mask"  # as Shenzhen's masks are named


@dataclass(frozen=True)
class LungPairs:
    """images: image (the film's stem), path and mask_path (relative to the root), fold ("train" |
    "test"), in the order of names; problems: file, field, reason of films and masks without the
    other."""

    images: pd.DataFrame
    problems: pd.DataFrame


def read_lung_pairs(root: Path, test_fraction: float, seed: int) -> LungPairs:
    """Pairs of one name below ``root``: ``cxr/A.png`` with ``masks/A.png`` or ``A_mask.png``.

    Both sets hold one film of a patient, so the folds are drawn by film. Raises DataError where
    there is no such folder or no pair.
    """
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: set paths.lungs to the lung masks")
    films, film_problems = find_films(root, SUFFIXES, FILMS)
    masks, mask_problems = find_films(root, SUFFIXES, MASKS)
    film_of = {Path(path).stem: path for path in films}
    mask_of = {Path(path).stem.removesuffix(MASK_ENDING): path for path in masks}
    names = sorted(film_of.keys() & mask_of.keys())
    if not names:
        listed = pd.concat([film_problems, mask_problems])
        why = f": {commonest(listed)}" if len(listed) else ""
        raise DataError(
            f"no film of {root / FILMS} ({len(films)}) has a mask of its name in {root / MASKS} "
            f"({len(masks)}){why}"
        )
    images = pd.DataFrame({"image": names}, dtype=str)
    images["path"] = [film_of[name] for name in names]
    images["mask_path"] = [mask_of[name] for name in names]
    in_test = split_by_patient(images["image"], test_fraction, seed)
    images["fold"] = np.where(in_test, "test", "train")
    problems = [film_problems, mask_problems]
    for one, other, field in ((film_of, mask_of, MASKS), (mask_of, film_of, FILMS)):
        alone = pd.Series([one[name] for name in sorted(one.keys() - other.keys())], dtype=object)
        problems.append(list_problems(alone, field, "nothing of this name there: skipped"))
    return LungPairs(images, pd.concat(problems, ignore_index=True).astype(str))


def read_lung_pair(
    root: Path, path: str, mask_path: str, side: int
) -> tuple[NDArray[np.uint8], Mask, str]:
    """A film uint8 (side, side), its mask bool (side, side), and what one should know of them: how
    they were turned, and that the film shows nothing ("" for none of it).

    Each is turned as its own EXIF says; a mask without any belongs to the film as it is shown.
    Raises DataError, saying which of the two it is and not its path, for what cannot be read, and
    for a mask that lies across its turned film.
    """
    pair, turns = [], []
    for what, name in (("film", path), ("mask", mask_path)):
        file = root
        try:
            file = resolve_film(root, name)
            image, turned = read_film(file)
        except DataError as error:
            raise DataError(f"{what}: {reason_alone(error, file)}") from error
        pair.append(image)
        turns += [f"{what}: {turned}"] if turned else []
    film, mask = pair
    said = [*turns, *([f"film: {doubt}"] if (doubt := grey_doubt(film)) else [])]
    across = np.subtract(*film.shape) * np.subtract(*mask.shape) < 0
    if turns and across:
        raise DataError(f"{'; '.join(turns)}: one lies across the other: save both upright")
    return squash(film, side), squashed_mask(mask, side), "; ".join(said)
