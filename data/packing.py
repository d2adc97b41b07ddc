"""Films decoded once, at the network's size, into memory-mapped shards.

As the published code: for NIH, Resize(side) of the shorter edge (bilinear, antialiased) and
CenterCrop(side); for scored films, the whole film squashed to a square.
The films are grey, so one channel is kept; the network's normalisation makes three of it.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from PIL import Image

from data.grey_range import grey_doubt
from data.image_files import MAX_PIXELS, read_film
from data.integrity import (
    DataError,
    commonest,
    list_problems,
    read_table,
    reason_alone,
    resolve_film,
)

INDEX_FILE = "films.csv"
PROBLEMS_FILE = "problems.csv"

# Film at a path, as uint8 (side, side), and what one should know of it ("" for nothing); raises
# DataError for what cannot be read.
SquareReader = Callable[[Path, int], tuple[np.ndarray, str]]


def read_square(path: Path, side: int) -> tuple[np.ndarray, str]:
    """How NIH films are packed: grey, shorter edge scaled to ``side``, middle square."""
    film, doubts = read_with_doubts(path)
    return resize_and_crop(film, side), doubts


def read_with_doubts(path: Path) -> tuple[np.ndarray, str]:
    """The film of ``integrity.read_film``; how it was turned and what is doubtful about its greys,
    "" for nothing."""
    film, turned = read_film(path)
    return film, "; ".join(filter(None, (turned, grey_doubt(film))))


def num_shards(films: int, shard_size: int) -> int:
    return -(-films // shard_size)


def has_shard(folder: Path, shard: int) -> bool:
    """Whether its films were packed, soundly or not: see ``keep_sound_shards``."""
    return _shard_path(folder, shard, "csv").exists()


def keep_sound_shards(images: pd.DataFrame, folder: Path, side: int, shard_size: int) -> None:
    """Takes back the shards that are damaged, as after a power cut, or hold other films.

    Raises DataError where ``images`` cannot be packed like this at all.
    """
    again = images["image"][images["image"].duplicated()]
    if len(again):
        raise DataError(f"film {again.iloc[0]!r} would be packed twice: names must be unique")
    for shard in range(num_shards(len(images), shard_size)):
        if _read_shard(folder, shard, _films_of(images, shard, shard_size), side) is None:
            _shard_path(folder, shard, "csv").unlink(missing_ok=True)


def pack_shard(
    images: pd.DataFrame,
    root: Path,
    folder: Path,
    shard: int,
    side: int,
    shard_size: int,
    threads: int,
    reader: SquareReader = read_square,
) -> None:
    """Decodes the films ``images`` (columns image, path relative to ``root``) of one shard.

    Shard k holds the rows k * shard_size ... of ``images``: ``films_0000k.npy``, uint8 (n, side,
    side), and ``films_0000k.csv``, written last, with the row of each film or why it cannot be
    read, or what one should know of it. The files do not depend on ``threads``. Raises OSError if
    the disk fails or is full.
    """

    def decode(name: str) -> tuple[np.ndarray | None, str]:
        path = root
        try:
            path = resolve_film(root, name)
            return reader(path, side)
        except DataError as error:
            return None, reason_alone(error, path)  # problems.csv is the same for any root

    films = _films_of(images, shard, shard_size)
    rows, reasons = [], []
    num_rows = 0
    path = _shard_path(folder, shard, "npy")
    pool = ThreadPoolExecutor(threads)
    try:
        # Plain writes: when the disk is full, a writable memory map dies of SIGBUS, not OSError.
        with _published(path) as temporary, temporary.open("wb") as file:
            _write_header(file, (len(films), side, side))
            start = file.tell()
            for film, reason in pool.map(decode, films["path"]):
                reasons.append(reason)
                rows.append(-1 if film is None else num_rows)
                if film is not None:
                    file.write(film.tobytes())
                    num_rows += 1
            file.seek(0)
            _write_header(file, (num_rows, side, side))
            if file.tell() != start:
                raise RuntimeError(f"the header of {path} changed its length")
            file.flush()
            os.fsync(file.fileno())
    finally:
        pool.shutdown(cancel_futures=True)
    table = pd.DataFrame({"image": films["image"], "row": rows, "reason": reasons})
    # The csv makes the shard count as packed, so it follows the films.
    _write_csv(table, _shard_path(folder, shard, "csv"))


def write_index(images: pd.DataFrame, root: Path, folder: Path, side: int, shard_size: int) -> None:
    """``films.csv`` (image, shard, row) and ``problems.csv`` (file, field, reason) of all shards.

    Raises DataError where one is not packed, or no film can be read.
    """
    shards = []
    for shard in range(num_shards(len(images), shard_size)):
        table = _read_shard(folder, shard, _films_of(images, shard, shard_size), side)
        if table is None:
            raise DataError(f"{_shard_path(folder, shard, 'csv')} is absent or damaged: pack again")
        shards.append(table.assign(shard=shard))
    if not shards:
        raise DataError(f"no films of {root} to pack")
    index = pd.concat(shards, ignore_index=True)
    known = index[index["reason"] != ""]
    problems = list_problems(known["image"], "film", known["reason"])
    if (index["row"] < 0).all():
        raise DataError(
            f"none of the {len(index)} films below {root} can be read: {commonest(problems)}"
        )
    _write_csv(problems, folder / PROBLEMS_FILE)
    _write_csv(index.loc[index["row"] >= 0, ["image", "shard", "row"]], folder / INDEX_FILE)


def resize_and_crop(film: np.ndarray, side: int) -> np.ndarray:
    """The middle square of a film (H, W) uint8 whose shorter edge is scaled to ``side``.

    Equal to torchvision's Resize(side) and CenterCrop(side) on the PIL image. Raises DataError for
    films so long that the scaled one is over 64 megapixels.
    """
    height, width = film.shape
    shorter = min(height, width)
    new_height, new_width = int(side * height / shorter), int(side * width / shorter)
    if new_height * new_width > MAX_PIXELS:
        raise DataError(f"too long and narrow: {width} x {height} pixels")
    image = Image.fromarray(film).resize((new_width, new_height), Image.Resampling.BILINEAR)
    top, left = round((new_height - side) / 2), round((new_width - side) / 2)
    return np.asarray(image)[top : top + side, left : left + side]


def resize_mask(mask: np.ndarray, side: int) -> np.ndarray:
    """The same of a mask, bool (H, W): a pixel belongs to it if half of its area or more does."""
    return resize_and_crop(mask.astype(np.uint8) * 255, side) >= 128


def squash(film: np.ndarray, side: int) -> np.ndarray:
    """The whole film (H, W) uint8 scaled to a square, losing its proportions; as published."""
    image = Image.fromarray(film).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


class PackedFilms:
    """Films packed in ``folder``, by name. Memory-mapped when first read, so it is cheap to send
    to worker processes.

    table: DataFrame image, shard, row; side: pixels of an edge. Raises DataError if ``folder``
    holds no finished packing or damaged shards.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        table = read_table(folder / INDEX_FILE, ("image", "shard", "row"))
        self.table = _whole_numbers(table, ["shard", "row"], folder / INDEX_FILE)
        self._names = pd.Index(self.table["image"])
        if not self._names.is_unique:
            raise DataError(f"{folder / INDEX_FILE} names a film twice: pack again")
        self._shards: dict[int, np.ndarray] = {}
        self.side: int = self._shard(self.table["shard"].iloc[0]).shape[1]

    def __reduce__(self) -> tuple[type["PackedFilms"], tuple[Path]]:
        return PackedFilms, (self.folder,)

    def __len__(self) -> int:
        return len(self.table)

    def load(self, names: Sequence[str]) -> np.ndarray:
        """Films uint8 (n, side, side) of n names, in any order and with repeats.

        Raises DataError for a name that is not packed.
        """
        positions = self._names.get_indexer(pd.Index(names, dtype=self._names.dtype))
        if (positions < 0).any():
            name = names[int(np.argmin(positions))]
            raise DataError(f"film {name!r} is not in {self.folder}: see {PROBLEMS_FILE} there")
        shards = self.table["shard"].to_numpy()[positions]
        rows = self.table["row"].to_numpy()[positions]
        films = np.empty((len(positions), self.side, self.side), dtype=np.uint8)
        for shard in np.unique(shards):
            in_shard = shards == shard
            packed = self._shard(shard)
            if packed.shape[1] != self.side or rows[in_shard].max() >= len(packed):
                raise DataError(f"{self.folder}: {INDEX_FILE} and its shards differ: pack again")
            films[in_shard] = packed[rows[in_shard]]
        return films

    def _shard(self, shard: int) -> np.ndarray:
        if shard not in self._shards:
            self._shards[shard] = _open_shard(_shard_path(self.folder, shard, "npy"))
        return self._shards[shard]


def _shard_path(folder: Path, shard: int, suffix: str) -> Path:
    return folder / f"films_{shard:05d}.{suffix}"


def _open_shard(path: Path) -> np.ndarray:
    try:
        films = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy lets tokenize.TokenError, SyntaxError, EOFError ... out
        raise DataError(f"{path} is absent or damaged ({error}): pack again") from error
    if films.ndim != 3 or films.shape[1] != films.shape[2] or films.dtype != np.uint8:
        raise DataError(f"{path} holds no square films of uint8: pack again")
    return films


def _whole_numbers(table: pd.DataFrame, columns: list[str], path: Path) -> pd.DataFrame:
    """``table`` with whole numbers from 0 to 10^9 in ``columns``."""
    for column in columns:
        if not table[column].str.fullmatch(r"[0-9]{1,9}").all():
            raise DataError(f"{path}: {column} is not a whole number everywhere: pack again")
    return table.astype(dict.fromkeys(columns, int)).reset_index(drop=True)


def _films_of(images: pd.DataFrame, shard: int, shard_size: int) -> pd.DataFrame:
    return images.iloc[shard * shard_size : (shard + 1) * shard_size]


def _read_shard(folder: Path, shard: int, films: pd.DataFrame, side: int) -> pd.DataFrame | None:
    """Table image, row, reason of a shard packed before, if it holds these films at this side."""
    path = _shard_path(folder, shard, "csv")
    if not path.exists():
        return None
    try:
        table = read_table(path, ("image", "row", "reason")).astype({"row": int})
        num_rows = int((table["row"] >= 0).sum())
        if num_rows and _open_shard(path.with_suffix(".npy")).shape != (num_rows, side, side):
            return None
    except (ValueError, OverflowError):  # damaged, as after a power cut: pack it again
        return None
    return table if np.array_equal(table["image"], films["image"]) else None


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """numpy's header, which leaves room so that the first length can be written anew in place."""
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with _published(path) as temporary:
        table.to_csv(temporary, index=False)


@contextmanager
def _published(path: Path) -> Iterator[Path]:
    """A path to write beside ``path``, which replaces it at the end and is removed on failure."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
