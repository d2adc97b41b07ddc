"""A DICOM header full of a person: each field of who, where, when and by what, with marks to find.

What a run, or an explanation, leaves is searched for the marks.
"""

from functools import cache

from pydicom.config import IGNORE
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from data.dicom import TECHNICAL

# Long enough to stand in no weights and in no table by chance.
MARK, BORN, TIME = "QXZWVK", "19331225", "193312.254711"
NUMBER = f"{BORN}47"
GROUPS = (0x08, 0x10, 0x12, 0x18, 0x20, 0x32, 0x38, 0x40)
NEEDED = (*TECHNICAL, "SpecificCharacterSet", "SOPClassUID")
_TEXTS = ("AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT")


@cache
def patient_header() -> Dataset:
    """Every field of ``GROUPS`` that can hold a mark (2 bytes cannot), and private ones."""
    header, person = Dataset(), Dataset()
    person.PatientName, person.PatientID, person.PatientBirthDate = f"{MARK}^A", MARK, BORN
    numbers = {"UL": int(NUMBER), "SL": int(NUMBER), "UV": int(NUMBER), "FD": float(NUMBER)}
    for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
        value_of = {
            **dict.fromkeys(_TEXTS, f"{MARK}{tag:08X}"),
            **dict.fromkeys(("DA", "DT"), BORN),
            **dict.fromkeys(("DS", "IS"), NUMBER),
            **numbers,
            "TM": TIME,
            "UI": f"1.2.{NUMBER}",
            "OB": MARK.encode(),
            "SQ": [person],
        }
        if tag >> 16 in GROUPS and vr in value_of and not retired and keyword not in NEEDED:
            header.add(DataElement(tag, vr, value_of[vr], validation_mode=IGNORE))
    block = header.private_block(0x11, f"{MARK} MAKER", create=True)
    for element, (vr, value) in enumerate(
        [("LO", MARK), ("UN", MARK.encode()), ("DA", BORN), ("SQ", [person])], 1
    ):
        block.add_new(element, vr, value)
    return header


def fill_with_a_patient(film: Dataset) -> None:
    film.update(patient_header())
    film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID


def marks_in(content: bytes) -> list[str]:
    return [mark for mark in (MARK, BORN, TIME) if mark.encode() in content]
