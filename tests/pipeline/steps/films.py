"""A few packed films with labels, as the steps of an index and a packing leave them."""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.packing import pack

LABELS = ("Mass", "Nodule")
SIDE = 32
FOLDS = ("train", "train", "train", "train", "val", "val", "test", "test", "test")


def write_films(folder: Path) -> tuple[Path, Path]:
    """The folders ``index`` and ``pack`` of nine films of noise, the last of them unreadable."""
    index, packed = folder / "index", folder / "pack"
    index.mkdir(parents=True)
    images = pd.DataFrame({"image": [f"{number}.npy" for number in range(len(FOLDS))]})
    images["path"] = images["image"]
    images["patient"] = range(len(FOLDS))
    images["fold"] = FOLDS
    images["Mass"] = [0, 1] * 4 + [0]
    images["Nodule"] = [1, 0, 0, 1] * 2 + [1]
    images["score"] = range(len(FOLDS))
    images.to_csv(index / "images.csv", index=False)
    pack(images, folder, packed, SIDE, reader=_noise)
    return index, packed


def _noise(path: Path, side: int) -> tuple[np.ndarray, str]:
    number = int(path.stem)
    if number == len(FOLDS) - 1:
        from data.integrity import DataError

        raise DataError("no film")
    return np.random.default_rng(number).integers(0, 256, (side, side), dtype=np.uint8), ""
