"""The user's own films as inputs of steps, identified by content."""

import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from data.integrity import commonest, is_linked_folder
from data.nih_files import find_films
from pipeline.config import ConfigError
from pipeline.keys import DigestCache
from pipeline.progress import progress_bar
from pipeline.step import UserFiles


def raw_films(
    folder: str,
    key: str,
    suffixes: tuple[str, ...],
    advice: str,
    digests: DigestCache,
    below: tuple[str, ...] = ("",),
    shown: Callable[[str], str] = str,
) -> UserFiles:
    """Digests the tables in ``folder`` and the films below it; unchanged files are not read again.

    ``key`` names the setting that the folder comes from; ``below``: folders in it that are
    searched for films; ``shown``: the part of a file's path that a message may show.

    Raises ConfigError where the folder is absent or holds no film. It says which files were
    skipped, and gives ``advice``.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(f"{key}: there is no folder {root}")
    tables = [
        path
        for path in sorted(root.iterdir())
        if path.suffix in (".csv", ".json", ".txt")
        and path.is_file()  # to read a pipe would never end
    ]
    files = tables
    for part in below:
        films, problems = find_films(root, suffixes, part)
        if films.empty:
            problems["file"] = problems["file"].map(shown)
            why = f" ({commonest(problems)})" if len(problems) else ""
            wanted = " or ".join(suffixes)
            raise ConfigError(f"{key}: no {wanted} film below {root / part}{why}; {advice}")
        files += [root / path for path in films]
    with progress_bar(f"digests of {key.removeprefix('paths.')}") as progress:
        return UserFiles.scan(root, files, digests, progress)


def nih_films(folder: str, digests: DigestCache) -> UserFiles:
    advice = (
        "unpack the official archives there, so that images/00000001_000.png and"
        " Data_Entry_2017_v2020.csv lie in it"
    )
    return raw_films(folder, "paths.nih", (".png",), advice, digests)


def own_films(folder: str, digests: DigestCache) -> UserFiles:
    """Every file below the folder, hidden ones apart, for only its reader knows which it reads.

    Raises ConfigError where the folder is absent or holds no file.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(f"paths.films: there is no folder {root}")
    # As films are resolved, by ``data.integrity.resolve_film``.
    linked = [path for path in sorted(root.iterdir()) if is_linked_folder(root, path.name)]
    files = []
    for below, folders, names in chain(*map(os.walk, (root, *linked))):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(below, name) for name in names if not name.startswith(".")]
        files += [path for path in paths if path.is_file()]  # to read a pipe would never end
    if not files:
        raise ConfigError(f"paths.films: there is no file below {root}")
    with progress_bar("digests of films") as progress:
        return UserFiles.scan(root, files, digests, progress)


def brixia_films(folder: str, digests: DigestCache) -> UserFiles:
    from data.brixia import FILMS, shown_name

    advice = "put the data set's dicom_clean and metadata_global_v2.csv there"
    return raw_films(folder, "paths.brixia", (".dcm",), advice, digests, (FILMS,), shown_name)


def cohen_films(folder: str, digests: DigestCache) -> UserFiles:
    from data.cohen import SUFFIXES

    advice = "put public-annotations.csv and public-cohen-subset there"
    return raw_films(folder, "paths.cohen", SUFFIXES, advice, digests)


def chestxdet_films(folder: str, digests: DigestCache) -> UserFiles:
    from data.chestxdet import ADVICE

    return raw_films(folder, "paths.chestxdet", (".png",), ADVICE, digests)


def lung_films(folder: str, digests: DigestCache, pairs: bool) -> UserFiles:
    from data.lung_pairs import FILMS, MASKS, SUFFIXES

    if pairs:
        advice = "put films into cxr/ and masks of the same names into masks/"
        return raw_films(folder, "paths.lungs", SUFFIXES, advice, digests, (FILMS, MASKS))
    advice = "put a mask for every test film into masks/, under the film's name"
    return raw_films(folder, "paths.lungs", SUFFIXES, advice, digests, (MASKS,))
