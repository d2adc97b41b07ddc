"""What a file is by its first bytes, where DICOM comes with its header, without it, or not at all.

``DICM`` stands behind 128 bytes of any content. Archives and old programs leave both away, and with
them the encoding of what follows, so such a file is refused rather than guessed at.
"""

from contextlib import suppress
from pathlib import Path

_PREAMBLE, _MAGIC = 128, b"DICM"
# The first element of a data set: group 2, or 8, which sorts before all others of a film.
_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")  # the last in big-endian order
_LONGEST = 2**16  # ours: bytes of a first element without its type, which is some UID or date


def is_dicom(path: Path) -> bool:
    """Whether ``DICM`` stands in its place; not in a file that cannot be read."""
    with suppress(OSError):  # whoever reads it says what is wrong
        return _start(path)[_PREAMBLE:] == _MAGIC
    return False


def why_no_image(path: Path) -> str:
    """What to say of a file that is no PNG or JPEG. Raises OSError."""
    if is_dicom(path):
        return "DICOM, not a PNG or JPEG image"
    return without_header(path) or "not a PNG or JPEG image"


def without_header(path: Path) -> str:
    """What to say of a DICOM data set without its header; "" for anything else. Raises OSError."""
    start = _start(path)
    element, length = start[2:4], int.from_bytes(start[4:8], "little")
    typed = start[4:6].isalpha() and start[4:6].isupper()
    implicit = len(start) > 8 and length <= _LONGEST and length % 2 == 0
    begins = start[:2] in _GROUPS and b"\0" in element and (typed or implicit)
    if begins or start.startswith(_MAGIC):
        return "DICOM without its header (128 bytes, DICM, encoding): export it as a DICOM file"
    return ""


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_PREAMBLE + len(_MAGIC))
