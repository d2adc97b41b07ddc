"""How a DICOM film lies and what shape its pixels have (DICOM PS3.3 C.7.6.1.1.1, C.7.6.3.1.7)."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

SQUARE = 0.01  # ours: pixels whose sides differ by less are square
BELIEVED = 4.0  # ours: pixels longer than this many times their other side are a mistake
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
# Towards what the rows and the columns of a film run, where it is not the left and the feet.
_TURNED = {
    ("R", "F"): "mirrored: the image's left is the patient's left",
    ("R", "H"): "upside down: turned by half",
    ("L", "H"): "upside down: mirrored from top to bottom",
}
_SIDE_VIEW = "a side or oblique view: the models know frontal films"
_VIEWS = {
    **dict.fromkeys(("LL", "RL", "LLO", "RLO", "LAT", "LATERAL"), _SIDE_VIEW),
    **dict.fromkeys(("LLD", "RLD"), "the patient lay on the side: the models know upright films"),
}


def spacing(header: Dataset) -> tuple[float, float] | None:
    """mm between rows and between columns, on the patient's side of the tube or at the detector."""
    return _two_sides(header, "PixelSpacing") or _two_sides(header, "ImagerPixelSpacing")


def pixel_aspect(header: Dataset) -> float:
    """Height of a pixel by its width, 1 where it is square, not given or not to be believed."""
    aspect = _aspect(header)[1]
    return aspect if 1 / BELIEVED <= aspect <= BELIEVED else 1.0


def with_square_pixels(film: NDArray[np.uint8], aspect: float) -> NDArray[np.uint8]:
    """A film (H, W) with as many rows or columns fewer as its pixels are too flat or too thin."""
    if aspect == 1:
        return film
    height, width = film.shape
    size = (width, round(height * aspect)) if aspect < 1 else (round(width / aspect), height)
    size = (max(size[0], 1), max(size[1], 1))
    return np.asarray(Image.fromarray(film).resize(size, Image.Resampling.BILINEAR))


def geometry_doubts(header: Dataset) -> list[tuple[str, str]]:
    """(field, reason) of what the models do not expect: another side up, another view."""
    found = []
    if reason := _lie(header.get("PatientOrientation")):
        found.append(("PatientOrientation", reason))
    if reason := _VIEWS.get(str(header.get("ViewPosition", "")).strip().upper()):
        found.append(("ViewPosition", reason))
    field, aspect = _aspect(header)
    if aspect != pixel_aspect(header):
        found.append((field, f"pixels over {BELIEVED:g} times as long as wide: not believed"))
    return found


def _lie(orientation: str | Iterable[str] | None) -> str | None:
    ways = [orientation] if isinstance(orientation, str) else list(orientation or ())
    across, down = ([str(way).strip().upper()[:1] for way in ways] + ["", ""])[:2]
    if not across + down or (across, down) == ("L", "F"):
        return None
    if {across, down} & {"A", "P"}:
        return _SIDE_VIEW
    if across in ("H", "F") and down in ("L", "R"):
        return "on its side: the head is not at the top"
    return _TURNED.get((across, down), "not understood: which side is up is not known")


def _aspect(header: Dataset) -> tuple[str, float]:
    """What says it, and height by width of a pixel; exactly 1 for square ones."""
    for field in (*_SPACINGS, "PixelAspectRatio"):
        if sides := _two_sides(header, field):
            aspect = sides[0] / sides[1]
            return field, aspect if abs(np.log(aspect)) >= SQUARE else 1.0
    return "", 1.0


def _two_sides(header: Dataset, field: str) -> tuple[float, float] | None:
    try:
        down, across = (float(value) for value in header[field].value)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (down, across) if 0 < down < np.inf and 0 < across < np.inf else None
