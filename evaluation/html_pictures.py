"""Pictures as they stand in a page: within it, with words, films as small as they can be."""

import base64
import io
import struct
from dataclasses import dataclass
from functools import cached_property

_JPEG_QUALITY = 85
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows, in words. ``photo``: it shows films, so that a JPEG of it, where
    that is smaller, stands in the page. ValueError without words or for bytes that are no PNG."""

    alt: str
    png: bytes
    photo: bool = False

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError("a picture of the report needs an alternative text")
        if not self.png.startswith(PNG_SIGNATURE):
            raise ValueError(f"the picture {self.alt!r} is no PNG")

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height

    @property
    def uri(self) -> str:
        return data_uri(self.png, self.photo)


def data_uri(png: bytes, photo: bool = False) -> str:
    """A PNG as an address that holds it, of a ``photo`` as a JPEG where that is smaller."""
    kind = "png"
    if photo:
        from PIL import Image  # a comparison of runs has no photos, and need not wait for it

        image, buffer = Image.open(io.BytesIO(png)), io.BytesIO()
        image.convert("L" if image.mode == "L" else "RGB").save(
            buffer, "JPEG", quality=_JPEG_QUALITY
        )
        if len(buffer.getvalue()) < len(png):
            kind, png = "jpeg", buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(png).decode('ascii')}"
