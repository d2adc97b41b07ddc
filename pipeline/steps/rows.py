"""What steps measured of each sample, as they left it, and as rows of one number each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.shards import SHARDS, read_shard_tables
from pipeline.steps.samples import NAMES

ROWS = ["task", "table", "method", "metric", "place", *NAMES, "value"]
"""The columns of everything measured per sample. ``table``: where its mean stands; ``place``: of
the mask that a map was compared with, or the baseline or number of pixels of a perturbation."""
_FILE = "rows.csv"
_PLACES = {"baseline": "place", "n": "place", "truth": "place"}


def measured(folders: Mapping[str, Path]) -> pd.DataFrame:
    """The per-sample rows of one metric's finished steps, by method."""
    return _by_method({method: _samples(folder) for method, folder in folders.items()})


def diagnostics(folders: Mapping[str, Path], samples: pd.DataFrame) -> pd.DataFrame:
    """What each method says of itself while it makes its maps of ``samples``, as ``measured``."""

    def read(folder: Path) -> pd.DataFrame:
        frame = samples[NAMES].merge(read_shard_tables(folder, "diagnostics.csv"))
        return frame.melt(id_vars=NAMES, var_name="metric")

    return _by_method({method: read(folder) for method, folder in folders.items()})


def long_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each number in ``frame``, with the columns of ``ROWS`` that it has."""
    frame = frame.rename(columns=_PLACES)
    if "value" in frame:
        return frame
    names = [name for name in ("method", "place", *NAMES) if name in frame]
    return frame.drop(columns="fraction", errors="ignore").melt(id_vars=names, var_name="metric")


def write_rows(parts: Sequence[pd.DataFrame], folder: Path) -> None:
    """Writes rows to where ``read_rows`` finds them."""
    from evaluation.paper_tables import write_csv

    joined = pd.concat(parts) if parts else pd.DataFrame()
    write_csv(joined.reindex(columns=ROWS), folder / _FILE)


def read_rows(folder: Path) -> pd.DataFrame:
    """All rows (``ROWS``) of a run, from the folder of its finished tables."""
    return pd.read_csv(folder / _FILE, dtype={"image": str, "place": str, "value": float})


def _by_method(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    for method, frame in frames.items():
        frame.insert(0, "method", method)
    return pd.concat(frames.values(), ignore_index=True) if frames else pd.DataFrame()


def _samples(folder: Path) -> pd.DataFrame:
    """Of a step that measured its samples shard by shard, all at once, or both."""
    shards = [read_shard_tables(folder, "samples.csv")] if (folder / SHARDS).exists() else []
    whole = [pd.read_csv(path, dtype={"image": str}) for path in sorted(folder.glob("*.csv"))]
    return pd.concat([*shards, *whole], ignore_index=True)
