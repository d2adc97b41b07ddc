"""Pre-training films on disk: `images/*.png` and `labels.csv`, written and read."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from functools import partial
from pathlib import Path

import cv2
import pandas as pd

from data.cohort_index import FIRST_COLUMNS, CohortIndex
from data.config import ShapesConfig
from data.integrity import DataError, problem_table
from data.phantom.shapes import LABELS, ShapesCase, render_shapes_film, shapes_cases
from data.workers import worker_pool

IMAGES, TABLE = "images", "labels.csv"
CHUNK = 32  # films that a worker takes at a time

Row = tuple[object, ...]


def render_shapes(
    config: ShapesConfig,
    folder: Path,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render the pre-training films into `folder`: `images/*.png` (side, side) and `labels.csv`.

    The table has image, patient, fold (train or val, by patient) and a column of 0 and 1 for each
    label; it comes last, so that where it lies the set is whole. The bytes depend on `config`
    alone. `progress(done, total)` is called in this process.
    """
    cases = list(shapes_cases(config))
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    chunks = [cases[k : k + CHUNK] for k in range(0, len(cases), CHUNK)]
    rows: list[Row] = []
    if progress:
        progress(0, len(cases))
    for done in _render_chunks(config, folder, chunks, workers):
        rows += done
        if progress:
            progress(len(rows), len(cases))
    table = pd.DataFrame(sorted(rows), columns=["image", "patient", "fold", *LABELS])
    temporary = folder / f"{TABLE}.tmp"
    table.to_csv(temporary, index=False)
    os.replace(temporary, folder / TABLE)


def read_shapes(root: Path) -> CohortIndex:
    """Index of the films below `root`; DataError where they are not whole."""
    path = root / TABLE
    if not path.is_file():
        raise DataError(f"{path} is absent: render the pre-training films first")
    table = pd.read_csv(path, dtype={"image": str})
    table["path"] = IMAGES + "/" + table["image"]
    absent = [name for name in table["path"] if not (root / name).is_file()]
    if absent:
        raise DataError(f"{root / absent[0]} is absent: render the pre-training films again")
    images = table[[*FIRST_COLUMNS, *LABELS]].sort_values("image", ignore_index=True)
    return CohortIndex(images, None, problem_table([]), len(images), len(images))


def _render_chunks(
    config: ShapesConfig, folder: Path, chunks: list[list[ShapesCase]], workers: int
) -> Iterator[list[Row]]:
    """Yields the table's rows of each chunk as it is finished."""
    render = partial(_render_cases, config.side, folder)
    if workers <= 1 or len(chunks) <= 1:
        yield from map(render, chunks)
        return
    with worker_pool(workers) as pool:
        for job in as_completed([pool.submit(render, chunk) for chunk in chunks]):
            yield job.result()


def _render_cases(side: int, folder: Path, cases: list[ShapesCase]) -> list[Row]:
    cv2.setNumThreads(1)
    rows: list[Row] = []
    for case in cases:
        film = render_shapes_film(case, side)
        if not cv2.imwrite(str(folder / IMAGES / case.image), film.image):
            raise OSError(f"could not write {folder / IMAGES / case.image}")
        labels = film.labels.astype(int).tolist()
        rows.append((case.image, case.patient.number, case.fold, *labels))
    return rows
