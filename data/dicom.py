"""DICOM films of CR and DX detectors: grey pixels and technical facts, nothing of the patient.

Only the elements of ``TECHNICAL`` are ever parsed. Messages quote no value of a header and no error
of the parser, for either may hold a name.
"""

import logging
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import get_decoder
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, RLELossless

from data.config import DicomScaling
from data.greyscale import grey_of_stored, has_window, published_grey_of_stored
from data.integrity import MAX_PIXELS, DataError, printable

# pydicom's warnings quote paths and values.
warnings.filterwarnings("ignore", category=UserWarning, module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.ERROR)

MAX_BYTES = 2 * MAX_PIXELS + 16 * 1024**2  # ours: 16 bits a pixel, and room for a header
START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # JPEG and JPEG-LS markers
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
    "PixelSpacing",
    "ImagerPixelSpacing",
    "PatientOrientation",
    "BurnedInAnnotation",
    "PixelData",
)


class DicomError(DataError):
    """A DICOM file that cannot be used."""


class NoPixelData(DicomError):
    """It holds no image, or not the whole of a compressed one."""


class UnknownPhotometricInterpretation(DicomError):
    """Its values are not one grey each."""


class MultiFrame(DicomError):
    """It holds several images."""


class DamagedPixelData(DicomError):
    """Its pixels end early, or are not those that the header announces."""


class TooManyPixels(DicomError):
    """Decoding it would fill the memory."""


class UnsupportedTransferSyntax(DicomError):
    """No installed decoder reads its compression."""


@dataclass(frozen=True)
class DicomFacts:
    """How a film is stored.

    spacing: mm between rows and between columns, None where the header gives none; on the patient's
        side of the tube if calibrated (PixelSpacing), else at the detector.
    window: "VOI LUT", "window" or "stored range", of which ``DicomScaling.header`` makes the grey.
    mirrored: the image's left is the patient's left (PatientOrientation); None if it does not say.
    text_excluded: BurnedInAnnotation is NO.
    """

    rows: int
    columns: int
    bits_stored: int
    photometric: str
    transfer_syntax: str
    window: str
    spacing: tuple[float, float] | None
    mirrored: bool | None
    text_excluded: bool

    @property
    def doubts(self) -> list[tuple[str, str]]:
        """(field, reason) of what a reader of the film should know."""
        found = []
        if not self.text_excluded:
            found.append(("BurnedInAnnotation", "not NO: text may be burned into the film"))
        if self.mirrored:
            found.append(("PatientOrientation", "mirrored: the image's left is the patient's left"))
        return found


def read_dicom(
    path: Path, scaling: DicomScaling = DicomScaling.header
) -> tuple[NDArray[np.uint8], DicomFacts]:
    """Grey film, uint8 (H, W), 0 black, and how it was stored.

    Raises a DicomError that names the file and what is wrong with it: one of the classes above
    where they say it, and before anything is allocated for pixels that are too many. A failing disk
    raises its OSError.
    """
    with _named_errors(path):
        syntax = _transfer_syntax(path)
        header = dcmread(path, specific_tags=list(TECHNICAL))
        facts = _facts(header, syntax)
        stored = _stored_pixels(header)
        if scaling is DicomScaling.published_code:
            grey = published_grey_of_stored(header, int(stored.max()))
        else:
            grey = grey_of_stored(header)
        return grey[stored], facts


def read_dicom_facts(path: Path) -> DicomFacts:
    """How a film is stored, without decoding it. Raises as ``read_dicom``."""
    with _named_errors(path):
        syntax = _transfer_syntax(path)
        return _facts(dcmread(path, specific_tags=list(TECHNICAL), defer_size=4096), syntax)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a film becomes a DicomError that begins with its path."""
    reason: DataError
    try:
        yield
        return
    except DataError as error:
        reason = error
    except FileNotFoundError:
        reason = DicomError("not found")
    except PermissionError:
        reason = DicomError("permission denied")
    except InvalidDicomError:
        reason = DicomError("not a DICOM file")
    except MemoryError:
        raise
    except Exception as error:  # pydicom lets EOFError, struct.error, NotImplementedError ... out
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = DicomError(f"damaged or truncated ({type(error).__name__})")
    kind = type(reason) if isinstance(reason, DicomError) else DicomError
    raise kind(f"{printable(str(path))}: {reason}") from None


def _transfer_syntax(path: Path) -> UID:
    """Known before the rest is read, for a deflated file unpacks to any size as it is opened."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DicomError("not a regular file")
    if status.st_size == 0:
        raise DicomError("the file is empty")
    if status.st_size > MAX_BYTES:
        raise TooManyPixels(f"too large: {status.st_size} bytes, at most {MAX_BYTES} are read")
    syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    if not isinstance(syntax, UID) or not syntax.is_transfer_syntax:
        raise UnsupportedTransferSyntax("TransferSyntaxUID is absent or unknown")
    if syntax == DeflatedExplicitVRLittleEndian:
        raise UnsupportedTransferSyntax("a deflated file: save it uncompressed")
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise UnsupportedTransferSyntax(f"{syntax.name} is no format of single films") from None
    if not decoder.is_available:
        missing = "; ".join(decoder.missing_dependencies)
        raise UnsupportedTransferSyntax(f"{syntax.name} needs a decoder: {missing}")
    return syntax


def _facts(header: Dataset, syntax: UID) -> DicomFacts:
    """Everything that decides whether the film can be used, checked, and the rest."""
    if "PixelData" not in header:
        raise NoPixelData("no pixel data, or cut off before its end")
    numbers = {name: header.get(name) for name in WHOLE_NUMBERS}
    for name, value in numbers.items():
        if not isinstance(value, int):
            raise DicomError(f"{name} is absent or not a whole number")
    rows, columns, allocated, stored, high, signed = numbers.values()
    if rows < 1 or columns < 1:
        raise NoPixelData(f"the image has no pixels ({columns} x {rows})")
    if rows * columns > MAX_PIXELS:
        raise TooManyPixels(f"too large: {columns} x {rows} pixels, at most {MAX_PIXELS} are read")
    if header.get("NumberOfFrames") not in (None, "", 1):
        raise MultiFrame("several frames: only single films are read")
    photometric = header.get("PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or header.get("SamplesPerPixel", 1) != 1:
        raise UnknownPhotometricInterpretation(
            "PhotometricInterpretation is not MONOCHROME1 or MONOCHROME2 with one sample per pixel"
        )
    if allocated not in (8, 16) or not 1 <= stored <= allocated or high != stored - 1:
        raise DicomError(
            f"BitsAllocated {allocated}, BitsStored {stored}, HighBit {high}: "
            "8 or 16 bits, of which the lowest are stored, are read"
        )
    if signed not in (0, 1):
        raise DicomError("PixelRepresentation is not 0 or 1")
    orientation = header.get("PatientOrientation")
    towards = str(orientation[0])[:1] if orientation else ""
    return DicomFacts(
        rows=rows,
        columns=columns,
        bits_stored=stored,
        photometric=photometric,
        transfer_syntax=syntax.name,
        window="VOI LUT"
        if header.get("VOILUTSequence")
        else "window"
        if has_window(header)
        else "stored range",
        spacing=_spacing(header),
        mirrored={"L": False, "R": True}.get(towards),
        text_excluded=header.get("BurnedInAnnotation") == "NO",
    )


def _spacing(header: Dataset) -> tuple[float, float] | None:
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            between_rows, between_columns = (float(value) for value in header[name].value)
        except (KeyError, TypeError, ValueError):
            continue
        if 0 < between_rows < np.inf and 0 < between_columns < np.inf:
            return between_rows, between_columns
    return None


def _stored_pixels(header: Dataset) -> NDArray[np.unsignedinteger]:
    """The BitsStored bits of each pixel, (H, W), whatever stands in the bits above."""
    syntax = header.file_meta.TransferSyntaxUID
    try:
        if syntax.is_compressed and syntax != RLELossless:
            size = _codestream_size(get_frame(header.PixelData, 0, number_of_frames=1))
            if size != (header.Rows, header.Columns):
                raise DamagedPixelData("the compressed image has not the size of Rows and Columns")
        pixels = header.pixel_array
    except (MemoryError, DicomError):
        raise
    except Exception as error:
        raise DamagedPixelData(
            f"pixel data damaged or truncated ({type(error).__name__})"
        ) from None
    bits = pixels.astype(f"u{pixels.itemsize}", copy=False)
    if header.BitsStored >= 8 * bits.itemsize:
        return bits
    return bits & bits.dtype.type(2**header.BitsStored - 1)


def _codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that a JPEG, JPEG-LS or JPEG 2000 stream claims, None if it claims none.

    Decoders allocate for these, whatever the header says.
    """
    size = frame.find(b"\xff\x4f\xff\x51")  # JPEG 2000, bare or in a JP2 file
    if size >= 0:
        x1, y1, x0, y0 = (
            int.from_bytes(frame[size + at : size + at + 4], "big") for at in (8, 12, 16, 20)
        )
        return y1 - y0, x1 - x0
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker in START_OF_FRAME:
            rows, columns = (int.from_bytes(frame[at + k : at + k + 2], "big") for k in (5, 7))
            return rows, columns
        at += 1 if marker == 0xFF else 2 + length
    return None
