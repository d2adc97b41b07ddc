"""The user's own films as inputs of the graph: known by content, wherever they lie."""

from collections.abc import Callable
from pathlib import Path

from data.integrity import commonest
from data.nih_files import find_films
from pipeline.config import ConfigError
from pipeline.graph import RawFolder
from pipeline.keys import DigestCache
from pipeline.progress import stage_progress


def raw_films(
    folder: str,
    key: str,
    suffixes: tuple[str, ...],
    advice: str,
    digests: DigestCache,
    below: tuple[str, ...] = ("",),
    shown: Callable[[str], str] = str,
) -> RawFolder:
    """Digests the tables in ``folder`` and the films below it: each is read once, until it changes.

    ``key`` names the setting that the folder comes from; ``below`` are the folders, relative to it,
    that films are looked for in; ``shown`` is what may be told of a file's path.

    Raises
    ------
    ConfigError
        Where the folder is absent or holds no film: with what was passed over there, and
        ``advice``, which says what to put there.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(f"{key}: there is no folder {root}")
    tables = [
        path
        for path in sorted(root.iterdir())
        if path.suffix in (".csv", ".txt") and path.is_file()  # to read a pipe would never end
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
    with stage_progress(f"digests of {key.removeprefix('paths.')}") as progress:
        return RawFolder.scan(root, files, digests, progress)


def nih_films(folder: str, digests: DigestCache) -> RawFolder:
    advice = (
        "unpack the official archives there, so that images/00000001_000.png and"
        " Data_Entry_2017_v2020.csv lie in it"
    )
    return raw_films(folder, "paths.nih", (".png",), advice, digests)


def brixia_films(folder: str, digests: DigestCache) -> RawFolder:
    from data.brixia import FILMS, shown_name

    advice = "put the data set's dicom_clean and metadata_global_v2.csv there"
    return raw_films(folder, "paths.brixia", (".dcm",), advice, digests, (FILMS,), shown_name)


def cohen_films(folder: str, digests: DigestCache) -> RawFolder:
    from data.cohen import SUFFIXES

    advice = "put public-annotations.csv and public-cohen-subset there"
    return raw_films(folder, "paths.cohen", SUFFIXES, advice, digests)


def lung_films(folder: str, digests: DigestCache, pairs: bool) -> RawFolder:
    from data.lung_pairs import FILMS, MASKS, SUFFIXES

    if pairs:
        advice = "put films into cxr/ and masks of the same names into masks/"
        return raw_films(folder, "paths.lungs", SUFFIXES, advice, digests, (FILMS, MASKS))
    advice = "put a mask for every test film into masks/, under the film's name"
    return raw_films(folder, "paths.lungs", SUFFIXES, advice, digests, (MASKS,))
