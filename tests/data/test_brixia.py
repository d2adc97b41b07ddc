"""The BrixIA reader on tiny layouts in the exact form, broken in every way."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data.brixia import NAME, OTHER_NAME, TABLE, read_brixia, read_square
from data.brixia_score import DETECTORS, ZONES
from data.cohort_index import CohortIndex
from data.config import BrixiaConfig, DicomScaling
from data.dicom import read_dicom
from data.integrity import DataError
from data.packing import PackedFilms
from tests.data.dicom_films import dicom, write
from tests.packing import pack

HEADER = (
    "Filename;StudyDate;Modality;Columns;Rows;Manufacturer;PhotometricInterpretation;BrixiaScore;"
    "BrixiaScoreGlobal;ConsensusTestset;Subject;StudyId;Sex;AgeAtStudyDateFiveYear"
)
NAMES = [f"{18446744073709551616 + number}.dcm" for number in range(6)]  # beyond 64 bits
SCORES = ["000000", "001001", "112233", "333333", "020202", "300000"]
SUBJECTS = ["11", "11", "12", "13", "14", "15"]


def row(name: str, score: str, total: str, subject: str, consensus: str = "0") -> str:
    return (
        f"{name};20200401;CR;44;40;Maker;MONOCHROME2;{score};{total};{consensus};{subject};7;F;60"
    )


def rows() -> list[str]:
    return [
        row(name, score, str(sum(map(int, score))), subject, consensus="1" if k == 2 else "0")
        for k, (name, score, subject) in enumerate(zip(NAMES, SCORES, SUBJECTS, strict=True))
    ]


def save(path: Path, seed: int = 0, **fields: object) -> None:
    pixels = np.random.default_rng(seed).integers(0, 4096, (40, 44), dtype=np.uint16)
    write(path, dicom(pixels, **{"PixelSpacing": ["0.2", "0.1"], **fields}))


@dataclass
class Layout:
    """BrixIA's layout to be spoilt by a test and written."""

    rows: list[str] = field(default_factory=rows)
    absent: tuple[str, ...] = ()
    mark: str = "\ufeff"
    newline: str = "\r\n"

    def write(self, root: Path) -> Path:
        root.mkdir(exist_ok=True)
        text = self.mark + self.newline.join([HEADER, *self.rows, ""])
        (root / "metadata_global_v2.csv").write_bytes(text.encode())
        for seed, name in enumerate(NAMES):
            if name not in self.absent:
                save(root / "dicom_clean" / name, seed)
        return root


def read(root: Path, **settings: object) -> CohortIndex:
    return read_brixia(root, BrixiaConfig(**settings))


def reasons(index: CohortIndex, file: str) -> list[str]:
    return index.problems.loc[index.problems["file"] == file, "reason"].tolist()


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_clean_layout_has_no_problems(tmp_path, mark, newline):
    index = read(Layout(mark=mark, newline=newline).write(tmp_path))
    assert index.problems.empty
    assert list(index.problems.columns) == ["file", "field", "reason"]
    assert (index.expected, index.found) == (6, 6)
    assert index.images["image"].tolist() == NAMES
    assert list(index.images.columns) == [
        "image", "path", "patient", "fold", "consensus", "rows", "columns", "bits_stored",
        "photometric", "row_spacing", "column_spacing", *ZONES, "score", *DETECTORS,
    ]  # fmt: skip
    assert index.images.iloc[2].drop("fold").tolist() == [
        NAMES[2], f"dicom_clean/{NAMES[2]}", "12", True, 40, 44, 12, "MONOCHROME2", 0.2, 0.1,
        1, 1, 2, 2, 3, 3, 12, 1, 1, 1,
    ]  # fmt: skip
    assert index.images["score"].tolist() == [0, 2, 12, 18, 6, 3]
    assert index.images["consensus"].sum() == 1


def test_lost_leading_zeros_are_restored_where_the_sum_confirms_them(tmp_path):
    layout = Layout()
    reference = read(layout.write(tmp_path / "a"))
    layout.rows[0] = layout.rows[0].replace(";000000;", ";0;")
    layout.rows[1] = layout.rows[1].replace(";001001;", ";1001;")
    index = read(layout.write(tmp_path / "b"))
    pd.testing.assert_frame_equal(index.images, reference.images)
    assert index.problems["file"].tolist() == NAMES[:2]
    assert index.problems["reason"].str.contains("restored").all()


@pytest.mark.parametrize(
    ("score", "total", "reason"),
    [
        ("31", "5", "does not add up to BrixiaScoreGlobal"),
        ("1.12233E5", "12", "not six digits"),
    ],
)
def test_a_bad_score_is_skipped_and_listed(tmp_path, score, total, reason):
    layout = Layout()
    layout.rows[2] = row(NAMES[2], score, total, "12")
    index = read(layout.write(tmp_path))
    assert index.images["image"].tolist() == NAMES[:2] + NAMES[3:]
    assert reason in reasons(index, NAMES[2])[0]
    assert index.problems["field"][0] == "metadata_global_v2.csv line 4"


@pytest.mark.parametrize(
    ("name", "subject", "reason"),
    [
        ("1.84467440737096E+19.dcm", "12", "not a name of 16 to 20 digits"),
        ("../18446744073709551618.dcm", "12", "not a name of 16 to 20 digits"),
        ("", "12", "not a name of 16 to 20 digits"),
        (NAMES[0], "12", "has a row above"),
        (NAMES[2], "", "no Subject"),
    ],
)
def test_a_row_without_a_name_or_subject_of_its_own_is_skipped(tmp_path, name, subject, reason):
    layout = Layout()
    layout.rows[2] = row(name, "112233", "12", subject)
    index = read(layout.write(tmp_path))
    assert len(index.images) == 5
    listed = name if NAME.fullmatch(name) else OTHER_NAME
    assert any(reason in text for text in reasons(index, listed))
    assert "on disk, but no usable row names it" in reasons(index, NAMES[2])


def test_a_table_without_a_usable_row_is_refused_with_the_reason(tmp_path):
    layout = Layout(rows=[row(name, "112233", "99", "1") for name in NAMES])
    layout.rows[0] = row("DOE^JANE.dcm", "112233", "12", "")
    with pytest.raises(
        DataError, match=rf"{TABLE} has no usable row: .*add up.* \(5 of 6 "
    ) as caught:
        read(layout.write(tmp_path))
    assert f"the first: {NAMES[1]}, {TABLE} line 3" in str(caught.value)
    assert "DOE" not in str(caught.value)


def test_a_split_that_names_no_film_is_refused_with_the_reason(tmp_path):
    root = Layout().write(tmp_path)
    (root / "split.csv").write_text("Image Index,fold\n1234567890123456.dcm,train\n")
    with pytest.raises(DataError, match=r"none of the 6 films .*not in it.* \(6 of 6 .*split\.csv"):
        read(root, split_file="split.csv")


@pytest.mark.parametrize(
    ("written", "held", "listed"),
    [
        *(("1.0", True, False), ("0", False, False), ("0.0", False, False), ("", False, False)),
        *(("2", False, True), ("yes", False, True), ("DOE^JANE", False, True)),
    ],
)
def test_a_consensus_field_is_0_or_1_or_listed(tmp_path, written, held, listed):
    layout = Layout()
    layout.rows[1] = row(NAMES[1], "1001", "2", "11", written)
    index = read(layout.write(tmp_path))
    assert index.images["consensus"].tolist() == [False, held, True, False, False, False]
    (said,) = reasons(index, NAMES[1])
    assert "restored" in said
    assert ("; ConsensusTestset is neither 0 nor 1: taken for 0" in said) == listed


def test_no_text_of_a_row_that_is_shifted_is_repeated(tmp_path):
    layout = Layout(rows=[row(NAMES[0], "DOE^JANE", "DOE", "1")])
    with pytest.raises(DataError, match="not six digits") as caught:
        read(layout.write(tmp_path))
    assert "DOE" not in str(caught.value)
    index = read(Layout(rows=[*layout.rows, *rows()[1:]]).write(tmp_path))
    assert "DOE" not in index.problems.to_csv()


def test_absent_films_are_listed(tmp_path):
    index = read(Layout(absent=(NAMES[1],)).write(tmp_path))
    assert (index.expected, index.found, len(index.images)) == (6, 5, 5)
    assert reasons(index, NAMES[1]) == ["listed there, but not found"]


def test_unusable_and_doubtful_films_are_listed(tmp_path):
    root = Layout().write(tmp_path)
    save(root / "dicom_clean" / NAMES[0], Rows=65535, Columns=65535)
    (root / "dicom_clean" / NAMES[1]).write_text("no film")
    save(root / "dicom_clean" / NAMES[2], BurnedInAnnotation="YES")
    save(root / "dicom_clean" / NAMES[3], PhotometricInterpretation="MONOCHROME1")
    save(root / "dicom_clean" / NAMES[4], PatientOrientation=["R", "F"], PixelSpacing="")
    index = read(root)
    assert index.images["image"].tolist() == NAMES[2:]
    assert reasons(index, NAMES[0])[0].startswith("too large: 65535 x 65535")
    assert reasons(index, NAMES[1]) == ["not a DICOM file"]  # without the folder's path
    assert reasons(index, NAMES[2]) == ["not NO: text may be burned into the film"]
    assert "the header, which is followed" in reasons(index, NAMES[3])[0]
    assert index.images["photometric"].tolist()[1] == "MONOCHROME1"
    assert "mirrored" in reasons(index, NAMES[4])[0]
    assert np.isnan(index.images["row_spacing"][2])


def test_folds_are_drawn_by_subject_and_do_not_depend_on_which_films_are_present(tmp_path):
    settings = {"val_fraction": 0.3, "test_fraction": 0.3}
    whole = read(Layout().write(tmp_path / "a"), **settings)
    assert set(whole.images["fold"]) == {"train", "val", "test"}
    assert (whole.images.groupby("patient")["fold"].nunique() == 1).all()
    for name in NAMES:
        part = read(Layout(absent=(name,)).write(tmp_path / name), **settings)
        merged = part.images.merge(whole.images, on="image")
        assert (merged["fold_x"] == merged["fold_y"]).all()
    with pytest.raises(DataError, match="no films to train on"):
        read(tmp_path / "a", val_fraction=0.6, test_fraction=0.4)


def test_the_published_split_is_read_from_the_users_copy(tmp_path):
    root = Layout().write(tmp_path)
    folds = ["train", "val", "test", "train", "val"]
    lines = [
        f"{name.replace('.dcm', '.jpg')},{fold}" for name, fold in zip(NAMES, folds, strict=False)
    ]
    (root / "split.csv").write_text("\n".join(["Image Index,fold", *lines]))
    index = read(root, split_file="split.csv")
    assert index.images["fold"].tolist() == folds
    assert reasons(index, NAMES[5]) == ["not in it: film skipped"]
    for name in NAMES[:2]:
        assert reasons(index, name) == ["its subject stands in another fold as well"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.jpg,train"], "not 16 to 20 digits"),
        ([f"{NAMES[0]},train", f"{NAMES[0]},val"], "occurs twice"),
        ([f"{NAMES[0]},BBox"], "line 2: fold is not one of train, val, test"),
        ([], "no rows"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(tmp_path, lines, message):
    root = Layout().write(tmp_path)
    (root / "split.csv").write_text("\n".join(["Image Index,fold", *lines, ""]))
    with pytest.raises(DataError, match=message):
        read(root, split_file="split.csv")
    with pytest.raises(DataError, match=r"\.\."):
        read(root, split_file="../split.csv")


def test_a_wrong_root_says_what_was_looked_for(tmp_path):
    with pytest.raises(DataError, match=r"paths\.brixia"):
        read(tmp_path / "absent")
    with pytest.raises(DataError, match=r"metadata_global_v2\.csv not found"):
        read(tmp_path)
    root = Layout(absent=tuple(NAMES)).write(tmp_path)
    with pytest.raises(DataError, match=r"none of the 6 films .*dicom_clean"):
        read(root)
    for name in NAMES:
        (root / "dicom_clean").mkdir(exist_ok=True)
        (root / "dicom_clean" / f"{name[:-4]}.png").touch()
    with pytest.raises(
        DataError, match=r"none of the 6 films .*not a \.dcm file: not read \(6 of 6 "
    ):
        read(root)
    for name in NAMES:
        (root / "dicom_clean" / name).write_text("no film")
    with pytest.raises(DataError, match=r"no film in .* can be read: not a DICOM .*\(6 of 6 "):
        read(root)


def test_a_table_that_is_a_link_out_of_the_root_is_not_followed(tmp_path):
    root = Layout().write(tmp_path / "root")
    (root / TABLE).unlink()
    (root / TABLE).symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(DataError, match=f"'{TABLE}' is a link that leads out of"):
        read(root)


def test_names_that_may_be_a_patient_s_are_not_repeated(tmp_path):
    layout = Layout()
    layout.rows += [row("DOE^JANE.dcm", "000000", "0", "16"), row("DOE.dcm", "1", "1", "")]
    root = layout.write(tmp_path)
    folder = root / "dicom_clean"
    save(folder / "DOE^JANE.dcm")
    save(folder / "DOE^JANE" / NAMES[0])
    save(folder / "DOE^JANE" / "1234567890123456.dcm")
    (folder / NAMES[1]).rename(folder / "DOE.dcm")
    (folder / "DOE").symlink_to("/")
    index = read(root)
    assert index.images["path"].tolist() == [
        f"dicom_clean/{name}" for name in NAMES if name != NAMES[1]
    ]
    assert reasons(index, "1234567890123456.dcm") == ["in a folder below it: not read"]
    assert len(reasons(index, OTHER_NAME)) == 6
    assert "DOE" not in index.images.to_csv() + index.problems.to_csv()


def test_a_link_to_the_whole_folder_of_films_is_followed_and_no_other(tmp_path):
    root = Layout().write(tmp_path / "root")
    plain = read(root).images
    (root / "dicom_clean").rename(tmp_path / "disk")
    (root / "dicom_clean").symlink_to(tmp_path / "disk")
    pd.testing.assert_frame_equal(read(root).images, plain)
    (tmp_path / "disk" / NAMES[0]).rename(tmp_path / NAMES[0])
    (tmp_path / "disk" / NAMES[0]).symlink_to(tmp_path / NAMES[0])
    index = read(root)
    assert "a link that leads out" in reasons(index, NAMES[0])[0]
    assert len(index.images) == 5
    (root / "dicom_clean").unlink()
    (root / "dicom_clean").symlink_to(tmp_path)
    with pytest.raises(DataError, match="'dicom_clean' is a link that leads out of"):
        read(root)


@pytest.mark.parametrize("scaling", list(DicomScaling))
def test_films_are_packed_squashed_to_a_square(tmp_path, scaling):
    root = Layout().write(tmp_path / "root")
    images = read(root).images
    save(root / images["path"][1], NumberOfFrames=3)
    pack(images, root, tmp_path / "packed", 16, reader=partial(read_square, scaling=scaling))
    films = PackedFilms(tmp_path / "packed")
    assert films.table["image"].tolist() == [NAMES[0], *NAMES[2:]]
    for name, film in zip(films.table["image"], films.load(films.table["image"]), strict=True):
        whole, _ = read_dicom(root / "dicom_clean" / name, scaling)
        expected = Image.fromarray(whole).resize((16, 16), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(film, np.asarray(expected))
    problems = pd.read_csv(tmp_path / "packed/problems.csv")
    assert problems["reason"].tolist() == ["several frames: only single films are read"]
