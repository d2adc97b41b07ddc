"""A secondary capture holds the picture and every mandatory element, and no patient."""

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from data.secondary_capture import write_secondary_capture

# Type 1 and 2 attributes of the modules that a Secondary Capture must have: DICOM PS3.3, A.8.1.
MANDATORY = {
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID"),
    *("AccessionNumber", "Modality", "SeriesInstanceUID", "SeriesNumber", "ConversionType"),
    *("InstanceNumber", "PatientOrientation", "SOPClassUID", "SOPInstanceUID"),
    *("SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns", "BitsAllocated"),
    *("BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration", "PixelData"),
}


@pytest.fixture(params=[(6, 4), (5, 3)], ids=["even", "odd"])
def picture(request) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*request.param, 3), dtype=np.uint8)


def test_the_picture_comes_back_and_every_mandatory_element_is_there(tmp_path, picture):
    path = tmp_path / "overlay.dcm"
    write_secondary_capture(path, picture, "IBA of Überblähung", text_excluded=True)
    item = dcmread(path)
    np.testing.assert_array_equal(item.pixel_array, picture)
    assert set(item.dir()) >= MANDATORY
    assert item.file_meta.MediaStorageSOPClassUID == SecondaryCaptureImageStorage
    assert item.file_meta.MediaStorageSOPInstanceUID == item.SOPInstanceUID
    assert item.DerivationDescription == "IBA of Überblähung"
    assert item.BurnedInAnnotation == "NO"


def test_nothing_stands_where_a_patient_or_a_study_would(tmp_path, picture):
    path = tmp_path / "overlay.dcm"
    write_secondary_capture(path, picture, "IBA", text_excluded=False)
    item = dcmread(path)
    of_people = (
        element
        for element in item
        if element.tag.group == 0x0010 or element.VR in ("PN", "DA", "TM", "DT", "SH", "AS")
    )
    assert not any(element.value for element in of_people)
    assert item.BurnedInAnnotation == "YES"


def test_two_captures_of_one_picture_are_two_studies(tmp_path, picture):
    names = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    uids = set()
    for number in range(2):
        path = tmp_path / str(number)
        write_secondary_capture(path, picture, "IBA", text_excluded=True)
        uids |= {str(dcmread(path)[name].value) for name in names}
    assert len(uids) == 6
    assert all(uid.startswith("2.25.") for uid in uids)


def test_a_file_that_is_there_stays(tmp_path, picture):
    path = tmp_path / "film.dcm"
    path.write_bytes(b"a film")
    with pytest.raises(FileExistsError):
        write_secondary_capture(path, picture, "IBA", text_excluded=True)
    assert path.read_bytes() == b"a film"
