"""Grey films from PNG and JPEG files, each refused with a reason where it is not whole.

They stand as viewers show them: cameras and scanners store pixels as the sensor lay, and in EXIF
how to turn them. Boxes and masks, which mostly carry no EXIF, are taken to lie on the film as it is
shown.
"""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from data.dicom_start import why_no_image
from data.integrity import DataError, check_file, printable
from data.whole_images import (
    JPEG_END,
    JPEG_SCAN,
    PNG_END,
    is_whole_png,
    jpeg_segments,
    png_chunks,
    with_more_data,
)

MAX_PIXELS = 64 * 1024**2  # ours: eight times the largest films of CR and DX detectors
MAX_BYTES = 2 * MAX_PIXELS + 16 * 1024**2  # ours: 16 bits a pixel, and room for a header
READABLE_FORMATS = ("PNG", "JPEG")  # ours: decoders of other formats are an attack surface
# What a small file may ask of a decoder: it is busy with each chunk, and with all pixels a scan.
MAX_PNG_CHUNKS = 100_000  # ours: 64 megapixels of 16 bits take 16,384 of the usual 8 KiB
MAX_JPEG_SCANS = 40  # ours: four times what progressive films have
MAX_JPEG_SEGMENTS = 10_000  # ours: 144 MB of segments take a quarter of them
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_GREY_OF_16_BITS = ((np.arange(65536) * 255 + 32767) // 65535).astype(np.uint8)

# Pillow warns of every entry of broken EXIF.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")

_BROKEN = (SyntaxError, ValueError, LookupError, TypeError, OSError, struct.error)
_TURNS = {  # 1 is upright
    2: (Image.Transpose.FLIP_LEFT_RIGHT, "mirrored left to right"),
    3: (Image.Transpose.ROTATE_180, "turned upside down"),
    4: (Image.Transpose.FLIP_TOP_BOTTOM, "mirrored top to bottom"),
    5: (Image.Transpose.TRANSPOSE, "mirrored left to right and turned a quarter anticlockwise"),
    6: (Image.Transpose.ROTATE_270, "turned a quarter clockwise"),
    7: (Image.Transpose.TRANSVERSE, "mirrored left to right and turned a quarter clockwise"),
    8: (Image.Transpose.ROTATE_90, "turned a quarter anticlockwise"),
}


def read_grey(path: Path) -> np.ndarray:
    """The film of ``read_film``, without how it was turned."""
    return read_film(path)[0]


def read_film(path: Path) -> tuple[np.ndarray, str]:
    """Grey film, uint8 (H, W), from a PNG or JPEG of any mode; and how it was turned, "" if not.

    As published, colour comes from ``convert("RGB")``, which drops alpha; the three channels are
    then weighted to one (the identity for grey films). 16-bit greys are scaled by 255/65535. The
    film is turned as its EXIF says; what stands in the file behind the image's end is ignored.
    Raises DataError if the file is absent, not such an image, damaged, over 64 megapixels, made to
    keep the decoder busy, or holds fewer pixels than its header says.
    A failing disk (any other errno) raises its OSError, for that says nothing about the film.
    """
    shown = printable(str(path))
    try:
        return _decode(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise DataError(f"{shown}: not found") from None
        if isinstance(error, PermissionError):
            raise DataError(f"{shown}: permission denied") from None
        if error.errno is not None:
            raise
        if isinstance(error, UnidentifiedImageError):
            raise DataError(f"{shown}: {why_no_image(path)}") from None
        raise DataError(f"{shown}: damaged or truncated: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{shown}: too large: {error}") from error
    except DataError as error:
        raise DataError(f"{shown}: {error}") from error.__cause__
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders let SyntaxError, zlib.error ... out
        raise DataError(f"{shown}: damaged: {error}") from error


def _decode(path: Path) -> tuple[np.ndarray, str]:
    if check_file(path, MAX_BYTES) == 0:
        raise DataError("the file is empty")
    stream = _image_alone(path.read_bytes())
    with Image.open(io.BytesIO(stream), formats=READABLE_FORMATS) as image:
        width, height = image.size
        if width < 1 or height < 1:
            raise DataError(f"the image has no pixels ({width} x {height})")
        if width * height > MAX_PIXELS:
            raise DataError(f"too large: {width} x {height} pixels, at most {MAX_PIXELS} are read")
        image.verify()  # checksums of all PNG chunks, which decoding alone skips
    with Image.open(io.BytesIO(stream), formats=READABLE_FORMATS) as image:
        grey = _grey(image)
        is_whole = is_whole_png if image.format == "PNG" else _same_with_more_data
        if not is_whole(stream, grey):
            raise DataError("damaged or truncated: fewer pixels than its header says")
        return _upright(grey, image)


def _same_with_more_data(jpeg: bytes, grey: np.ndarray) -> bool:
    with Image.open(io.BytesIO(with_more_data(jpeg)), formats=["JPEG"]) as image:
        return np.array_equal(_grey(image), grey)


def _grey(image: Image.Image) -> np.ndarray:
    image.load()
    if image.mode.startswith("I"):
        deep = np.asarray(image)
        return _GREY_OF_16_BITS[deep if deep.dtype == np.uint16 else deep.clip(0, 65535)]
    return np.array(image if image.mode == "L" else image.convert("RGB").convert("L"))


def _upright(grey: NDArray[np.uint8], image: Image.Image) -> tuple[NDArray[np.uint8], str]:
    """``grey`` (H, W), the pixels of the loaded ``image``, as viewers show it; and what was done to
    it, "" for nothing: where EXIF is absent or makes no sense."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except _BROKEN:
        return grey, ""
    if orientation not in _TURNS:
        return grey, ""
    method, done = _TURNS[orientation]
    turned = np.array(Image.fromarray(grey).transpose(method))
    return turned, f"{done}, as its EXIF orientation {orientation} says"


def _image_alone(content: bytes) -> bytes:
    """A PNG or JPEG without what follows its end.

    Before it is opened as an image, for that reads all chunks that precede the pixels.
    """
    if content.startswith(_PNG):
        for count, (kind, _, stop) in enumerate(png_chunks(content), 1):
            if count > MAX_PNG_CHUNKS:
                raise DataError(f"more than {MAX_PNG_CHUNKS} chunks: save the film anew")
            if kind == PNG_END:
                return content[:stop]
    elif content.startswith(_JPEG):
        scans = 0
        for count, (marker, _, stop) in enumerate(jpeg_segments(content), 1):
            scans += marker == JPEG_SCAN
            if scans > MAX_JPEG_SCANS:
                raise DataError(f"more than {MAX_JPEG_SCANS} scans: save the film anew")
            if count > MAX_JPEG_SEGMENTS:
                raise DataError(f"more than {MAX_JPEG_SEGMENTS} segments: save the film anew")
            if marker == JPEG_END:
                return content[:stop]
        raise DataError("damaged or truncated: the image lacks its end")
    return content
