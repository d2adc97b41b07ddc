"""Films turned as their EXIF says (PNG eXIf, JPEG APP1), so that they stand as viewers show them.

Cameras and scanners store pixels as the sensor lay, and beside them how to turn them. Boxes and
masks, which mostly carry no such tag, are taken to lie on the film as it is shown.
"""

import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

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


def upright(grey: NDArray[np.uint8], image: Image.Image) -> tuple[NDArray[np.uint8], str]:
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
