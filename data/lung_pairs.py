"""Films with lung masks, as Montgomery's and Shenzhen's are given out: ``cxr/`` and ``masks/``."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data.integrity import DataError, list_problems
from data.nih_files import find_films
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
        raise DataError(
            f"no film of {root / FILMS} ({len(films)}) has a mask of its name in {root / MASKS} "
            f"({len(masks)})"
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
