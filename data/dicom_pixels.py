"""The pixels of a DICOM file, decoded by what survives damaged streams."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from data.image_files import MAX_JPEG_SCANS
from data.integrity import DataError
from data.isolated_decoding import decode_isolated
from data.whole_images import JPEG_SCAN, has_end, with_more_data

# Not gdcm wherever another can, which pydicom would ask first: damaged streams make it abort.
DECODERS = {
    **dict.fromkeys((JPEG2000Lossless, JPEG2000), "pylibjpeg"),
    **dict.fromkeys((JPEGLSLossless, JPEGLSNearLossless), "pyjpegls"),
    **dict.fromkeys((JPEGBaseline8Bit, JPEGExtended12Bit), "pillow"),
    **dict.fromkeys((JPEGLossless, JPEGLosslessSV1), "gdcm"),
    RLELossless: "pydicom",
}
# Beyond this many pixels, or bytes of them, a hostile stream takes gigabytes or minutes of these.
UNBOUNDED, ISOLATED_FROM = ("pylibjpeg", "pydicom"), 2**20
_JPEG_2000_SIZE = b"\xff\x4f\xff\x51"  # bare or in a JP2 file
# Ours: 393 real films read with the wrong sign are 1.18 times as rough as they are, or more.
CLEARLY, _LOOKED_AT = 1.05, 2**20  # times; pixels
START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # JPEG and JPEG-LS markers


def check_readable(syntax: UID) -> None:
    """Raises DataError, saying why, for what ``stored_pixels`` does not read."""
    if syntax == DeflatedExplicitVRLittleEndian:
        raise DataError("a deflated file: save it uncompressed")
    if syntax.is_compressed:
        if syntax not in DECODERS:
            raise DataError(f"{syntax.name} is not read: save it uncompressed")
        decoder = get_decoder(syntax)
        if DECODERS[syntax] not in decoder.available_plugins:
            missing = "; ".join(decoder.missing_dependencies)
            raise DataError(f"{syntax.name} lacks a decoder: {missing}")


def stored_pixels(path: Path, header: Dataset) -> NDArray[np.unsignedinteger]:
    """The BitsStored bits of each pixel, (H, W), whatever stands in the bits above.

    ``header`` is the file's, with its PixelData. Raises DataError, also where BitsStored or
    PixelRepresentation would cut the greys of a film in bands.
    """
    syntax = header.file_meta.TransferSyntaxUID
    try:
        if syntax.is_compressed and syntax != RLELossless:
            stream = get_frame(header.PixelData, 0, number_of_frames=1)
            if _codestream_shape(stream) != (header.Rows, header.Columns, 1):
                raise DataError(
                    "the compressed image has not the size of Rows and Columns, or several colours"
                )
            if stream.count(JPEG_SCAN) > MAX_JPEG_SCANS:
                raise DataError(f"more than {MAX_JPEG_SCANS} scans")
            if not has_end(stream):
                raise DataError("truncated: the compressed image lacks its end")
        decoder = DECODERS.get(syntax, "")
        largest = max(header.Rows * header.Columns, len(header.PixelData))
        if decoder == "gdcm" or (decoder in UNBOUNDED and largest > ISOLATED_FROM):
            pixels = decode_isolated(path, decoder)
        else:
            pixels = pixel_array(header, decoding_plugin=decoder, correct_unused_bits=False)
        if decoder == "pillow":
            with Image.open(io.BytesIO(with_more_data(stream)), formats=["JPEG"]) as image:
                if not np.array_equal(np.asarray(image), pixels):
                    raise DataError("truncated: fewer pixels than Rows and Columns")
    except (MemoryError, DataError):
        raise
    except Exception as error:
        raise DataError(f"pixel data damaged or truncated ({type(error).__name__})") from None
    bits = pixels.astype(f"u{pixels.itemsize}", copy=False)
    if header.BitsStored < 8 * bits.itemsize:
        bits = bits & bits.dtype.type(2**header.BitsStored - 1)
    if _in_bands(pixels, bits, header):
        raise DataError(
            "BitsStored or PixelRepresentation does not fit the pixels: read so, greys jump "
            "between black and white"
        )
    return bits


def _in_bands(pixels: NDArray, bits: NDArray[np.unsignedinteger], header: Dataset) -> bool:
    """Whether neighbours differ less where the film is read otherwise than its header says.

    That is, with the bits above BitsStored, or signed values as unsigned ones or the reverse where
    a JPEG 2000 stream does not agree with the header.
    """
    signed = header.PixelRepresentation == 1
    every = 1 + bits.size // _LOOKED_AT  # rows
    pixels = pixels[::every].astype(np.int64)
    unsigned = bits[::every].astype(np.int64)
    full = 2**header.BitsStored
    negative = unsigned - full * (unsigned >= full // 2)
    read = negative if signed else unsigned
    others = []
    if (pixels != read).any():
        others.append(pixels)
    if signed or _codestream_sign(header):
        others.append(unsigned if signed else negative)
    return any(CLEARLY * _roughness(other) < _roughness(read) for other in others)


def _roughness(values: NDArray[np.int64]) -> int:
    return int(np.abs(np.diff(values, axis=1)).sum())


def _codestream_sign(header: Dataset) -> bool:
    """Whether a JPEG 2000 stream says that its values are signed."""
    if header.file_meta.TransferSyntaxUID not in (JPEG2000, JPEG2000Lossless):
        return False
    stream = get_frame(header.PixelData, 0, number_of_frames=1)
    return stream[stream.find(_JPEG_2000_SIZE) + 42] >= 0x80


def _codestream_shape(frame: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and components that a JPEG, JPEG-LS or JPEG 2000 stream claims, None if none.

    Decoders allocate for these, whatever the header says.
    """
    size = frame.find(_JPEG_2000_SIZE)
    if size >= 0:
        x1, y1, x0, y0 = (
            int.from_bytes(frame[size + at : size + at + 4], "big") for at in (8, 12, 16, 20)
        )
        return y1 - y0, x1 - x0, int.from_bytes(frame[size + 40 : size + 42], "big")
    at = 2
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], int.from_bytes(frame[at + 2 : at + 4], "big")
        if marker in START_OF_FRAME:
            rows, columns = (int.from_bytes(frame[at + k : at + k + 2], "big") for k in (5, 7))
            return rows, columns, frame[at + 9]
        at += 1 if marker == 0xFF else 2 + length
    return None
