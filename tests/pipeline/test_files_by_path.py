"""Both halves on 40 PNGs and 20 DICOMs that are read by path, as a user's own files are."""

import os
import shutil
import subprocess
from pathlib import Path

import cv2
import pandas as pd
import pytest
from pydicom import dcmread

from data.brixia import OTHER_NAME
from data.config import BrixiaPhantomConfig, PhantomConfig
from data.dicom import read_dicom
from data.phantom.brixia_layout import mask_path, render_brixia
from data.phantom.nih_layout import render_nih
from pipeline.finished_run import FinishedRun
from pipeline.statement import PHANTOM_STATEMENT
from tests.patient_header import BORN, MARK, fill_with_a_patient, marks_in
from tests.pipeline.test_run import TINY, cli

SMALL = (
    *TINY[1:],
    *("model.init=random", "train.pretrain_epochs=0", "dataset.num_labels=8"),
    *("evaluation.metrics=[localization,insertion_deletion,sensitivity_n]",),
    *("brixia.films.test_fraction=0.4", "brixia.films.val_fraction=0.2"),
    *("brixia.detector.epochs=1", "brixia.regressor.epochs=1", "brixia.lungs.epochs=60"),
    *("evaluation.sensitivity_n.fractions=[0.1]", "evaluation.sensitivity_n.masks=4"),
    *("evaluation.insertion_deletion.baselines=[blur]",),
    "attribution.methods=[grad_cam,iba,random]",
    *(f"attribution.{m}.steps=2" for m in ("regression_iba_mse", "regression_iba_rm")),
)
TABLES = ("table1", "table2", "pcc", "zones", "severity", "fig2", "fig3b", "claims")
FORMULA = "=HYPERLINK(A1).png"  # what a spreadsheet would compute


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    nih = PhantomConfig(num_train_val=28, num_test=12, side=64)
    render_nih(nih, root / "nih", 1)
    for folder in ("changes", "marks", "masks", "planted"):  # nobody has these of real films
        shutil.rmtree(root / "nih" / folder, ignore_errors=True)
    film = (root / "nih" / "BBox_List_2017.csv").read_text().splitlines()[-1].split(",")[0]
    for path in [*(root / "nih").glob("*.csv"), root / "nih" / "test_list.txt"]:
        path.write_text(path.read_text().replace(film, FORMULA))
    (found,) = (root / "nih").rglob(film)
    found.rename(found.with_name(FORMULA))
    dark = min(images_of(root))
    cv2.imwrite(str(dark), cv2.imread(str(dark), 0) // 16)
    with (root / "nih" / "test_list.txt").open("a") as names:
        names.write("\n@SUM(1).png")
    render_brixia(BrixiaPhantomConfig(num_films=20, side=64), root / "brixia", 1)
    for name in ("cxr", "masks"):
        (root / "lungs" / name).mkdir(parents=True)
    for film in (root / "brixia" / "dicom_clean").iterdir():
        header = dcmread(film)
        fill_with_a_patient(header)
        header.save_as(film, enforce_file_format=True)
        assert len(marks_in(film.read_bytes())) == 3
        cv2.imwrite(str(root / "lungs" / "cxr" / f"{film.stem}.png"), read_dicom(film)[0])
        mask = root / "brixia" / mask_path(film.name)
        shutil.copyfile(mask, root / "lungs" / "masks" / mask.name)
    shutil.rmtree(root / "brixia" / "lung_masks")
    named = root / "brixia" / "dicom_clean" / f"{MARK}^JANE"
    named.mkdir()
    for copy in (named / film.name, named.parent / f"{MARK}_{BORN}.dcm"):
        shutil.copyfile(film, copy)
    with (root / "brixia" / "metadata_global_v2.csv").open("a") as table:
        table.write(
            f"{MARK}_{BORN}.dcm;{BORN};CR;64;64;{MARK};MONOCHROME2;{MARK};0;0;{MARK};1;F;85\n"
        )
    return root


def images_of(files: Path) -> list[Path]:
    return list((files / "nih" / "images").glob("[0-9]*.png"))


def assert_no_patient_is_in(outputs: Path, said: str) -> None:
    """Of films whose names or headers say who it is, nothing is left in any name, file or line."""
    assert not marks_in(said.encode())
    written = list(outputs.rglob("*"))
    assert len(written) > 100
    for path in written:
        assert not marks_in(str(path).encode()), path
        assert not path.is_file() or not marks_in(path.read_bytes()), path


def paths(files: Path, *names: str) -> list[str]:
    return [f"paths.{name}={files / name}" for name in names]


@pytest.fixture(scope="module")
def paper(files: Path) -> tuple[Path, str]:
    """The folder of a run of the whole protocol, and what it said."""
    done = cli(
        "pipeline",
        *("experiment=paper", *SMALL, *paths(files, "nih", "brixia", "lungs")),
        f"paths.outputs={files / 'outputs'}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (files / "outputs" / "latest").resolve(), done.stdout + done.stderr


def test_the_paper_s_protocol_on_files_makes_the_tables_of_both_halves(paper):
    run, _ = paper
    for name in TABLES:
        assert len(pd.read_csv(run / "tables" / f"{name}.csv")) > 0, name
    table = pd.read_csv(run / "tables" / "table2.csv")
    assert set(table["lungs"]) == {"predicted"}  # nobody knows the true ones
    assert set(pd.read_csv(run / "tables" / "severity.csv")["dataset"]) == {"brixia"}
    page = (run / "report.html").read_text(encoding="utf-8")
    assert PHANTOM_STATEMENT[:30] not in page
    assert "learnt on 12 of BrixIA&#39;s 4,695, measured on 11 of BrixIA&#39;s 4,695" in page
    assert "Table 2" in page


def test_nothing_says_who_a_film_is_of_and_what_is_odd_about_it_is_listed(files, paper):
    run, said = paper
    assert_no_patient_is_in(files / "outputs", said)
    problems = pd.read_csv(run / "tables" / "problems.csv", dtype=str)
    assert (problems["file"] == OTHER_NAME).sum() == 3
    samples = pd.read_csv(run / "tables" / "table1_samples.csv", dtype=str)
    assert f"'{FORMULA}" in set(samples["image"])
    assert "'@SUM(1).png" in set(problems["file"])
    ((dark, field),) = problems[problems["reason"].str.contains("shows almost nothing")][
        ["file", "field"]
    ].to_numpy()
    assert (dark, field) == (min(path.name for path in images_of(files)), "film")
    assert "1 films were read, but see problems.csv" in said
    index = FinishedRun.read(run).artifact("index findings")
    assert FORMULA in set(pd.read_csv(index / "images.csv")["image"])


def with_masks(files: Path, lungs: Path) -> subprocess.CompletedProcess[str]:
    return cli(
        "pipeline",
        *("experiment=brixia", "brixia.lungs.source=masks", *SMALL),
        *(*paths(files, "nih", "brixia"), f"paths.lungs={lungs}"),
        f"paths.outputs={files / 'outputs'}",
    )


def test_lung_masks_of_ones_own_stand_in_for_the_network_unless_mirrored_or_absent(
    files, paper, tmp_path
):
    absent = min(pd.read_csv(paper[0] / "tables" / "severity_samples.csv")["image"])
    masks = tmp_path / "lungs" / "masks"
    masks.mkdir(parents=True)
    for path in (files / "lungs" / "masks").iterdir():
        cv2.imwrite(str(masks / path.name), cv2.imread(str(path), 0)[:, ::-1])
    done = with_masks(files, tmp_path / "lungs")
    assert done.returncode == 1
    assert "the lung masks in masks look mirrored" in done.stdout

    for path in masks.iterdir():
        shutil.copyfile(files / "lungs" / "masks" / path.name, path)
    (masks / absent).with_suffix(".png").unlink()
    done = with_masks(files, tmp_path / "lungs")
    assert done.returncode == 0, done.stdout + done.stderr
    tables = files / "outputs" / "latest" / "tables"
    for name in TABLES:
        assert len(pd.read_csv(tables / f"{name}.csv")) > 0, name
    assert set(pd.read_csv(tables / "table2.csv")["lungs"]) == {"given"}
    problems = pd.read_csv(tables / "problems.csv", dtype=str)
    assert "no lung mask" in problems.set_index("file").loc[absent, "reason"]


@pytest.mark.real
def test_the_public_cohen_subset_is_measured_with_lungs_learnt_from_public_masks(tmp_path):
    if "CXR_REAL" not in os.environ:
        pytest.skip("CXR_REAL is not set: no real films")
    real = Path(os.environ["CXR_REAL"])
    done = cli(
        "pipeline",
        *("experiment=smoke", *SMALL, "brixia.test=cohen", "brixia.lungs.source=pairs"),
        *("brixia.lungs.side=64", "brixia.lungs.epochs=6"),
        *paths(real, "cohen", "lungs"),
        f"paths.outputs={tmp_path}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tables = tmp_path / "latest" / "tables"
    severity = pd.read_csv(tables / "severity.csv", na_values=["n/a"]).set_index("predictor")
    assert (severity["dataset"] == "cohen").all()
    assert {"regressor", "constant", "second_reader"} == set(severity.index)
    assert len(pd.read_csv(tables / "table2.csv")) > 0
    page = (tmp_path / "latest" / "report.html").read_text(encoding="utf-8")
    assert "phantoms, measured on 56 of the public Cohen subset" in page
    assert "the films with zone scores are real ones" in page
