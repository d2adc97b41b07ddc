"""Packs all shards of a few films, as the step Pack does with an executor."""

from pathlib import Path

import pandas as pd

from data.packing import (
    SquareReader,
    has_shard,
    keep_sound_shards,
    num_shards,
    pack_shard,
    read_square,
    write_index,
)


def pack(
    images: pd.DataFrame,
    root: Path,
    folder: Path,
    side: int,
    shard_size: int = 3,
    threads: int = 1,
    reader: SquareReader = read_square,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    keep_sound_shards(images, folder, side, shard_size)
    for shard in range(num_shards(len(images), shard_size)):
        if not has_shard(folder, shard):
            pack_shard(images, root, folder, shard, side, shard_size, threads, reader)
    write_index(images, root, folder, side, shard_size)
