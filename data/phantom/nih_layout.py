"""Phantoms on disk exactly as the NIH publishes its films, so that one reader serves both.

`images/*.png`, `Data_Entry_2017_v2020.csv`, `BBox_List_2017.csv` (broken header, `Infiltrate`),
`train_val_list.txt`, `test_list.txt`; and, of our own, `marks/<stem>.png` (where letters, leads and
tubes lie on a film), and of test films `masks/<stem>_<finding>.png` (what a reader would outline),
`changes/<stem>_<finding>.png` (the film minus the film without that finding, modulo 256),
`lesions/<stem>_<finding>.png` (k where the k-th lesion of that finding changes the film, strongest
first, 0 elsewhere; one lesion too) and `planted/<stem>.png` (where the planted token lies, if it is
there).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data.config import PhantomConfig
from data.phantom.causal import lesion_map
from data.phantom.cohort import Case, cohort
from data.phantom.film import render_film
from data.phantom.several import strongest_outline
from data.workers import worker_pool

BOX_FRAME = 1024  # boxes are given in this frame whatever the PNG's side
DATA_ENTRY = "Data_Entry_2017_v2020.csv"
BOXES = "BBox_List_2017.csv"
DATA_ENTRY_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOXES_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
BOX_NAMES = {"Infiltration": "Infiltrate"}  # as the box list calls it
CHANGES, LESIONS, MARKS, MASKS = "changes", "lesions", "marks", "masks"
PLANTED = "planted"
CHUNK = 16  # films that a worker takes at a time


def render_nih(
    config: PhantomConfig,
    folder: Path,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render a phantom data set into `folder`; finished films that lie there are kept.

    The bytes depend on `config` alone, not on `workers`. Boxes, masks, changes and lesions are
    written for every finding of the test films. `progress(done, total)` is called in this process.
    A folder holds one config: start another in another folder.
    """
    cases = list(cohort(config))
    for name in ("images", CHANGES, LESIONS, MARKS, MASKS, PLANTED):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _write_lists(cases, folder)
    todo = [case for case in cases if not _is_finished(case, folder)]
    done = len(cases) - len(todo)
    if progress:
        progress(done, len(cases))
    chunks = [todo[k : k + CHUNK] for k in range(0, len(todo), CHUNK)]
    for count in _render_chunks(config, folder, chunks, workers):
        done += count
        if progress:
            progress(done, len(cases))
    rows = [row for case in cases if case.test for row in _box_rows(case, folder, config)]
    _publish(folder / BOXES, "\n".join([BOXES_HEADER, *rows, ""]).encode())


def mask_name(image: str, finding: str) -> str:
    """File name, under `masks/`, `changes/` and `lesions/`, of a finding on a test film."""
    return f"{Path(image).stem}_{finding}.png"


def box_of(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """x, y, w, h of the tightest box around a mask (side, side), in the 1024-px frame.

    Raises ValueError for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        raise ValueError("a finding without a visible pixel has no box")
    scale = BOX_FRAME / mask.shape[0]
    left, top = columns[0] * scale, rows[0] * scale
    return left, top, (columns[-1] + 1) * scale - left, (rows[-1] + 1) * scale - top


def _render_chunks(
    config: PhantomConfig, folder: Path, chunks: Sequence[list[Case]], workers: int
) -> Iterator[int]:
    """Yields the number of films of each chunk as it is finished."""
    if workers <= 1 or len(chunks) <= 1:
        for chunk in chunks:
            yield _render_cases(config, folder, chunk)
        return
    with worker_pool(workers) as pool:
        jobs = [pool.submit(_render_cases, config, folder, chunk) for chunk in chunks]
        for job in as_completed(jobs):
            yield job.result()


def _render_cases(config: PhantomConfig, folder: Path, cases: Sequence[Case]) -> int:
    cv2.setNumThreads(1)
    for case in cases:
        film = render_film(case.patient, case.visit, case.findings, config, with_changes=case.test)
        _publish(folder / MARKS / case.image, _mask_png(film.marks))
        if case.test:
            for finding, mask in film.masks.items():
                _publish(folder / MASKS / mask_name(case.image, finding), _mask_png(mask))
            for finding, change in film.changes.items():
                _publish(folder / CHANGES / mask_name(case.image, finding), _png(change))
            for finding, changes in film.lesion_changes.items():
                numbers = lesion_map(film.image, changes)
                _publish(folder / LESIONS / mask_name(case.image, finding), _png(numbers))
            if film.planted.any():
                _publish(folder / PLANTED / case.image, _mask_png(film.planted))
        # The film last: where it lies, its masks lie too.
        _publish(folder / "images" / case.image, _png(film.image))
    return len(cases)


def _is_finished(case: Case, folder: Path) -> bool:
    return (folder / "images" / case.image).exists()


def _box_rows(case: Case, folder: Path, config: PhantomConfig) -> list[str]:
    """A box for each finding: of several lesions, around the strongest, as a reader boxes one."""
    rows = []
    for finding in case.findings:
        path = folder / MASKS / mask_name(case.image, finding)
        grey = np.asarray(cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE))
        mask = strongest_outline(finding, case.patient, case.visit, config)
        if mask is None:
            mask = np.asarray(grey > 127)
        numbers = ",".join(repr(float(v)) for v in box_of(mask))
        rows.append(f"{case.image},{BOX_NAMES.get(finding, finding)},{numbers}")
    return rows


def _write_lists(cases: Sequence[Case], folder: Path) -> None:
    rows = [_data_entry(case) for case in cases]
    _publish(folder / DATA_ENTRY, "\n".join([DATA_ENTRY_HEADER, *rows, ""]).encode())
    for name, test in (("train_val_list.txt", False), ("test_list.txt", True)):
        names = [case.image for case in cases if case.test == test]
        _publish(folder / name, "\n".join(names).encode())


def _data_entry(case: Case) -> str:
    patient, visit = case.patient, case.visit
    labels = "|".join(case.labels) or "No Finding"
    spacing = 0.168
    pixels = round(visit.field / spacing)
    return (
        f"{case.image},{labels},{visit.number},{patient.number},{visit.age},{patient.sex},"
        f"{visit.view},{pixels},{pixels},{spacing},{spacing}"
    )


def _mask_png(mask: NDArray[np.bool_]) -> bytes:
    return _png(mask.astype(np.uint8) * 255)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    done, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise OSError("OpenCV could not encode a PNG")
    return encoded.tobytes()


def _publish(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
