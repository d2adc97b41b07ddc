"""Films in pairs, with and without one finding: what the finding changes, to the pixel.

A finding's mask is what a reader would outline; its causal mask is where its removal changes the
film: of a large heart, where it has grown wider or thicker.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data.phantom.causal import causal_mask
from data.phantom.nih_layout import CHANGES, mask_name


@dataclass(frozen=True)
class Pair:
    """`film` and the same `without` the finding, uint8 (side, side); `causal`, bool, where the two
    differ, by `causal.causal_mask`."""

    film: NDArray[np.uint8]
    without: NDArray[np.uint8]
    causal: NDArray[np.bool_]


def pair_of(film: NDArray[np.uint8], change: NDArray[np.uint8]) -> Pair:
    """From a film and its change (film minus film without, modulo 256), both (side, side)."""
    return Pair(film, film - change, causal_mask(film, change))


def read_pair(folder: Path, image: str, finding: str) -> Pair:
    """The pair of a test film of a rendered phantom set and a finding on it.

    Raises FileNotFoundError where the set holds no such film, or the film not that finding.
    """
    film = _read(folder / "images" / image)
    return pair_of(film, _read(folder / CHANGES / mask_name(image, finding)))


def _read(path: Path) -> NDArray[np.uint8]:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.exists() else None
    if pixels is None:
        raise FileNotFoundError(
            f"{path} is absent: pairs exist for the findings of the test films of rendered phantoms"
        )
    return np.asarray(pixels, np.uint8)
