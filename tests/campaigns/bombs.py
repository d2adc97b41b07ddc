"""Small files that ask for much: gigabytes of memory, or minutes of a decoder's time."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import uid

from tests.data import dicom_films
from tests.models.test_inert_pickle import tuples_in_tuples

SIDE = 8192  # px: the largest square that is read at all
J2K_START = b"\xff\x4f\xff\x51"


def png(
    path: Path, side: int, bits: int = 8, colour: int = 0, rows: int = 1, extra: bytes = b""
) -> Path:
    """A black PNG that claims ``side``; ``rows`` of it are there."""
    channels = {0: 1, 6: 4}[colour]
    packer = zlib.compressobj(9)
    row = bytes(1 + side * channels * bits // 8)
    data = b"".join(packer.compress(row) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, bits, colour, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def jpeg_of_scans(path: Path, side: int, scans: int) -> Path:
    """A progressive JPEG whose last scan, over all of the film, comes again and again."""
    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content[content.rindex(b"\xff\xda") : -2]
    path.write_bytes(content[:-2] + last * scans + content[-2:])
    return path


def jpeg2000(path: Path, side: int, components: int = 1, precinct: int | None = None) -> Path:
    """A JPEG 2000 film of 64 px that claims ``side``, ``components`` and tiny precincts."""
    made = dicom_films.dicom(np.zeros((64, 64), np.uint16))
    made.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
    stream = dicom_films.frame(made)
    at = stream.index(J2K_START) + 4
    (length,) = struct.unpack(">H", stream[at : at + 2])
    size = struct.pack(
        ">HH8IH", 38 + 3 * components, 0, side, side, 0, 0, side, side, 0, 0, components
    )
    stream = stream[:at] + size + stream[at + 38 : at + 41] * components + stream[at + length :]
    if precinct is not None:
        at = stream.index(b"\xff\x52") + 2
        (length,) = struct.unpack(">H", stream[at : at + 2])
        style = bytearray(stream[at + 2 : at + length])
        style[0] |= 1
        style[6] = style[7] = 0  # code blocks of 4 x 4
        style = style[:10] + bytes([precinct * 17]) * (style[5] + 1)
        changed = struct.pack(">H", len(style) + 2) + bytes(style)
        stream = stream[:at] + changed + stream[at + length :]
    film = dicom_films.dicom(np.zeros((64, 64), np.uint16))
    film.Rows = film.Columns = side
    return dicom_films.encapsulated(path, film, uid.JPEG2000Lossless, stream)


def rle(path: Path, runs: int) -> Path:
    """A film of 64 px whose two planes unpack to 128 bytes a run."""
    run = b"\x81\0" * runs
    header = struct.pack("<16I", 2, 64, 64 + len(run), *[0] * 13)
    film = dicom_films.dicom(np.zeros((64, 64), np.uint16))
    return dicom_films.encapsulated(path, film, uid.RLELossless, header + run + run)


def jpeg_lossless(path: Path, side: int) -> Path:
    """64 px of JPEG Lossless that claim ``side``."""
    stream = bytearray(dicom_films.jpeg_lossless(np.full((64, 64), 2048, np.uint16), 12))
    at = stream.index(b"\xff\xc3") + 5
    stream[at : at + 4] = struct.pack(">HH", side, side)
    film = dicom_films.dicom(np.zeros((64, 64), np.uint16))
    film.Rows = film.Columns = side
    return dicom_films.encapsulated(path, film, uid.JPEGLosslessSV1, bytes(stream))


def dicom(path: Path, side: int, claimed: int | None = None) -> Path:
    film = dicom_films.dicom(np.zeros((side, side), np.uint16))
    film.Rows = film.Columns = claimed or side
    return dicom_films.write(path, film)


TEXT = zlib.compress(bytes(10**8), 9)
BOMBS: dict[str, Callable[[Path], Path]] = {
    "PNG of 60,000 px": lambda folder: png(folder / "a.png", 60_000),
    "PNG of 64 megapixels, RGBA of 16 bits": lambda folder: png(
        folder / "a.png", SIDE, 16, 6, SIDE
    ),
    "PNG with a text of 100 MB": lambda folder: png(
        folder / "a.png", 8, rows=8, extra=chunk(b"zTXt", b"a\0\0" + TEXT)
    ),
    "PNG of 16 px with 34 MB of pixels": lambda folder: png(folder / "a.png", 16, rows=2_000_000),
    "PNG of 11 million chunks": lambda folder: png(
        folder / "a.png", 8, rows=8, extra=chunk(b"vpAg", b"") * 11_000_000
    ),
    "JPEG of 50,000 scans": lambda folder: jpeg_of_scans(folder / "a.jpg", 8000, 50_000),
    "JPEG of 36 scans": lambda folder: jpeg_of_scans(folder / "a.jpg", SIDE, 30),
    "DICOM of Rows=65535": lambda folder: dicom(folder / "a.dcm", 64, 65_535),
    "DICOM of 64 megapixels": lambda folder: dicom(folder / "a.dcm", SIDE),
    "RLE that unpacks to 5 GB": lambda folder: rle(folder / "a.dcm", 20_000_000),
    "JPEG 2000 of 64 megapixels": lambda folder: jpeg2000(folder / "a.dcm", SIDE),
    "JPEG 2000 of 16,384 components": lambda folder: jpeg2000(folder / "a.dcm", SIDE, 16_384),
    "JPEG 2000 of precincts of 2 px": lambda folder: jpeg2000(folder / "a.dcm", 2048, precinct=1),
    "JPEG 2000 of precincts of 16 px": lambda folder: jpeg2000(folder / "a.dcm", SIDE, precinct=4),
    "JPEG Lossless that claims 64 megapixels": lambda folder: jpeg_lossless(folder / "a.dcm", SIDE),
    "pickle of tuples in tuples": lambda folder: tuples_in_tuples(folder / "a.pt"),
}
