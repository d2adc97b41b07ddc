"""Whether all pixels that an image promises are in its file, where decoders do not say so.

Pillow leaves the rows that a PNG lacks black and fills up what a JPEG lacks with grey, without a
word, if checksums and the marker of the end are right: as in a film that was cut and saved again.
JPEG has no checksum: damage that leaves its length as it is remains unseen.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

JPEG_SCAN = b"\xff\xda"  # like the next two, cannot stand in compressed data
_JPEG_2000_DATA, _END = b"\xff\x93", b"\xff\xd9"
# Any data, behind each of the eight markers for which a decoder may wait.
_MORE = b"".join(
    np.random.default_rng(marker).integers(0, 255, 64, np.uint8).tobytes()
    + bytes((0xFF, 0xD0 + marker))
    for marker in range(8)
)
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # a pixel's, by the colour type of a PNG
# Columns and rows: first, step (PNG 1.2, 2.6).
_ADAM7 = (
    ((0, 8), (0, 8)),
    ((4, 8), (0, 8)),
    ((0, 4), (4, 8)),
    ((2, 4), (0, 4)),
    ((0, 2), (2, 4)),
    ((1, 2), (0, 2)),
    ((0, 1), (1, 2)),
)
_PIECE = 2**16  # bytes unpacked at a time


def has_end(stream: bytes) -> bool:
    """Of a JPEG, JPEG-LS or JPEG 2000 stream: the marker of its end stands behind its data."""
    return stream.rfind(_END) > max(stream.rfind(JPEG_SCAN), stream.rfind(_JPEG_2000_DATA))


def with_more_data(stream: bytes) -> bytes:
    """A JPEG with data before its end (``has_end``), of which no pixel of a whole one changes."""
    end = stream.rfind(_END)
    return stream[:end] + _MORE + stream[end:]


def is_whole_png(content: bytes, grey: NDArray[np.uint8]) -> bool:
    """All rows are there; ``grey`` (H, W) is what was decoded.

    Rows that are absent have one value, and of interlaced images the last but one is among them: a
    film in which both rows vary is not unpacked again.
    """
    last = grey[-2:]
    if (last != last[:, :1]).any(axis=1).all():
        return True
    missing, at, unpacker = _png_bytes(content[16:29]), 8, zlib.decompressobj()
    while missing > 0 and at < len(content):
        stop = at + 8 + int.from_bytes(content[at : at + 4], "big")
        piece = content[at + 8 : stop] if content[at + 4 : at + 8] == b"IDAT" else b""
        while piece and missing > 0:
            missing -= len(unpacker.decompress(piece, _PIECE))
            piece = unpacker.unconsumed_tail
        at = stop + 4
    return missing <= 0


def _png_bytes(header: bytes) -> int:
    """Of all rows, each with its filter's byte, by the data of IHDR."""
    width, height = (int.from_bytes(header[at : at + 4], "big") for at in (0, 4))
    bits, interlaced = header[8] * _SAMPLES[header[9]], header[12]
    passes = _ADAM7 if interlaced else (((0, 1), (0, 1)),)
    total = 0
    for columns, rows in passes:
        across, down = (
            len(range(columns[0], width, columns[1])),
            len(range(rows[0], height, rows[1])),
        )
        total += down * (1 + -(-across * bits // 8)) if across else 0
    return total
