"""Whether all pixels that an image promises are in its file, where decoders do not say so.

Pillow leaves the rows that a PNG lacks black and fills up what a JPEG lacks with grey, without a
word, if checksums and the marker of the end are right: as in a film that was cut and saved again.
JPEG has no checksum: damage that leaves its length as it is remains unseen.
"""

import re
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

JPEG_SCAN = b"\xff\xda"  # like the next three, cannot stand in compressed data
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
_JPEG_2000_DATA = b"\xff\x93"
_FILL = b"\xff"  # may stand before any marker
PNG_END = b"IEND"
# All but those that stand in compressed data (stuffing, restarts) and fill bytes before a marker.
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
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


def jpeg_segments(stream: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Marker, start and stop of each segment of a JPEG up to its end, whatever follows that.

    The end is that of the image itself: not one in a segment, as a thumbnail's in EXIF, nor one of
    what phones and scanners write behind it. A stream that breaks off, or in which another image
    begins first, yields no end.
    """
    stop = len(JPEG_START)
    while found := _MARKER.search(stream, stop):
        marker, start, stop = found[0], found.start(), found.end()
        if marker == JPEG_START:
            return
        if marker != JPEG_END:
            stop += max(int.from_bytes(stream[stop : stop + 2], "big"), 2)
        yield marker, start, stop
        if marker == JPEG_END:
            return


def png_chunks(stream: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and stop of each chunk of a PNG up to its end, whatever follows that."""
    start, kind = 8, b""
    while kind != PNG_END and start + 12 <= len(stream):
        kind = stream[start + 4 : start + 8]
        stop = start + 12 + int.from_bytes(stream[start : start + 4], "big")
        yield kind, start, stop
        start = stop


def has_end(stream: bytes) -> bool:
    """Of a JPEG, JPEG-LS or JPEG 2000 stream: the marker of its end stands behind its data."""
    return stream.rfind(JPEG_END) > max(stream.rfind(JPEG_SCAN), stream.rfind(_JPEG_2000_DATA))


def with_more_data(stream: bytes) -> bytes:
    """A JPEG with data behind those of each scan, of which no pixel of a whole one changes."""
    parts, at, in_scan = [], 0, False
    for marker, start, _ in jpeg_segments(stream):
        if in_scan:
            parts += [stream[at:start].rstrip(_FILL), _MORE]
            at = start
        in_scan = marker == JPEG_SCAN
    return b"".join(parts) + stream[at:]


def is_whole_png(content: bytes, grey: NDArray[np.uint8]) -> bool:
    """All rows are there; ``grey`` (H, W) is what was decoded.

    Rows that are absent have one value, and of interlaced images the last but one is among them: a
    film in which both rows vary is not unpacked again.
    """
    last = grey[-2:]
    if (last != last[:, :1]).any(axis=1).all():
        return True
    missing, unpacker = _png_bytes(content[16:29]), zlib.decompressobj()
    for kind, start, stop in png_chunks(content):
        piece = content[start + 8 : stop - 4] if kind == b"IDAT" else b""
        while piece and missing > 0:
            missing -= len(unpacker.decompress(piece, _PIECE))
            piece = unpacker.unconsumed_tail
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
