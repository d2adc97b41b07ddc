"""Phantoms on disk exactly as BrixIA's owners give out its films, so that one reader serves both.

``dicom_clean/<digits>.dcm`` and ``metadata_global_v2.csv``; and, of our own, the lungs that the
scores are about: ``lung_masks/<digits>.png``, and of part of the patients
``without/<digits>_<A-F>.dcm``: the film with that zone healthy, for each zone with a score.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from data.brixia import FILMS, TABLE
from data.brixia_score import ZONES
from data.config import BrixiaPhantomConfig, PhantomConfig
from data.phantom import projection
from data.phantom.brixia_film import ScoredFilm, render_scored_film
from data.phantom.cohort import Patient, Visit, draw_patient, draw_visits, stream
from data.phantom.frame import Map
from data.phantom.scored_difficulty import scores_of
from data.splits import split_by_patient
from data.workers import worker_pool

MASKS, WITHOUT = "lung_masks", "without"
HEADER = (
    "Filename;StudyDate;Modality;Columns;Rows;Manufacturer;PhotometricInterpretation;BrixiaScore;"
    "BrixiaScoreGlobal;ConsensusTestset;Subject;StudyId;Sex;AgeAtStudyDateFiveYear"
)
CUT = 0.12  # of the side, at most, that the collimator cuts from either end
SPARED = 0.02  # of the side, at least, that stays around the lungs
DEEPEST = 6.0  # attenuation that is stored as the greatest number
CHUNK = 16  # films that a worker takes at a time


@dataclass(frozen=True)
class ScoredCase:
    """One film to render, and how it is stored: as by one of two modalities."""

    patient: Patient
    visit: Visit
    scores: NDArray[np.uint8]
    name: str  # digits
    modality: str  # CR or DX
    bits: int
    photometric: str
    landscape: bool
    cut: float


def scored_cases(config: BrixiaPhantomConfig) -> Iterator[ScoredCase]:
    """Whole patients by number until there are as many films as asked for, or a few more.

    ValueError for an unknown version.
    """
    draw_scores = scores_of(config.version)
    jitter = PhantomConfig.exposure_jitter
    films = number = 0
    while films < config.num_films:
        number += 1
        patient = draw_patient(config.seed, number)
        for visit in draw_visits(patient, jitter):
            rng = stream(config.seed, number, visit.number, "storage")
            films += 1
            yield ScoredCase(
                patient,
                visit,
                draw_scores(patient, visit),
                name=str(rng.integers(10**16, 2**63)),
                modality="CR" if rng.random() < 0.6 else "DX",
                bits=int(rng.choice([12, 16])),
                photometric=str(rng.choice(["MONOCHROME1", "MONOCHROME2"])),
                landscape=bool(rng.random() < 0.75),
                cut=float(rng.uniform(0.03, CUT)),
            )


def render_brixia(
    config: BrixiaPhantomConfig,
    folder: Path,
    workers: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Render a phantom data set into `folder`; finished films that lie there are kept.

    The bytes depend on `config` alone, not on `workers`. `progress(done, total)` is called in this
    process. A folder holds one config: start another in another folder.
    """
    cases = list(scored_cases(config))
    twinned = _with_counterfactuals(cases, config.counterfactuals)
    for name in (FILMS, MASKS, WITHOUT):
        (folder / name).mkdir(parents=True, exist_ok=True)
    todo = [case for case in cases if not _film_path(folder, case).exists()]
    done = len(cases) - len(todo)
    if progress:
        progress(done, len(cases))
    chunks = [todo[k : k + CHUNK] for k in range(0, len(todo), CHUNK)]
    for count in _render_chunks(config, folder, chunks, twinned, workers):
        done += count
        if progress:
            progress(done, len(cases))
    rows = [_row(case, folder) for case in cases]
    _publish(folder / TABLE, ("\ufeff" + "\r\n".join([HEADER, *rows, ""])).encode())


def mask_path(image: str) -> str:
    """Path of a film's lung mask, relative to the root."""
    return f"{MASKS}/{Path(image).stem}.png"


def without_path(image: str, zone: int) -> str:
    """Path of a film's counterfactual with zone 0-5 healthy, relative to the root."""
    return f"{WITHOUT}/{Path(image).stem}_{ZONES[zone]}.dcm"


def _film_path(folder: Path, case: ScoredCase) -> Path:
    return folder / FILMS / f"{case.name}.dcm"


def _render_chunks(
    config: BrixiaPhantomConfig,
    folder: Path,
    chunks: list[list[ScoredCase]],
    twinned: frozenset[str],
    workers: int,
) -> Iterator[int]:
    """Yields the number of films of each chunk as it is finished."""
    render = partial(_render_cases, config, folder, twinned)
    if workers <= 1 or len(chunks) <= 1:
        for chunk in chunks:
            yield render(chunk)
        return
    with worker_pool(workers) as pool:
        jobs = [pool.submit(render, chunk) for chunk in chunks]
        for job in as_completed(jobs):
            yield job.result()


def _with_counterfactuals(cases: list[ScoredCase], share: float) -> frozenset[str]:
    """Names of the films that get counterfactuals: of this share, by patient.

    Patients are taken in the order in which the reader takes its test fold, with its default seed:
    a test fold of this share or less has counterfactuals of all its films.
    """
    patients = pd.Series([str(case.patient.number) for case in cases])
    taken = split_by_patient(patients, share, 0) if share < 1 else np.ones(len(cases), bool)
    return frozenset(case.name for case, one in zip(cases, taken, strict=True) if one)


def _render_cases(
    config: BrixiaPhantomConfig, folder: Path, twinned: frozenset[str], cases: list[ScoredCase]
) -> int:
    cv2.setNumThreads(1)
    technique = PhantomConfig(side=config.side, seed=config.seed)
    for case in cases:
        film = render_scored_film(
            case.patient,
            case.visit,
            case.scores,
            technique,
            with_counterfactuals=case.name in twinned,
        )
        rows, columns = collimated(film, case.landscape, case.cut)
        mask = film.lung[rows, columns].astype(np.uint8) * 255
        done, encoded = cv2.imencode(".png", mask)
        if not done:
            raise OSError("OpenCV could not encode a PNG")
        _publish(folder / MASKS / f"{case.name}.png", encoded.tobytes())
        # One window for a film and its counterfactuals, which differ in the zone alone.
        centre = window_centre(film.attenuation[rows, columns])
        # The film last: where it lies, its mask and counterfactuals lie too.
        files = {
            folder / without_path(case.name, zone): attenuation
            for zone, attenuation in film.without.items()
        }
        for path, attenuation in {**files, _film_path(folder, case): film.attenuation}.items():
            temporary = path.with_name(path.name + ".tmp")
            dicom_of(attenuation[rows, columns], case, technique, centre).save_as(
                temporary, enforce_file_format=True
            )
            os.replace(temporary, path)
    return len(cases)


def collimated(film: ScoredFilm, landscape: bool, cut: float) -> tuple[slice, slice]:
    """Rows and columns that stay of a square film, with all of its lungs."""
    side = len(film.lung)
    seen = np.flatnonzero(film.lung.any(axis=1 if landscape else 0))
    first = min(round(cut * side), max(seen[0] - round(SPARED * side), 0))
    last = max(side - round(cut * side), min(seen[-1] + 1 + round(SPARED * side), side))
    kept, whole = slice(first, last), slice(0, side)
    return (kept, whole) if landscape else (whole, kept)


def window_centre(attenuation: Map) -> float:
    """Attenuation shown as mid-grey: the median of the middle of the film, as devices choose it."""
    height, width = attenuation.shape
    middle = attenuation[height // 4 : -height // 4, width // 4 : -width // 4]
    return float(np.median(middle))


def dicom_of(
    attenuation: Map, case: ScoredCase, technique: PhantomConfig, centre: float
) -> Dataset:
    """A film (H, W) as its detector would store it, with a window as wide as the NIH phantoms'.

    `centre`: attenuation shown as mid-grey, most often the film's own `window_centre`.
    The stored numbers are linear in the attenuation, falling with it for MONOCHROME1. CR gives the
    window's two ends, DX the S-shaped curve itself.
    """
    full = 2**case.bits - 1
    step = np.float32(full / DEEPEST)
    stored = np.rint((attenuation * step).clip(0, full)).astype(np.uint16)
    middle = centre * step
    if case.photometric == "MONOCHROME1":
        stored, middle = full - stored, full - middle
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID = (
        ComputedRadiographyImageStorage
        if case.modality == "CR"
        else DigitalXRayImageStorageForPresentation
    )
    film.SOPInstanceUID = f"2.25.{case.name}"
    film.file_meta.MediaStorageSOPClassUID = film.SOPClassUID
    film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID
    film.Modality, film.ViewPosition = case.modality, case.visit.view
    film.Rows, film.Columns = stored.shape
    film.SamplesPerPixel, film.PixelRepresentation = 1, 0
    film.PhotometricInterpretation = case.photometric
    film.BitsAllocated, film.BitsStored, film.HighBit = 16, case.bits, case.bits - 1
    film.ImagerPixelSpacing = [f"{case.visit.field / technique.side:.5f}"] * 2
    film.PatientOrientation = ["L", "F"]
    film.BurnedInAnnotation = "NO"
    # Both have the same slope at the centre.
    film.WindowCenter = f"{middle:.2f}"
    film.WindowWidth = f"{4 * projection.WINDOW_WIDTH * step:.2f}"
    film.VOILUTFunction = "LINEAR" if case.modality == "CR" else "SIGMOID"
    film.PixelData = stored.astype("<u2").tobytes()
    film["PixelData"].VR = "OW"
    return film


def _row(case: ScoredCase, folder: Path) -> str:
    with Image.open(folder / MASKS / f"{case.name}.png") as mask:
        width, height = mask.size
    digits = "".join(map(str, case.scores))
    return (
        f"{case.name}.dcm;202004{case.visit.number + 1:02d};{case.modality};{width};{height};"
        f"Phantom;{case.photometric};{digits};{case.scores.sum()};0;{case.patient.number};"
        f"{case.visit.number};{case.patient.sex};{case.visit.age // 5 * 5}"
    )


def _publish(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
