"""Films and maps as the report's image browser shows them: a small PNG each, laid over each other.

A map is one PNG whose palette holds colours and opacities, so that the browser may dim it.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.localization import FRAME
from evaluation.method_names import method_label
from evaluation.overlays import OPACITY, Example, colours, measured, scale, shares

_LEVELS = 256


@dataclass(frozen=True)
class ImageBrowser:
    """Examples to leaf through; ``rule`` says how they were chosen. ValueError without any."""

    rule: str
    examples: Sequence[Example]

    def __post_init__(self) -> None:
        if not self.examples:
            raise ValueError("the image browser needs one film at least, got none")

    @property
    def opacity(self) -> int:
        """Where the slider starts, in percent: as in the figures."""
        return round(100 * OPACITY)

    @property
    def bar(self) -> str:
        """The colours from 0 to the maximum at full opacity, as a CSS gradient."""
        stops = _palette(9).tolist()
        return "linear-gradient(to right, {})".format(
            ", ".join(f"rgb({r} {g} {b} / {opacity / 255:.3f})" for r, g, b, opacity in stops)
        )

    @property
    def films(self) -> list[dict[str, Any]]:
        """What the page's script reads, plain JSON values; boxes as percentages of the film."""
        return [_film(example) for example in self.examples]


def _film(example: Example) -> dict[str, Any]:
    return {
        "image": example.image,
        "finding": example.finding,
        "headline": example.headline,
        "film": _uri(Image.fromarray(example.film)),
        "hung": example.hung,
        "boxes": [[round(100 * edge / FRAME, 3) for edge in box] for box in example.boxes],
        "maps": {
            method: {
                "label": method_label(method),
                "layer": _uri(layer(shares(heat))),
                "top": scale(method, heat).removeprefix("maximum ") or "its own maximum",
                "note": " · ".join(measured(example, method)),
            }
            for method, heat in example.maps.items()
        },
    }


def layer(share: NDArray[np.floating]) -> Image.Image:
    """A map's shares (S, S) in [0, 1] as a palette image, opaque where the share is 1."""
    levels = np.rint(np.asarray(share, np.float64) * (_LEVELS - 1)).astype(np.uint8)
    image = Image.fromarray(levels, "P")
    image.putpalette(_palette(_LEVELS).tobytes(), "RGBA")
    return image


def _palette(levels: int) -> NDArray[np.uint8]:
    """Red, green, blue and opacity (levels, 4) of shares from 0 to 1; the last is opaque."""
    shown = colours(np.linspace(0, 1, levels))
    shown[:, 3] /= OPACITY
    return np.rint(255 * shown).astype(np.uint8)


def _uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
