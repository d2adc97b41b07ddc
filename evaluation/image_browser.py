"""Films and maps as the report's image browser shows them: small pictures, laid over each other.

A map is one PNG whose palette holds colours and opacities, so that the browser may dim it.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from evaluation.html_pictures import data_uri
from evaluation.localization import FRAME
from evaluation.method_names import method_label
from evaluation.overlays import OPACITY, Example, ScoredZones, colours, measured, scale, shares

LEVELS = 64  # of a map, which the eye does not tell from 256 and which take half the bytes
_ZONE, _MARKED = (210, 210, 210, 150), (125, 249, 255, 255)  # outlines of zones
TYPICAL, WORST, BEST = "typical", "worst", "best"
ROLES = (TYPICAL, WORST, BEST)


@dataclass(frozen=True)
class ImageBrowser:
    """Examples to leaf through by part of the run; ``rule`` says how they were chosen, and the
    ``role`` of each begins with one of ``ROLES``. ValueError without any."""

    rule: str
    examples: Mapping[str, Sequence[Example]]

    def __post_init__(self) -> None:
        if not any(self.examples.values()):
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
        """What the page's script reads, plain JSON values; places as percentages of the film."""
        return [_film(part, each) for part, examples in self.examples.items() for each in examples]


def choose_films(
    findings: Sequence[str],
    numbers: ArrayLike,
    predicted: ArrayLike,
    agreement: ArrayLike,
    per_role: int,
) -> list[tuple[int, str]]:
    """Positions of the films to show, ``per_role`` of each finding in each of ``ROLES``: first the
    typical ones, whose prediction is nearest to the median of their finding, then those whose maps
    agree worst, and then best, with the truth (ties: the lower of ``numbers``).

    ``findings``, ``numbers``, ``predicted``, ``agreement``: of N samples; ``agreement`` is NaN
    where it is unknown. A film that was chosen already is not chosen again.
    """
    finding, number = np.asarray(findings), np.asarray(numbers)
    values, agreed = np.asarray(predicted, np.float64), np.asarray(agreement, np.float64)
    chosen: dict[int, str] = {}
    for role in ROLES * per_role:  # one each first, so that few films show every side
        for name in dict.fromkeys(findings):
            left = [int(i) for i in np.flatnonzero(finding == name) if int(i) not in chosen]
            if role == TYPICAL:
                middle = np.median(values[finding == name])
                order = [round(abs(values[i] - middle), 12) for i in left]  # equal where tied
            else:
                left = [i for i in left if not np.isnan(agreed[i])]
                order = [agreed[i] if role == WORST else -agreed[i] for i in left]
            if left:
                chosen[left[np.lexsort((number[left], order))[0]]] = role
    return list(chosen.items())


def _film(part: str, example: Example) -> dict[str, Any]:
    zones = example.zones
    return {
        "part": part,
        "image": example.image,
        "finding": example.finding,
        "role": example.role,
        "headline": example.headline,
        "film": _uri(Image.fromarray(example.film), photo=True),
        "hung": example.hung,
        "boxes": [[round(100 * edge / FRAME, 3) for edge in box] for box in example.boxes],
        "zones": None if zones is None else _uri(outlines(zones)),
        "scores": [] if zones is None else _scores(zones),
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
    levels = np.rint(np.asarray(share, np.float64) * (LEVELS - 1)).astype(np.uint8)
    image = Image.fromarray(levels, "P")
    image.putpalette(_palette(LEVELS).tobytes(), "RGBA")
    return image


def outlines(zones: ScoredZones) -> Image.Image:
    """The edges of the zones (S, S), transparent elsewhere; zones that are not marked are grey."""
    edges = np.zeros(zones.masks.shape[1:], np.uint8)
    marked = [zones.marked is None or score == zones.marked for score in zones.scores]
    for stands_out in (False, True):  # the marked ones last, over those that they touch
        for mask in zones.masks[np.array(marked) == stands_out]:
            inner = np.pad(mask, 1)
            inside = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
            edges[mask & ~inside] = 1 + stands_out
    image = Image.fromarray(edges, "P")
    image.putpalette(bytes((0, 0, 0, 0, *_ZONE, *_MARKED)), "RGBA")
    return image


def _scores(zones: ScoredZones) -> list[tuple[float, float, str]]:
    """Where each zone's score stands, x and y in percent, and the score."""
    side = zones.masks.shape[-1]
    return [
        (*(round(100 * float(at.mean() + 0.5) / side, 1) for at in np.nonzero(mask)[::-1]), str(s))
        for mask, s in zip(zones.masks, zones.scores, strict=True)
        if mask.any()
    ]


def _palette(levels: int) -> NDArray[np.uint8]:
    """Red, green, blue and opacity (levels, 4) of shares from 0 to 1; the last is opaque."""
    shown = colours(np.linspace(0, 1, levels))
    shown[:, 3] /= OPACITY
    return np.rint(255 * shown).astype(np.uint8)


def _uri(image: Image.Image, photo: bool = False) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return data_uri(buffer.getvalue(), photo)
