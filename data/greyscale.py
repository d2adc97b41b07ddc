"""From stored DICOM values to grey: modality, value of interest, polarity (DICOM PS3.3 C.11).

A film of 16 bits has at most 65,536 stored values, so the whole chain is worked out once for each
of them and the film is looked up in the result.
"""

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from data.integrity import DataError

PUBLISHED_RANGES = (4095, 65535)  # published code: full scale of the first that holds the maximum


def grey_of_stored(header: Dataset) -> NDArray[np.uint8]:
    """Grey of every stored value, uint8 (2**BitsStored,), by its bits (negative ones behind).

    Modality LUT or rescale; then the first VOI LUT, else the first window (LINEAR, LINEAR_EXACT or
    SIGMOID), else the whole range that BitsStored can hold; MONOCHROME1 is inverted. 0 is black.
    Raises DataError naming the field that makes no sense.
    """
    values = _modality(stored_values(header), header)
    means = shown_by(header)
    if means == "VOI LUT":
        shown, bits = _look_up(values, header.VOILUTSequence[0], "VOILUTSequence")
        share = shown / (2.0**bits - 1)
    elif means == "window":
        share = _window(values, header)
    else:
        low, high = float(values.min()), float(values.max())
        if not low < high:
            raise DataError("RescaleSlope or the modality LUT makes all values the same")
        share = (values - low) / (high - low)
    grey = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
    return 255 - grey if header.PhotometricInterpretation == "MONOCHROME1" else grey


def published_grey_of_stored(header: Dataset, maximum: int) -> NDArray[np.uint8]:
    """The same as the authors scale a film whose greatest stored value is ``maximum``.

    255/4095 or 255/65535 of the stored value, cut to whole numbers, MONOCHROME1 inverted; no
    window. Films of 13 to 15 bits come out dark. Raises DataError for signed values.
    """
    if header.PixelRepresentation:
        raise DataError("PixelRepresentation is signed: scale as the header says")
    full = next((full for full in PUBLISHED_RANGES if maximum <= full), PUBLISHED_RANGES[-1])
    values = stored_values(header).clip(0, full)
    grey = (values * 255 // full).astype(np.uint8)
    return 255 - grey if header.PhotometricInterpretation == "MONOCHROME1" else grey


def stored_values(header: Dataset) -> NDArray[np.int64]:
    """Number that each pattern of BitsStored bits stands for, (2**BitsStored,)."""
    count = 2**header.BitsStored
    values = np.arange(count, dtype=np.int64)
    if header.PixelRepresentation:
        values[count // 2 :] -= count
    return values


def shown_by(header: Dataset) -> str:
    """What decides which values are shown: "VOI LUT", "window" or "stored range"."""
    if header.get("VOILUTSequence"):
        return "VOI LUT"
    window = (header.get(name) for name in ("WindowCenter", "WindowWidth"))
    return "stored range" if any(value in (None, "") for value in window) else "window"


def polarity_doubts(header: Dataset) -> list[tuple[str, str]]:
    """(field, reason) where PresentationLUTShape has not the one value that fits (C.8.11.3)."""
    unfit = {"MONOCHROME1": "IDENTITY", "MONOCHROME2": "INVERSE"}
    if header.get("PresentationLUTShape") != unfit.get(header.get("PhotometricInterpretation")):
        return []
    reason = "contradicts PhotometricInterpretation, which is followed: the film may be a negative"
    return [("PresentationLUTShape", reason)]


def _modality(values: NDArray[np.int64], header: Dataset) -> NDArray:
    if header.get("ModalityLUTSequence"):
        return _look_up(values, header.ModalityLUTSequence[0], "ModalityLUTSequence")[0]
    slope = _number(header, "RescaleSlope", 1.0)
    return values * slope + _number(header, "RescaleIntercept", 0.0)


def _window(values: NDArray, header: Dataset) -> NDArray[np.float64]:
    """Share of full brightness (C.11.2.1.2, C.11.2.1.3)."""
    centre, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    function = header.get("VOILUTFunction") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise DataError("VOILUTFunction is not LINEAR, LINEAR_EXACT or SIGMOID")
    if width < 1 if function == "LINEAR" else width <= 0:
        raise DataError("WindowWidth is too small")
    if function == "SIGMOID":
        return 1 / (1 + np.exp((-4 * (values - centre) / width).clip(-700, 700)))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float64)
    return (values - centre) / width + 0.5


def _look_up(values: NDArray, item: Dataset, name: str) -> tuple[NDArray[np.int64], int]:
    """The table's entries for ``values``, and the bits of full scale; values beyond take its ends.

    Full scale is that of the largest entry where the descriptor declares more bits. Not pydicom's,
    which wraps around where entries have fewer bits than there are of them.
    """
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count = count % 65536 or 65536  # also of a descriptor that was written as signed
    table = _entries(item, count)
    if not 1 <= bits <= 16 or len(table) != count:
        raise DataError(f"{name}: LUTDescriptor and LUTData do not fit together")
    low, high = values.min(), values.max()
    if first > high or first < 0 <= low:  # beside the values: written as unsigned, or as signed
        other = first - 65536 if first > high else first + 65536
        first = other if low - count < other <= high else first
    shown = table[(values - first).clip(0, count - 1).astype(np.int64)]
    return shown, min(bits, max(int(table.max()).bit_length(), 1))


def _entries(item: Dataset, count: int) -> NDArray[np.int64]:
    """LUTData as unsigned numbers, whatever its VR; two of 8 bits may share a word (PS3.5, 8.2)."""
    data = item.LUTData
    if isinstance(data, bytes):
        swapped = item["LUTData"].VR == "OW" and item.original_encoding[1] is False
        words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2" if swapped else "<u2")
    else:
        words = np.atleast_1d(np.asarray(data)).astype(np.int64) & 0xFFFF
    if len(words) != count and len(words) == -(-count // 2):
        words = words.astype("<u2").view(np.uint8)[:count]
    return words.astype(np.int64)


def _number(header: Dataset, name: str, default: float | None = None) -> float:
    """The first value of a field as a finite number."""
    value = header.get(name)
    if value in (None, "") and default is not None:
        return default
    first = value[0] if isinstance(value, MultiValue) and value else value
    try:
        number = float(first)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise DataError(f"{name} is not a number")
    return number
