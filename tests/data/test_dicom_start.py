"""Data sets that come without DICOM's header are told from what is no DICOM at all."""

import io

import numpy as np
import pytest
from PIL import Image
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from data.dicom import read_dicom, read_dicom_facts
from data.dicom_start import is_dicom, why_no_image, without_header
from data.image_files import read_grey
from data.integrity import DataError
from tests.data.dicom_films import dicom, film, written


def alone(implicit: bool, little: bool = True, **fields: object) -> bytes:
    """The data set of a film, and nothing before it."""
    ds = dicom(film(), **fields)
    del ds.file_meta
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = little, implicit
    write_dataset(buffer, ds)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        alone(implicit=True),
        alone(implicit=False),
        alone(implicit=False, little=False),
        alone(implicit=True, SpecificCharacterSet="ISO_IR 100"),
        alone(implicit=False, ImageType=["ORIGINAL", "PRIMARY"]),
        written(dicom(film()))[128:],  # the preamble is away
        written(dicom(film()))[132:],  # and DICM too
    ],
)
def test_a_data_set_without_its_header_is_called_that(tmp_path, content):
    path = tmp_path / "film"
    path.write_bytes(content)
    assert not is_dicom(path)
    with pytest.raises(DataError, match="film: DICOM without its header"):
        read_grey(path)
    for read in (read_dicom, read_dicom_facts):
        with pytest.raises(DataError, match="film: DICOM without its header"):
            read(path)


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\x08", b"\x08\x00" * 2, b"\x08\x00\xff" * 9),
        *(bytes(500), b"no image", b"%PDF-1.7\n"),
        *map(picture, ("GIF", "BMP", "TIFF", "WEBP", "PNG")),
    ],
)  # fmt: skip
def test_nothing_else_is_called_dicom(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert without_header(tmp_path / "file") == ""
    assert why_no_image(tmp_path / "file") == "not a PNG or JPEG image"


def test_a_whole_dicom_file_where_a_png_belongs_is_called_that(tmp_path):
    (tmp_path / "film.png").write_bytes(written(dicom(film())))
    with pytest.raises(DataError, match=r"film\.png: DICOM, not a PNG or JPEG image"):
        read_grey(tmp_path / "film.png")
