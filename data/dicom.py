"""DICOM films of CR and DX detectors: grey pixels and technical facts, nothing of the patient.

Only the elements of ``TECHNICAL`` are ever parsed. Messages quote no value of a header and no error
of the parser, for either may hold a name.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, JPEGExtended12Bit

from data.config import DicomScaling
from data.dicom_geometry import geometry_doubts, pixel_aspect, spacing, with_square_pixels
from data.dicom_pixels import check_readable, stored_pixels
from data.dicom_start import without_header
from data.greyscale import grey_of_stored, polarity_doubts, published_grey_of_stored
from data.image_files import MAX_BYTES, MAX_PIXELS
from data.integrity import DataError, check_file, printable

# pydicom's warnings quote paths and values.
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.ERROR)

WHOLE_NUMBERS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
TECHNICAL = (
    *WHOLE_NUMBERS,
    "SamplesPerPixel",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "PresentationLUTShape",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
    "PatientOrientation",
    "ViewPosition",
    "BurnedInAnnotation",
    "PixelData",
)


@dataclass(frozen=True)
class DicomFacts:
    """How a film is stored.

    spacing: mm between rows and between columns, None where the header gives none; on the patient's
        side of the tube if calibrated (PixelSpacing), else at the detector.
    aspect: height of a pixel by its width, 1 where no other one is known.
    text_excluded: BurnedInAnnotation is NO.
    doubts: (field, reason) of what a reader of the film should know.
    """

    rows: int
    columns: int
    bits_stored: int
    photometric: str
    spacing: tuple[float, float] | None
    aspect: float
    text_excluded: bool
    doubts: tuple[tuple[str, str], ...]


def read_dicom(
    path: Path, scaling: DicomScaling = DicomScaling.header
) -> tuple[NDArray[np.uint8], DicomFacts]:
    """Grey film, uint8 (H, W), 0 black, and how it was stored. Its pixels are square, so H or W is
    less than ``rows`` or ``columns`` where those stored are not.

    Raises a DataError that names the file and what is wrong with it, before anything is allocated
    for pixels that are too many. A failing disk raises its OSError.
    """
    with _named_errors(path):
        _check_file(path)
        header = dcmread(path, specific_tags=list(TECHNICAL))
        facts = _facts(header)
        stored = stored_pixels(path, header)
        if scaling is DicomScaling.published_code:
            grey = published_grey_of_stored(header, int(stored.max()))
        else:
            grey = grey_of_stored(header)
        return with_square_pixels(grey[stored], facts.aspect), facts


def read_dicom_facts(path: Path) -> DicomFacts:
    """How a film is stored, without decoding it. Raises as ``read_dicom``."""
    with _named_errors(path):
        _check_file(path)
        return _facts(dcmread(path, specific_tags=list(TECHNICAL), defer_size=4096))


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a film becomes a DataError that begins with its path."""
    try:
        yield
        return
    except MemoryError:
        raise
    except DataError as error:
        reason = str(error)
    except FileNotFoundError:
        reason = "not found"
    except PermissionError:
        reason = "permission denied"
    except InvalidDicomError:
        reason = without_header(path) or "not a DICOM file"
    except Exception as error:  # pydicom lets EOFError, struct.error, NotImplementedError ... out
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = f"damaged or truncated ({type(error).__name__})"
    raise DataError(f"{printable(str(path))}: {reason}") from None


def _check_file(path: Path) -> None:
    """Before the rest is read, for a deflated file unpacks to any size as it is opened."""
    if check_file(path, MAX_BYTES) == 0:
        raise DataError("the file is empty")
    syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    if not isinstance(syntax, UID) or not syntax.is_transfer_syntax:
        raise DataError("TransferSyntaxUID is absent or unknown")
    check_readable(syntax)


def _facts(header: Dataset) -> DicomFacts:
    """Everything that decides whether the film can be used, checked, and the rest."""
    if "PixelData" not in header:
        raise DataError("no pixel data, or cut off before its end")
    numbers = {name: header.get(name) for name in WHOLE_NUMBERS}
    for name, value in numbers.items():
        if not isinstance(value, int):
            raise DataError(f"{name} is absent or not a whole number")
    rows, columns, allocated, stored, high, signed = numbers.values()
    if rows < 1 or columns < 1:
        raise DataError(f"the image has no pixels ({columns} x {rows})")
    if rows * columns > MAX_PIXELS:
        raise DataError(f"too large: {columns} x {rows} pixels, at most {MAX_PIXELS} are read")
    frames = header.get("NumberOfFrames")
    if frames not in (None, "", 1):
        if isinstance(frames, int) and frames > 1:
            reason = "several frames"
        else:
            reason = f"NumberOfFrames is {'0' if frames == 0 else 'not a whole number above 0'}"
        raise DataError(f"{reason}: only single films are read")
    photometric = header.get("PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or header.get("SamplesPerPixel", 1) != 1:
        raise DataError(
            "PhotometricInterpretation is not MONOCHROME1 or MONOCHROME2 with one sample per pixel"
        )
    if allocated not in (8, 16) or not 1 <= stored <= allocated or high != stored - 1:
        raise DataError(
            f"BitsAllocated {allocated}, BitsStored {stored}, HighBit {high}: "
            "8 or 16 bits, of which the lowest are stored, are read"
        )
    if signed not in (0, 1):
        raise DataError("PixelRepresentation is not 0 or 1")
    if header.file_meta.TransferSyntaxUID == JPEGExtended12Bit and stored > 8:
        raise DataError("lossy JPEG of 12 bits is not read: save it uncompressed")
    text_excluded = header.get("BurnedInAnnotation") == "NO"
    text = [("BurnedInAnnotation", "not NO: text may be burned into the film")]
    return DicomFacts(
        rows=rows,
        columns=columns,
        bits_stored=stored,
        photometric=photometric,
        spacing=spacing(header),
        aspect=pixel_aspect(header),
        text_excluded=text_excluded,
        doubts=(
            *(text if not text_excluded else ()),
            *geometry_doubts(header),
            *polarity_doubts(header),
        ),
    )
