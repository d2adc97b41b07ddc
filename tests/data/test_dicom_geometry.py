"""How DICOM films lie, and pixels that are not square."""

import itertools

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from data.dicom import read_dicom
from data.dicom_geometry import geometry_doubts, pixel_aspect, spacing
from tests.data.dicom_films import dicom, write


def header(**fields: object) -> Dataset:
    ds = Dataset()
    for name, value in fields.items():
        setattr(ds, name, value)
    return ds


@pytest.mark.parametrize(
    ("orientation", "reason"),
    [
        (["R", "F"], "mirrored"),
        *((each, "upside down") for each in (["R", "H"], ["L", "H"], ["LA", "HR"])),
        *((list(each), "on its side") for each in itertools.product("HF", "LR")),
        *((list(each), "side or oblique view") for each in itertools.product("AP", "HF")),
        *((list(each), "side or oblique view") for each in itertools.product("LRHF", "AP")),
        (["AL", "F"], "side or oblique view"),
        *((each, "not understood") for each in ("L", ["L", "L"], ["LE", "V"], ["X", "Y"], "R")),
    ],
)
def test_a_film_that_does_not_lie_as_the_models_know_it_is_told(orientation, reason):
    ((field, told),) = geometry_doubts(header(PatientOrientation=orientation))
    assert field == "PatientOrientation"
    assert reason in told


@pytest.mark.parametrize("orientation", [["L", "F"], ["LF", "FR"], "", None, ["", ""]])
def test_an_upright_film_and_one_that_does_not_say_are_not_told(orientation):
    assert geometry_doubts(header(PatientOrientation=orientation)) == []
    assert geometry_doubts(header(ViewPosition="PA")) == geometry_doubts(Dataset()) == []


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("view", ["LL", "RL", "LLO", "RLO", "LATERAL", "lat", "LLD", "RLD"])
def test_views_other_than_frontal_and_upright_are_told(view):
    doubts = geometry_doubts(header(ViewPosition=view))
    assert [field for field, _ in doubts] == ["ViewPosition"]


@pytest.mark.parametrize(
    ("fields", "aspect"),
    [
        ({"PixelSpacing": ["0.4", "0.2"]}, 2),
        ({"PixelSpacing": ["0.2", "0.4"]}, 0.5),
        ({"ImagerPixelSpacing": ["0.3", "0.2"]}, 1.5),
        ({"NominalScannedPixelSpacing": ["0.3", "0.2"]}, 1.5),
        ({"PixelAspectRatio": ["2", "1"]}, 2),
        ({"PixelAspectRatio": ["3", "4"]}, 0.75),
        ({"PixelSpacing": ["0.2", "0.2"], "PixelAspectRatio": ["2", "1"]}, 1),
        ({"PixelSpacing": ["0.143", "0.1435"]}, 1),
        ({"PixelSpacing": ["0", "0.2"], "PixelAspectRatio": ["1", "2"]}, 0.5),
        ({"PixelAspectRatio": ["0", "0"]}, 1),
        ({}, 1),
    ],
)
def test_a_square_stays_square_on_a_film_whose_pixels_are_not(tmp_path, fields, aspect):
    assert pixel_aspect(header(**fields)) == pytest.approx(aspect)
    square = np.zeros((240, 240), np.uint8)
    square[60:180, 60:180] = 200
    stored = Image.fromarray(square).resize(
        (round(240 * max(aspect, 1)), round(240 / min(aspect, 1))), Image.Resampling.BOX
    )
    pixels = np.array(stored)
    grey, facts = read_dicom(write(tmp_path / "a.dcm", dicom(pixels, 8, **fields)))
    assert (facts.rows, facts.columns) == pixels.shape
    assert grey.shape == (240, 240)
    assert (grey > 100).any(axis=0).sum() == (grey > 100).any(axis=1).sum() == 120
    assert facts.doubts == ()


def test_pixels_like_needles_are_told_and_not_believed(tmp_path):
    pixels = np.zeros((30, 20), np.uint8)
    ds = dicom(pixels, 8, PixelSpacing=["0.143", "143"])
    grey, facts = read_dicom(write(tmp_path / "a.dcm", ds))
    assert grey.shape == (30, 20)
    assert [field for field, _ in facts.doubts] == ["PixelSpacing"]


def test_a_film_of_one_row_is_not_scaled_away(tmp_path):
    ds = dicom(np.zeros((1, 20), np.uint8), 8, PixelAspectRatio=["1", "4"])
    assert read_dicom(write(tmp_path / "a.dcm", ds))[0].shape == (1, 20)
    assert spacing(ds) is None
