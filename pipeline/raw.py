"""The user's own films as an input of the graph: known by content, wherever they lie."""

from pathlib import Path

from data.nih import find_films
from pipeline.config import ConfigError
from pipeline.graph import RawFolder
from pipeline.keys import DigestCache
from pipeline.progress import stage_progress


def nih_films(folder: Path, digests: DigestCache) -> RawFolder:
    """Digests the tables and films at ``paths.nih``: each is read once, until it changes.

    Raises
    ------
    ConfigError
        Where the folder is absent or holds no film.
    """
    if not folder.is_dir():
        raise ConfigError(f"paths.nih: there is no folder {folder}")
    tables = [path for path in sorted(folder.iterdir()) if path.suffix in (".csv", ".txt")]
    films, _ = find_films(folder)
    if films.empty:
        raise ConfigError(
            f"paths.nih: no PNG film below {folder}; unpack the official archives there, so that"
            " images/00000001_000.png and Data_Entry_2017_v2020.csv lie in it"
        )
    files = [*tables, *(folder / path for path in films)]
    with stage_progress("digests of raw files") as progress:
        return RawFolder.scan(folder, files, digests, progress)
