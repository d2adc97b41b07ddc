"""A picture as a DICOM Secondary Capture that holds nothing of any patient or study."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

# Type 2 attributes of the Secondary Capture's modules (DICOM PS3.3, A.8.1): there, and empty.
_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber"),
    *("SeriesNumber", "InstanceNumber", "PatientOrientation", "Manufacturer"),
)


def write_secondary_capture(
    path: Path, picture: NDArray[np.uint8], derivation: str, *, text_excluded: bool
) -> None:
    """Writes ``picture``, RGB (H, W, 3), with new UIDs into a new file.

    ``derivation``: what was done, at most 1024 characters (DerivationDescription).
    ``text_excluded``: whether it is known that the film below bears no text that names the patient;
    where it is not, BurnedInAnnotation is YES. Raises FileExistsError.
    """
    item = Dataset()
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item.SpecificCharacterSet = "ISO_IR 192"
    item.SOPClassUID = SecondaryCaptureImageStorage
    for name in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(item, name, generate_uid(prefix=None))  # random: tells of no machine and no film
    item.file_meta.MediaStorageSOPClassUID = item.SOPClassUID
    item.file_meta.MediaStorageSOPInstanceUID = item.SOPInstanceUID
    for name in _EMPTY:
        setattr(item, name, None)
    item.Modality = "OT"
    item.ConversionType = "WSD"  # made on a workstation
    item.ImageType = ["DERIVED", "SECONDARY"]
    item.SeriesDescription = "Explanation of a model, research only"
    item.DerivationDescription = derivation
    item.BurnedInAnnotation = "NO" if text_excluded else "YES"
    item.Rows, item.Columns, item.SamplesPerPixel = picture.shape
    item.PhotometricInterpretation, item.PlanarConfiguration = "RGB", 0
    item.BitsAllocated = item.BitsStored = 8
    item.HighBit, item.PixelRepresentation = 7, 0
    pixels = picture.tobytes()
    item.PixelData = pixels + b"\0" * (len(pixels) % 2)
    item.save_as(path, enforce_file_format=True, overwrite=False)
