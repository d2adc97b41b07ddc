"""From thickness to grey: Beer-Lambert, scatter, quantum noise, and one fixed detector window."""

import cv2
import numpy as np
from numpy.typing import NDArray

from data.phantom.frame import Map

# Linear attenuation per mm at the effective energy of a chest film (about 60 keV).
WATER = 0.0195
LUNG = 0.27 * WATER  # inflated parenchyma
BONE = 0.043  # of cortical bone above the tissue that it replaces

DETECTOR_BLUR = 3  # pixels, side of the kernel: what a lesion changes stays within one pixel
WINDOW_CENTRE = 2.85  # attenuation shown as mid-grey
WINDOW_WIDTH = 0.64


def primary(attenuation: Map) -> Map:
    """I / I0 = exp(-integral of mu along the beam)."""
    return np.exp(-attenuation)


def scatter(transmitted: Map, fraction: float) -> Map:
    """Scattered light: a broad, faint copy of the transmitted beam."""
    side = transmitted.shape[0]
    small = cv2.resize(transmitted, (32, 32), interpolation=cv2.INTER_AREA)
    spread = cv2.GaussianBlur(small, (0, 0), 5.0, borderType=cv2.BORDER_REFLECT)
    full = cv2.resize(spread, (side, side), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.float32(fraction) * full, np.float32)


def detect(light: Map, quanta: float, noise: Map) -> Map:
    """Relative signal of a detector that counts `quanta` per pixel in the open beam.

    `noise` is a fixed standard normal field: films that differ in a lesion share it, so that
    they differ by the lesion alone (Poisson noise by common random numbers).
    """
    blurred = cv2.GaussianBlur(light, (DETECTOR_BLUR, DETECTOR_BLUR), 0.5)
    expected = np.float32(quanta) * blurred
    counted = expected + np.sqrt(expected) * noise
    return np.maximum(counted, 1) / np.float32(quanta)


def window(signal: Map) -> NDArray[np.uint8]:
    """Grey of a signal: the same S-shaped curve for every film, never stretched to its range."""
    depth = (-np.log(signal) - np.float32(WINDOW_CENTRE)) / np.float32(WINDOW_WIDTH)
    return np.rint(np.float32(255) / (1 + np.exp(-depth))).astype(np.uint8)
