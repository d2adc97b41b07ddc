"""The NIH reader on tiny official layouts, broken in every way, and on the real files."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from data import nih
from data.cohort_index import CohortIndex
from data.config import DatasetConfig
from data.integrity import DataError, problem_table
from data.nih import FINDINGS, read_boxes, read_nih
from data.packing import PackedFilms
from tests.packing import pack

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
LISTS = ("train_val", "test")
ROWS = (  # image, labels, follow-up, patient, age
    "00000001_000.png,Cardiomegaly,0,1,57",
    "00000001_001.png,Cardiomegaly|Emphysema,1,1,58",
    "00000002_000.png,No Finding,0,2,94",
    "00000003_000.png,Hernia|Infiltration,0,3,70",
    "00000004_000.png,Mass|Nodule,0,4,31",
    "00000005_000.png,Infiltration,0,5,22",
)
BOXES = (
    "00000004_000.png,Mass,100.5,200.25,300,400",
    "00000005_000.png,Infiltrate,1,2,3,4",
)


@dataclass
class Layout:
    """An official layout to be spoilt by a test and written; the films are 8-px squares."""

    rows: list[str] = field(default_factory=lambda: list(ROWS))
    boxes: list[str] = field(default_factory=lambda: list(BOXES))
    train_val: list[str] = field(default_factory=lambda: [row.split(",")[0] for row in ROWS[:4]])
    test: list[str] = field(default_factory=lambda: [row.split(",")[0] for row in ROWS[4:]])
    absent: tuple[str, ...] = ()
    label_file: str = "Data_Entry_2017_v2020.csv"
    folders: tuple[str, ...] = ("images",)
    mark: str = ""
    newline: str = "\n"
    ends: dict[str, str] = field(default_factory=dict)  # sex and view of a film, else M,PA

    def write(self, root: Path) -> Path:
        rows = [f"{row},{self.ends.get(row[:16], 'M,PA')},2682,2749,0.14,0.14" for row in self.rows]
        texts = {
            self.label_file: [HEADER, *rows, ""],
            "BBox_List_2017.csv": [BOX_HEADER, *self.boxes, ""],
            "train_val_list.txt": self.train_val,
            "test_list.txt": self.test,
        }
        for name, lines in texts.items():
            root.mkdir(exist_ok=True)
            (root / name).write_bytes((self.mark + self.newline.join(lines)).encode())
        for number, row in enumerate(ROWS):
            name = row.split(",")[0]
            if name not in self.absent:
                save(root / self.folders[number % len(self.folders)] / name)
        return root


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)


def read(root: Path, **settings: int | float) -> CohortIndex:
    return read_nih(root, DatasetConfig(**settings))


def reasons(index: CohortIndex, file: str) -> list[str]:
    return index.problems.loc[index.problems["file"] == file, "reason"].tolist()


def test_a_clean_layout_has_no_problems(tmp_path):
    index = read(Layout().write(tmp_path))
    assert index.problems.empty
    assert list(index.problems.columns) == ["file", "field", "reason"]
    assert (index.expected, index.found) == (6, 6)
    first = index.images.iloc[1]
    assert first["path"] == "images/00000001_001.png"
    assert (first["patient"], first["follow_up"], first["age"]) == (1, 1, 58)
    assert (first["sex"], first["view"]) == ("M", "PA")
    assert first[list(FINDINGS)].sum() == 2
    assert first["Cardiomegaly"] == first["Emphysema"] == 1
    assert (index.images[list(FINDINGS)].dtypes == np.uint8).all()
    assert index.boxes.to_dict("records") == [
        {"image": "00000004_000.png", "finding": "Mass", "x": 100.5, "y": 200.25, "w": 300.0,
         "h": 400.0, "patient": 4, "fold": "test"},
        {"image": "00000005_000.png", "finding": "Infiltration", "x": 1.0, "y": 2.0, "w": 3.0,
         "h": 4.0, "patient": 5, "fold": "test"},
    ]  # fmt: skip


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("folders", [("images",), ("images_001/images", "images_002/images")])
@pytest.mark.parametrize("label_file", ["Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv"])
def test_layouts_and_text_conventions_make_no_difference(
    tmp_path, mark, newline, folders, label_file
):
    reference = read(Layout().write(tmp_path / "reference"))
    layout = Layout(mark=mark, newline=newline, folders=folders, label_file=label_file)
    layout.rows.reverse()
    index = read(layout.write(tmp_path / "other"))
    pd.testing.assert_frame_equal(
        index.images.drop(columns="path"), reference.images.drop(columns="path")
    )
    pd.testing.assert_frame_equal(index.boxes, reference.boxes)
    assert index.problems.empty
    for path in index.images["path"]:
        assert (tmp_path / "other" / path).is_file()


def test_eight_labels_are_the_classes_with_boxes(tmp_path):
    Layout().write(tmp_path)
    eight, fourteen = read(tmp_path, num_labels=8), read(tmp_path)
    assert list(eight.images.columns[8:]) == list(FINDINGS[:8])
    assert list(fourteen.images.columns[8:]) == list(FINDINGS)
    hernia = eight.images[eight.images["image"] == "00000003_000.png"]
    assert hernia[list(FINDINGS[:8])].to_numpy().sum() == 1  # its Infiltration; Hernia is no label
    with pytest.raises(DataError, match=r"num_labels is 9"):
        read(tmp_path, num_labels=9)


def test_the_test_fold_is_the_official_list_and_val_is_split_by_patient(tmp_path):
    index = read(Layout().write(tmp_path), val_fraction=0.5)
    folds = index.images.set_index("image")["fold"]
    assert set(folds[folds == "test"].index) == set(Layout().test)
    assert folds["00000001_000.png"] == folds["00000001_001.png"]
    assert set(folds) == {"train", "val", "test"}


def test_the_split_does_not_depend_on_which_films_are_present(tmp_path):
    whole = read(Layout().write(tmp_path / "a"), val_fraction=0.5)
    for absent in Layout().train_val:
        part = read(Layout(absent=(absent,)).write(tmp_path / absent), val_fraction=0.5)
        merged = part.images.merge(whole.images, on="image")
        assert (merged["fold_x"] == merged["fold_y"]).all()


def test_absent_films_are_listed_and_their_boxes_left_out(tmp_path):
    index = read(Layout(absent=("00000004_000.png", "00000002_000.png")).write(tmp_path))
    assert (index.expected, index.found, len(index.images)) == (6, 4, 4)
    assert index.boxes["image"].tolist() == ["00000005_000.png"]
    assert index.problems["file"].tolist() == ["00000002_000.png", "00000004_000.png"]
    assert index.problems["reason"].str.contains("not found").all()


def test_films_that_no_row_names_are_listed(tmp_path):
    root = Layout().write(tmp_path)
    save(root / "images/holiday.png")
    save(root / "images/00000001_000.PNG")  # names are compared exactly
    (root / "notes.txt").touch()
    index = read(root)
    assert len(index.images) == 6
    assert index.problems["file"].tolist() == ["00000001_000.PNG", "holiday.png"]


def test_hidden_files_and_the_truth_of_phantoms_are_no_films(tmp_path):
    root = Layout().write(tmp_path)
    save(root / "masks/00000004_000_Mass.png")
    save(root / "marks/00000001_000.png")
    save(root / "__MACOSX/images/._00000001_000.png")
    save(root / ".trash/00000001_000.png")
    assert read(root).problems.empty


def test_a_name_in_two_folders_is_listed_and_the_first_path_used(tmp_path):
    root = Layout(folders=("images_001/images",)).write(tmp_path)
    save(root / "images_002/images/00000004_000.png")
    index = read(root)
    assert index.found == 6
    assert index.images["path"].str.startswith("images_001").all()
    assert index.problems["file"].tolist() == ["images_002/images/00000004_000.png"]
    assert "occurs again" in index.problems["reason"][0]


def test_names_with_paths_are_listed_and_never_touched(tmp_path):
    root = tmp_path / "root"
    evil = ["../evil.png", "/etc/evil.png", "images/00000001_000.png", "..\\evil.png", ".."]
    save(tmp_path / "evil.png")
    layout = Layout(train_val=[*Layout().train_val, *evil])
    layout.rows += [f"{name},Mass,0,9,50" for name in evil]
    layout.boxes += ["../evil.png,Mass,1,1,10,10"]
    index = read(layout.write(root))
    assert len(index.images) == 6
    assert index.expected == 6
    assert len(index.boxes) == 2
    for name in evil:
        assert "not a plain file name: row skipped" in reasons(index, name)


def test_links_out_of_the_root_are_listed_and_not_followed(tmp_path):
    root = Layout(absent=("00000004_000.png",)).write(tmp_path / "root")
    save(tmp_path / "outside/00000004_000.png")
    (root / "images/00000004_000.png").symlink_to(tmp_path / "outside/00000004_000.png")
    (root / "images/more").symlink_to(tmp_path / "outside")
    (root / "everything").symlink_to(tmp_path)
    (root / "gone").symlink_to(tmp_path / "not there")
    (root / "again").symlink_to(root / "images")
    (root / "images/up").symlink_to(root)
    index = read(root)
    assert "00000004_000.png" not in set(index.images["image"])
    for link in ("images/00000004_000.png", "images/more", "everything"):
        assert "leads out" in reasons(index, link)[0]
    assert "leads to nothing" in reasons(index, "gone")[0]
    assert len(index.problems) == 5  # and the film that was not found


@pytest.mark.parametrize("folders", [("images",), ("images_001/images", "images_002/images")])
def test_a_link_to_a_whole_folder_right_below_the_root_is_part_of_it(tmp_path, folders):
    plain = read(Layout(folders=folders).write(tmp_path / "plain"))
    root = Layout(folders=folders).write(tmp_path / "root")
    save(tmp_path / "other.png")
    for folder in {folder.split("/")[0] for folder in folders}:
        (root / folder).rename(tmp_path / folder)
        (root / folder).symlink_to(tmp_path / folder)
    (tmp_path / folder / "out.png").symlink_to(tmp_path / "other.png")
    (tmp_path / folder / "back").symlink_to(tmp_path)
    index = read(root)
    pd.testing.assert_frame_equal(index.images, plain.images)
    assert index.problems["file"].tolist() == [f"{folder}/back", f"{folder}/out.png"]
    assert index.problems["reason"].str.contains("leads out").all()
    pack(index.images[["image", "path"]], root, tmp_path / "packed", 4)
    assert len(PackedFilms(tmp_path / "packed")) == 6


def test_names_that_are_not_utf8_are_listed_as_escapes(tmp_path):
    root = Layout().write(tmp_path)
    try:
        os.close(os.open(os.fsencode(root / "images") + b"/caf\xe9.png", os.O_CREAT))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    index = read(root)
    assert index.problems["file"].tolist() == ["images/caf\\xe9.png"]
    index.problems.to_csv(tmp_path / "problems.csv")  # surrogates would raise here


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("00000002_000.png,Flu|Mass,0,2,40", "unknown finding 'Flu': film skipped"),
        ("00000002_000.png,,0,2,40", "unknown finding '': film skipped"),
        ("00000002_000.png,No Finding|Mass,0,2,40", "contradicts itself"),
        ("00000002_000.png,Mass,0,two,40", "Patient ID is not a whole number"),
        ("00000002_000.png,Mass,0,-2,40", "Patient ID is not a whole number"),
        ("00000002_000.png,Mass,0," + "9" * 40 + ",40", "Patient ID is not a whole number"),
        ("00000002_000.png,Mass,0,1e3,40", "Patient ID is not a whole number"),  # not patient 1000
        ("00000002_000.png,Mass,0,2.5,40", "Patient ID is not a whole number"),
        ("00000002_000.png,Mass,0,2.,40", "Patient ID is not a whole number"),
        ("00000002_000.png,Mass,0,２,40", "Patient ID is not a whole number"),
        ("00000002_000.png,Mass,1e1,2,40", "Follow-up # is not a whole number"),
        ("00000002_000.png,Mass,90071,2,40", "Follow-up # is not a whole number"),
        ("00000002_000.png,Mass,1.5,2,40", "Follow-up # is not a whole number"),
    ],
)
def test_a_bad_row_is_skipped_and_listed(tmp_path, row, reason):
    layout = Layout()
    layout.rows[2] = row
    index = read(layout.write(tmp_path))
    assert len(index.images) == 5
    assert "00000002_000.png" not in set(index.images["image"])
    assert any(reason in text for text in reasons(index, "00000002_000.png"))
    assert index.problems["field"].str.startswith("Data_Entry_2017_v2020.csv").any()


def test_numbers_that_a_spreadsheet_made_decimal_are_read_as_whole(tmp_path):
    reference = read(Layout().write(tmp_path / "a"))
    fields = [row.split(",") for row in ROWS]
    rows = [f"{name},{labels},{n}.0,{patient}.00,{age}" for name, labels, n, patient, age in fields]
    index = read(Layout(rows=rows).write(tmp_path / "b"))
    pd.testing.assert_frame_equal(index.images, reference.images)
    assert index.problems.empty


@pytest.mark.parametrize(
    "written",
    [
        lambda name: f"{name} 0 1 0 0 0 0 0 0 0 0 0 0 0 0",  # CheXNet's lists
        lambda name: f"{name},Mass|Nodule,1",
        lambda name: f'17;"{name}"',
        lambda name: f"images/{name}",
        lambda name: f"D:\\films\\images_001\\{name}\t1",
        lambda name: name.removesuffix(".png"),
        lambda name: f"./images/{name.removesuffix('.png')} 0 1",
    ],
)
def test_a_line_of_a_list_that_can_mean_one_film_only_names_it(tmp_path, written):
    reference = read(Layout().write(tmp_path / "a"))
    lists = {name: [written(film) for film in getattr(Layout(), name)] for name in LISTS}
    index = read(Layout(**lists).write(tmp_path / "b"))
    pd.testing.assert_frame_equal(index.images, reference.images)
    assert index.problems.empty


def test_a_line_of_a_list_that_names_two_films_or_none_is_listed(tmp_path):
    layout = Layout()
    layout.test += ["00000001_000.png 00000002_000.png", "00000001_000.jpg", "1 0 0"]
    index = read(layout.write(tmp_path))
    assert index.problems["file"].tolist() == layout.test[-3:]
    assert index.problems["reason"].str.contains("no usable row").all()
    assert set(index.images.loc[:1, "fold"]) <= {"train", "val"}


def renamed(root: Path, suffix: str) -> None:
    for path in sorted((root / "images").iterdir()):
        path.rename(path.with_suffix(suffix))


def unplugged(root: Path) -> None:
    (root / "images").rename(root.parent / "old")
    (root / "images").symlink_to(root.parent / "disk")


@pytest.mark.parametrize(
    ("layout", "change", "told"),
    [
        (
            Layout(rows=[row.rsplit(",", 2)[0] + ",P1,50" for row in ROWS]),
            None,
            "Patient ID is not",
        ),
        (Layout(train_val=[*"abcd"], test=[*"ef"]), None, "has no usable row in .*the first: a,"),
        (
            Layout(),
            lambda root: renamed(root, ".jpg"),
            r"not a \.png file: .* images/00000001_000.j",
        ),
        (Layout(), unplugged, r"leads to nothing.* \(1 of 1 .*the first: images, link"),
    ],
)
def test_where_no_film_is_left_the_commonest_problem_is_told(tmp_path, layout, change, told):
    root = layout.write(tmp_path / "root")
    if change:
        change(root)
    with pytest.raises(DataError, match=told):
        read(root)


def test_the_alias_of_the_box_file_is_known_in_labels_too(tmp_path):
    layout = Layout()
    layout.rows[5] = layout.rows[5].replace("Infiltration", "Infiltrate")
    index = read(layout.write(tmp_path))
    assert index.problems.empty
    assert index.images["Infiltration"].sum() == 2


@pytest.mark.parametrize(
    ("age", "years"),
    [
        *(("058Y", 58), ("006M", 0.5), ("0", 0), ("120", 120), ("", None), ("old", None)),
        *(("414", None), ("121Y", None), ("999999M", None), ("-3", None)),  # 414: first edition
    ],
)
def test_ages_are_years_in_both_editions(tmp_path, age, years):
    layout = Layout()
    layout.rows[0] = f"00000001_000.png,Cardiomegaly,0,1,{age}"
    index = read(layout.write(tmp_path))
    if years is None:
        assert np.isnan(index.images["age"][0])
        assert reasons(index, "00000001_000.png") == ["Patient Age is no age up to 120: left empty"]
    else:
        assert index.images["age"][0] == years
        assert index.problems.empty


@pytest.mark.parametrize(
    ("end", "known", "said"),
    [
        ("X,PA", ("", "PA"), ["Patient Gender is not M or F: left empty"]),
        ("F,LL", ("F", ""), ["View Position is not PA or AP: left empty"]),
        ("F,pa", ("F", ""), ["View Position is not PA or AP: left empty"]),
        (",", ("", ""), []),  # unknown, and nothing wrong
    ],
)
def test_a_sex_or_view_that_is_none_is_listed_and_left_empty(tmp_path, end, known, said):
    index = read(Layout(ends={"00000002_000.png": end}).write(tmp_path))
    assert len(index.images) == 6
    assert tuple(index.images.loc[2, ["sex", "view"]]) == known
    assert reasons(index, "00000002_000.png") == said


def test_all_that_is_unknown_of_a_film_is_listed_at_once(tmp_path):
    layout = Layout(ends={"00000002_000.png": "DOE^JANE,1933"})
    layout.rows[2] = "00000002_000.png,No Finding,0,2,414"
    index = read(layout.write(tmp_path))
    (said,) = reasons(index, "00000002_000.png")
    assert said.count("left empty") == 3
    assert "DOE" not in index.images.to_csv() + index.problems.to_csv()


def test_a_row_that_occurs_again_is_skipped_and_listed(tmp_path):
    layout = Layout()
    layout.rows.append("00000001_000.png,Mass,0,1,57")
    index = read(layout.write(tmp_path))
    assert index.expected == 6
    assert index.images["Mass"][0] == 0
    assert index.problems["field"].tolist() == ["Data_Entry_2017_v2020.csv line 8"]


def test_a_film_in_neither_list_or_in_both_is_skipped_and_listed(tmp_path):
    layout = Layout()
    layout.train_val.remove("00000002_000.png")
    layout.test += ["00000003_000.png", "00000004_000.png", "99999999_000.png"]
    index = read(layout.write(tmp_path))
    assert len(index.images) == 4
    assert reasons(index, "00000002_000.png") == ["in neither list: film skipped"]
    assert reasons(index, "00000003_000.png") == ["in both lists: film skipped"]
    assert reasons(index, "00000004_000.png") == ["occurs again in the list"]
    assert len(reasons(index, "99999999_000.png")) == 1


def test_nobody_of_the_test_list_is_trained_on(tmp_path):
    layout = Layout()
    layout.train_val.remove("00000001_001.png")
    layout.test.append("00000001_001.png")
    index = read(layout.write(tmp_path))
    assert index.images.loc[index.images["patient"] == 1, "fold"].tolist() == ["test"]
    assert "test list as well" in reasons(index, "00000001_000.png")[0]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ("00000004_000.png,Flu,1,1,10,10", "unknown finding"),
        ("00000004_000.png,Mass,nan,1,10,10", "finite"),
        ("00000004_000.png,Mass,1,inf,10,10", "finite"),
        ("00000004_000.png,Mass,1,1,wide,10", "finite"),
        ("00000004_000.png,Mass,1,1,10", "finite"),
        ("00000004_000.png,Mass,1,1,0,10", "positive"),
        ("00000004_000.png,Mass,1,1,10,-5", "positive"),
        ("00000004_000.png,Mass,1024,1,10,10", "wholly outside"),
        ("00000004_000.png,Mass,-20,-20,10,10", "wholly outside"),
        ("00000004_000.png,Mass,1e308,1,1e308,10", "wholly outside"),
        ("77777777_000.png,Mass,1,1,10,10", "no usable row names this film"),
        ("00000004_000.png,Mass,100.5,200.25,300,400", "the same box stands above"),
    ],
)
def test_a_bad_box_is_dropped_and_listed(tmp_path, box, reason):
    index = read(Layout(boxes=[*BOXES, box]).write(tmp_path))
    assert len(index.boxes) == 2
    assert reason in reasons(index, box.split(",")[0])[0]
    assert index.problems["field"][0].startswith("BBox_List_2017.csv line 4")


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((-10, 5, 30, 30), (0, 5, 20, 30)),
        ((1000, 1000, 100, 1e9), (1000, 1000, 24, 24)),
        ((-1e300, -5, 2e300, 2000), (0, 0, 1024, 1024)),
    ],
)
def test_a_box_that_reaches_outside_is_clipped_and_listed(tmp_path, box, clipped):
    row = "00000004_000.png,Nodule," + ",".join(map(str, box))
    index = read(Layout(boxes=[row, BOXES[0]]).write(tmp_path))
    assert tuple(index.boxes[["x", "y", "w", "h"]].iloc[0]) == clipped
    assert len(index.boxes) == 2
    assert "clipped" in reasons(index, "00000004_000.png")[0]


def test_a_box_for_a_label_that_the_film_lacks_is_kept_and_listed(tmp_path):
    index = read(Layout(boxes=["00000004_000.png,Effusion,1,1,9,9"]).write(tmp_path))
    assert len(index.boxes) == 1
    assert reasons(index, "00000004_000.png") == ["its film lacks this label: box kept"]


def test_a_box_file_without_a_usable_box_is_refused_with_the_commonest_reason(tmp_path):
    boxes = [f"images/{box}" for box in BOXES] + ["00000004_000.png,Mass,1,1,0,10"]
    root = Layout(boxes=boxes).write(tmp_path)
    with pytest.raises(DataError, match=r"BBox_List_2017\.csv has no usable row: no .* \(2 of 3 "):
        read(root)


def test_two_boxes_of_one_finding_are_both_kept(tmp_path):
    index = read(Layout(boxes=[*BOXES, "00000004_000.png,Mass,1,1,9,9"]).write(tmp_path))
    assert len(index.boxes) == 3
    assert index.problems.empty


def test_boxes_without_their_header_or_a_column_are_refused(tmp_path):
    path = tmp_path / "BBox_List_2017.csv"
    path.write_text("\n".join(BOXES))
    with pytest.raises(DataError, match=r"BBox_List_2017\.csv"):
        read_boxes(path)
    path.write_text("Image Index,Finding Label,x,y\na.png,Mass,1,2\n")
    with pytest.raises(DataError, match="x, y, w, h in this order"):
        read_boxes(path)


def test_a_wrong_root_says_what_was_looked_for(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    save(tmp_path / "films/00000001_000.png")
    for name, message in (
        ("absent", "does not exist"),
        ("file", "is a file"),
        ("empty", "is empty: put Data_Entry_2017_v2020.csv there.*nihcc"),
        ("films", "holds no Data_Entry_2017_v2020.csv or Data_Entry_2017.csv.*nihcc"),
    ):
        with pytest.raises(DataError, match=message):
            read(tmp_path / name)


OFFICIAL = (
    "Data_Entry_2017_v2020.csv",
    "BBox_List_2017.csv",
    "test_list.txt",
    "train_val_list.txt",
)


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_file_that_is_a_link_out_of_the_root_is_not_followed(tmp_path, name):
    path = Layout().write(tmp_path / "root") / name
    path.rename(path.with_suffix(".old"))
    path.symlink_to(path.with_suffix(".old"))
    assert read(tmp_path / "root").found == 6
    path.with_suffix(".old").rename(tmp_path / "elsewhere")
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=f"'{name}' is a link that leads out of"):
        read(tmp_path / "root")


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_absent_or_damaged_official_file_is_named(tmp_path, name):
    path = Layout().write(tmp_path) / name
    for content in (b"", b"\xff\xfe\xff", b"\n\n"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=name):
            read(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=name):
        read(tmp_path)


@pytest.fixture(scope="module")
def real_root() -> Path:
    if "CXR_REAL" not in os.environ:
        pytest.skip("CXR_REAL does not point at the real sample")
    return Path(os.environ["CXR_REAL"]) / "nih"


@pytest.fixture(scope="module")
def real(real_root: Path) -> CohortIndex:
    return read(real_root)


@pytest.mark.real
def test_the_real_sample_is_read_whole(real, real_root):
    assert real.expected == 112_120
    assert real.found == len(real.images) == len(list((real_root / "images").glob("*.png")))
    assert real.images["image"].is_monotonic_increasing
    assert len(real.problems) == real.expected - real.found
    assert real.problems["reason"].str.contains("not found").all()
    assert set(real.images["fold"]) == {"train", "val", "test"}
    learn = real.images[real.images["fold"] != "test"]
    assert (learn.groupby("patient")["fold"].nunique() == 1).all()


@pytest.mark.real
def test_the_real_boxes_are_all_read(real, real_root):
    boxes = read_boxes(real_root / "BBox_List_2017.csv")
    assert len(boxes) == 984
    assert boxes["image"].nunique() == 880
    assert boxes["image"].str[:8].nunique() == 726
    assert boxes["finding"].value_counts().to_dict() == {
        "Atelectasis": 180, "Effusion": 153, "Cardiomegaly": 146, "Infiltration": 123,
        "Pneumonia": 120, "Pneumothorax": 98, "Mass": 85, "Nodule": 79,
    }  # fmt: skip
    assert np.isfinite(boxes[["x", "y", "w", "h"]].to_numpy()).all()
    present = boxes[boxes["image"].isin(real.images["image"])]
    assert len(real.boxes) == len(present) > 0
    columns = ["image", "finding", "x", "y", "w", "h"]
    pd.testing.assert_frame_equal(real.boxes[columns], present[columns].reset_index(drop=True))
    assert (real.boxes["fold"] == "test").all()


@pytest.mark.real
def test_the_real_label_counts_are_the_known_ones(real_root, monkeypatch):
    names = pd.read_csv(real_root / "Data_Entry_2017_v2020.csv")["Image Index"]
    films = pd.Series("images/" + names.to_numpy(), index=names, dtype=object)
    monkeypatch.setattr(nih, "find_films", lambda root: (films, problem_table([])))
    whole = read(real_root)
    assert whole.problems.empty
    assert whole.found == 112_120
    assert len(whole.boxes) == 984
    assert whole.images["patient"].nunique() == 30_805
    assert (whole.images["fold"] == "test").sum() == 25_596
    val = (whole.images["fold"] == "val").sum()
    assert val / 86_524 == pytest.approx(0.12, abs=0.001)
    assert (whole.images.groupby("patient")["fold"].nunique() == 1).all()
    labels = whole.images[list(FINDINGS)]
    assert (labels.sum(axis=1) == 0).sum() == 60_361
    assert labels.sum().to_dict() == {
        "Infiltration": 19894, "Effusion": 13317, "Atelectasis": 11559, "Nodule": 6331,
        "Mass": 5782, "Pneumothorax": 5302, "Consolidation": 4667, "Pleural_Thickening": 3385,
        "Cardiomegaly": 2776, "Emphysema": 2516, "Edema": 2303, "Fibrosis": 1686,
        "Pneumonia": 1431, "Hernia": 227,
    }  # fmt: skip
