"""Phantoms in NIH's official layout: bytes, lists, boxes, and a run that resumes."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.config import PhantomConfig, PlantedShortcut
from data.phantom.cohort import cohort
from data.phantom.contact_sheet import contact_sheet
from data.phantom.counterfactual import read_pair
from data.phantom.lesions import FINDINGS
from data.phantom.markers import planted_token
from data.phantom.nih_layout import box_of, mask_name, render_nih

CONFIG = PhantomConfig(
    num_train_val=16, num_test=20, side=64, seed=30
)  # not the default's test films


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantoms")
    seen: list[tuple[int, int]] = []
    render_nih(CONFIG, path, 1, lambda done, total: seen.append((done, total)))
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1] == len(list((path / "images").iterdir()))
    return path


def _files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _rows(folder: Path) -> list[list[str]]:
    with (folder / "Data_Entry_2017_v2020.csv").open(newline="") as file:
        return list(csv.reader(file))


def _boxes(folder: Path) -> list[list[str]]:
    return [r.split(",") for r in (folder / "BBox_List_2017.csv").read_text().split("\n")[1:-1]]


def test_the_bytes_do_not_depend_on_the_number_of_workers(folder: Path, tmp_path: Path) -> None:
    render_nih(CONFIG, tmp_path, 2)
    assert _files(tmp_path) == _files(folder)


def test_a_stopped_run_resumes_and_keeps_what_is_finished(folder: Path, tmp_path: Path) -> None:
    for name, content in list(_files(folder).items()):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    images = sorted((tmp_path / "images").iterdir())
    for lost in images[::7]:
        lost.unlink()
    (tmp_path / "BBox_List_2017.csv").unlink()
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "images").iterdir()}
    seen: list[int] = []
    render_nih(CONFIG, tmp_path, 1, lambda done, total: seen.append(done))
    assert seen[0] == len(kept)
    assert all(p.stat().st_mtime_ns == when for p, when in kept.items())
    assert _files(tmp_path) == _files(folder)


def test_another_seed_gives_other_patients(folder: Path, tmp_path: Path) -> None:
    other = PhantomConfig(num_train_val=1, num_test=0, side=64, seed=1)
    render_nih(other, tmp_path, 1)
    name = "00000001_000.png"
    assert (tmp_path / "images" / name).read_bytes() != (folder / "images" / name).read_bytes()


def test_films_are_grey_8_bit_pngs_of_the_side_asked_for(folder: Path) -> None:
    listed = {row[0] for row in _rows(folder)[1:]}
    assert {p.name for p in (folder / "images").iterdir()} == listed
    for path in (folder / "images").iterdir():
        film = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert film.shape == (64, 64)
        assert film.dtype == np.uint8
        assert np.ptp(film) > 100


def test_the_csv_has_the_published_header_and_labels(folder: Path) -> None:
    text = (folder / "Data_Entry_2017_v2020.csv").read_text()
    assert text.startswith(
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
    )
    assert text.endswith("\n")
    rows = _rows(folder)
    assert all(len(row) == len(rows[0]) for row in rows)
    for image, labels, follow_up, patient, _, sex, view, *_ in rows[1:]:
        assert image == f"{int(patient):08d}_{int(follow_up):03d}.png"
        assert labels == "No Finding" or set(labels.split("|")) <= set(FINDINGS)
        assert sex in {"M", "F"}
        assert view in {"PA", "AP"}


def test_the_lists_are_disjoint_by_patient_and_end_without_a_newline(folder: Path) -> None:
    texts = [(folder / n).read_bytes() for n in ("train_val_list.txt", "test_list.txt")]
    train, test = (t.decode().split("\n") for t in texts)
    assert not any(t.endswith(b"\n") for t in texts)
    assert len(train) >= 16
    assert len(test) >= 20
    assert not {n[:8] for n in train} & {n[:8] for n in test}
    assert {*train, *test} == {row[0] for row in _rows(folder)[1:]}


def test_the_box_list_has_the_broken_header_and_calls_infiltration_infiltrate(
    folder: Path,
) -> None:
    text = (folder / "BBox_List_2017.csv").read_text()
    assert text.startswith("Image Index,Finding Label,Bbox [x,y,w,h],,,\n")
    assert text.endswith("\n")
    names = {box[1] for box in _boxes(folder)}
    assert "Infiltrate" in names
    assert "Infiltration" not in names
    assert all(len(box) == 6 for box in _boxes(folder))


def test_every_finding_of_every_test_film_has_one_box_and_others_have_none(folder: Path) -> None:
    test = set((folder / "test_list.txt").read_text().split("\n"))
    positive = {
        (row[0], finding)
        for row in _rows(folder)[1:]
        if row[0] in test and row[1] != "No Finding"
        for finding in row[1].split("|")
    }
    boxed = [(b[0], b[1].replace("Infiltrate", "Infiltration")) for b in _boxes(folder)]
    assert len(boxed) == len(set(boxed))
    assert set(boxed) == positive
    masks = {p.name for p in (folder / "masks").iterdir()}
    assert masks == {mask_name(image, finding) for image, finding in positive}


def test_boxes_are_tight_around_the_outline_of_the_strongest_lesion(folder: Path) -> None:
    several = 0
    for image, name, *numbers in _boxes(folder):
        file = mask_name(image, name.replace("Infiltrate", "Infiltration"))
        mask = cv2.imread(str(folder / "masks" / file), cv2.IMREAD_UNCHANGED)
        lesions = cv2.imread(str(folder / "lesions" / file), cv2.IMREAD_UNCHANGED)
        assert set(np.unique(mask)) <= {0, 255}
        x, y, w, h = (float(v) * 64 / 1024 for v in numbers)
        inside = np.zeros_like(mask, bool)
        inside[int(y) : int(y + h), int(x) : int(x + w)] = True
        if lesions.max() < 2:
            assert box_of(mask > 127) == tuple(map(float, numbers))
            continue
        several += 1
        outlined = mask > 127
        assert (lesions[outlined & inside] == 1).mean() > 0.5
        for k in range(2, lesions.max() + 1):
            assert (outlined & ~inside & (lesions == k)).any()
    assert several


def test_every_film_has_its_marks_and_only_test_films_have_changes_to_the_pixel(
    folder: Path,
) -> None:
    assert {p.name for p in (folder / "marks").iterdir()} == {row[0] for row in _rows(folder)[1:]}
    assert {p.name for p in (folder / "changes").iterdir()} == {
        p.name for p in (folder / "masks").iterdir()
    }
    assert {p.name for p in (folder / "lesions").iterdir()} == {
        p.name for p in (folder / "masks").iterdir()
    }
    assert not list((folder / "planted").iterdir())


def test_lesions_are_where_the_finding_changes_the_film_and_numbered_without_a_gap(
    folder: Path,
) -> None:
    for path in (folder / "lesions").iterdir():
        stem, finding = path.stem.rsplit("_", 1)
        lesions = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        pair = read_pair(folder, f"{stem}.png", finding)
        np.testing.assert_array_equal(lesions > 0, pair.causal)
        assert set(np.unique(lesions)) - {0} == set(range(1, lesions.max() + 1))


def test_planted_films_export_where_the_token_lies(tmp_path: Path) -> None:
    config = PhantomConfig(
        num_train_val=1, num_test=24, side=64, seed=30, planted_shortcut=PlantedShortcut.marker
    )
    render_nih(config, tmp_path, 1)
    tokens = {
        case.image
        for case in cohort(config)
        if case.test and planted_token(case.patient, case.visit, case.findings, config).any()
    }
    assert tokens
    assert {p.name for p in (tmp_path / "planted").iterdir()} == tokens
    for name in tokens:
        token = cv2.imread(str(tmp_path / "planted" / name), cv2.IMREAD_UNCHANGED) > 127
        marks = cv2.imread(str(tmp_path / "marks" / name), cv2.IMREAD_UNCHANGED) > 127
        assert token.any()
        assert not (token & ~marks).any()


def test_box_of_scales_to_the_frame_and_refuses_an_empty_mask() -> None:
    mask = np.zeros((32, 32), bool)
    mask[4:7, 10:20] = True
    assert box_of(mask) == (320.0, 128.0, 320.0, 96.0)
    with pytest.raises(ValueError, match="visible pixel"):
        box_of(np.zeros((4, 4), bool))


def test_no_temporary_file_is_left_behind(folder: Path) -> None:
    assert not list(folder.rglob("*.tmp"))


def test_the_contact_sheet_shows_as_many_films_as_asked_for(folder: Path, tmp_path: Path) -> None:
    contact_sheet(folder, tmp_path / "sheet.png", 7)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * 346, 5 * 320, 3)
    with pytest.raises(FileNotFoundError, match="render the phantoms first"):
        contact_sheet(tmp_path, tmp_path / "other.png", 7)
