"""Phantoms with zone scores in BrixIA's layout: as stored, as read back, and as drawn."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest

from data.brixia import read_brixia
from data.brixia_score import ZONES
from data.cohort_index import CohortIndex
from data.config import BrixiaConfig, BrixiaPhantomConfig, DicomScaling, PhantomConfig
from data.dicom import read_dicom
from data.greyscale import grey_of_stored
from data.laterality import check_sides, heart_side, mask_side
from data.lungs import six_zones, split_lungs
from data.phantom import projection
from data.phantom.brixia_film import render_scored_film
from data.phantom.brixia_layout import dicom_of, render_brixia, scored_cases, window_centre

CONFIG = BrixiaPhantomConfig(num_films=32, side=96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("brixia")
    seen: list[tuple[int, int]] = []
    render_brixia(CONFIG, path, 1, lambda done, total: seen.append((done, total)))
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1] == len(list((path / "dicom_clean").iterdir())) >= 32
    return path


@pytest.fixture(scope="module")
def index(folder: Path) -> CohortIndex:
    return read_brixia(folder, BrixiaConfig(val_fraction=0.2, test_fraction=0.2))


def lung_of(folder: Path, image: str) -> np.ndarray:
    path = folder / "lung_masks" / image.replace(".dcm", ".png")
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 127


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_reader_of_real_files_reads_them_without_a_problem(index: CohortIndex) -> None:
    assert index.problems.empty
    assert index.expected == index.found == len(index.images)
    assert set(index.images["fold"]) == {"train", "val", "test"}


def test_the_scores_read_are_those_drawn(index: CohortIndex) -> None:
    drawn = {f"{case.name}.dcm": case.scores.tolist() for case in scored_cases(CONFIG)}
    read = index.images.set_index("image")[list(ZONES)].T.to_dict("list")
    assert read == drawn


def test_the_table_has_the_exact_form(folder: Path) -> None:
    content = (folder / "metadata_global_v2.csv").read_bytes().decode()
    assert content.startswith(
        "\ufeffFilename;StudyDate;Modality;Columns;Rows;Manufacturer;PhotometricInterpretation;"
        "BrixiaScore;BrixiaScoreGlobal;ConsensusTestset;Subject;StudyId;Sex;"
        "AgeAtStudyDateFiveYear\r\n"
    )
    table = pd.read_csv(folder / "metadata_global_v2.csv", sep=";", dtype=str)
    assert table["BrixiaScore"].str.fullmatch("[0-3]{6}").all()
    assert table["Filename"].str.fullmatch(r"\d{16,20}\.dcm").all()
    for row in table.to_dict("records"):
        header = pydicom.dcmread(folder / "dicom_clean" / row["Filename"], stop_before_pixels=True)
        assert (str(header.Rows), str(header.Columns)) == (row["Rows"], row["Columns"])
        assert header.Modality == row["Modality"]
        assert header.PhotometricInterpretation == row["PhotometricInterpretation"]


def test_every_kind_of_storage_occurs(folder: Path) -> None:
    headers = [
        pydicom.dcmread(path, stop_before_pixels=True)
        for path in (folder / "dicom_clean").iterdir()
    ]
    kinds = {(h.Modality, h.BitsStored, h.PhotometricInterpretation) for h in headers}
    assert kinds == {
        (modality, bits, f"MONOCHROME{k}")
        for modality in ("CR", "DX") for bits in (12, 16) for k in (1, 2)
    }  # fmt: skip
    assert {h.Rows < h.Columns for h in headers} == {True, False}
    assert all(h.Rows != h.Columns for h in headers)


def test_a_film_is_shown_as_it_was_rendered_however_it_is_stored() -> None:
    case = next(scored_cases(CONFIG))
    technique = PhantomConfig(side=96, seed=CONFIG.seed)
    film = render_scored_film(case.patient, case.visit, case.scores, technique)
    shift = projection.WINDOW_CENTRE - window_centre(film.attenuation)
    shown = projection.window(np.exp(-film.attenuation - np.float32(shift))).astype(int)
    for bits in (12, 16):
        for photometric in ("MONOCHROME1", "MONOCHROME2"):
            stored = replace(case, modality="DX", bits=bits, photometric=photometric)
            ds = dicom_of(film.attenuation, stored, technique, window_centre(film.attenuation))
            grey = grey_of_stored(ds)[ds.pixel_array]
            assert np.abs(grey.astype(int) - shown).max() <= 1


def test_every_ill_zone_of_every_test_film_has_its_counterfactual(
    folder: Path, index: CohortIndex
) -> None:
    tested = index.images[index.images["fold"] == "test"]
    wanted = {
        f"{Path(row['image']).stem}_{zone}.dcm"
        for row in tested.to_dict("records")
        for zone in ZONES
        if row[zone]
    }
    present = {path.name for path in (folder / "without").iterdir()}
    assert wanted
    assert wanted <= present
    # Of whole films, and not of all.
    films = {name.split("_")[0] for name in present}
    for case in scored_cases(CONFIG):
        ill = {f"{case.name}_{ZONES[zone]}.dcm" for zone in np.flatnonzero(case.scores)}
        assert ill <= present if case.name in films else not ill & present
    assert len(films) < 0.5 * len(index.images)


def test_a_counterfactual_differs_from_its_film_in_one_lung_and_in_no_header(
    folder: Path, index: CohortIndex
) -> None:
    for path in sorted((folder / "without").iterdir())[:12]:
        name, zone = path.stem.split("_")
        headers = [
            pydicom.dcmread(each, stop_before_pixels=True)
            for each in (path, folder / "dicom_clean" / f"{name}.dcm")
        ]
        assert headers[0] == headers[1]
        film = read_dicom(folder / "dicom_clean" / f"{name}.dcm")[0].astype(int)
        change = film - read_dicom(path)[0]
        lungs = split_lungs(lung_of(folder, f"{name}.dcm"))
        zones, number = six_zones(lungs).masks, ZONES.index(zone)
        here = [float(np.abs(change)[mask].mean()) for mask in zones]
        assert int(np.argmax(here)) == number
        other_lung = slice(3, 6) if number < 3 else slice(0, 3)
        # Beyond the middle of the film the zone's opacity fades, and there is no other difference.
        assert max(here[other_lung]) < 0.1 * here[number]
        assert (change == 0).mean() > 0.3
        assert change[zones[number]].mean() > 1


def test_the_share_of_films_with_counterfactuals_can_be_all_or_none(tmp_path: Path) -> None:
    for share in (0.0, 1.0):
        config = replace(CONFIG, num_films=3, side=64, counterfactuals=share)
        render_brixia(config, tmp_path / str(share), 1)
        ill = sum(np.count_nonzero(case.scores) for case in scored_cases(config))
        assert len(list((tmp_path / str(share) / "without").iterdir())) == share * ill


def test_films_are_neither_black_nor_white_by_either_scaling(
    folder: Path, index: CohortIndex
) -> None:
    for image, path in zip(index.images["image"][:8], index.images["path"][:8], strict=True):
        lung = lung_of(folder, image)
        for scaling in DicomScaling:
            grey, _ = read_dicom(folder / path, scaling)
            assert grey.shape == lung.shape
            assert grey[lung].std() > 5
            assert 15 < grey[lung].mean() < 240
            # Lungs are darker than what lies around them.
            ring = cv2.dilate(lung.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool) & ~lung
            assert grey[lung].mean() < grey[ring].mean()


def test_masks_hold_two_lungs_and_lie_on_films_that_are_not_mirrored(
    folder: Path, index: CohortIndex
) -> None:
    hearts, sides = [], []
    for image, path in zip(index.images["image"], index.images["path"], strict=True):
        grey, lung = read_dicom(folder / path)[0], lung_of(folder, image)
        lungs = split_lungs(lung)
        assert lungs.doubts == ()
        shares = six_zones(lungs).masks.sum(axis=(1, 2)) / lung.sum()
        assert shares.min() > 0.03
        assert 0.1 < lung.mean() < 0.45
        hearts.append(heart_side(grey, lung))
        sides.append(mask_side(grey, lung))
    check_sides(hearts, "films")
    check_sides(sides, "masks")
    assert np.mean(hearts) > 0
    assert np.mean(sides) > 0


def test_the_bytes_do_not_depend_on_workers_and_a_stopped_run_goes_on(
    folder: Path, tmp_path: Path
) -> None:
    for name, content in files(folder).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "metadata_global_v2.csv").unlink()
    films = sorted((tmp_path / "dicom_clean").iterdir())
    for lost in films[:20]:
        lost.unlink()
    render_brixia(CONFIG, tmp_path, 2)
    assert files(tmp_path) == files(folder)


def test_more_films_keep_the_earlier_ones() -> None:
    few = [case.name for case in scored_cases(CONFIG)]
    more = [case.name for case in scored_cases(BrixiaPhantomConfig(num_films=300, side=96))]
    assert more[: len(few)] == few
    assert len(set(more)) == len(more)
