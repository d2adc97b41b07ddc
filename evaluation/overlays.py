"""Maps over films with boxes, causal outlines or scored zones, an example after the other."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray
from PIL import Image

from evaluation.charts import GREY, style
from evaluation.localization import FRAME
from evaluation.method_names import IN_BITS, method_label

BOX_COLOUR, CAUSAL_COLOUR = "#7DF9FF", "white"
PANEL = 256  # pixels of one film in a mosaic
COLUMNS = 5  # panels beside each other, so that words are legible at the report's width
DPI = 100
OPACITY = 0.8  # of the highest values
_ON_BLACK = [Stroke(linewidth=2.4, foreground="black"), Normal()]
_MARGIN, _GAP, _BAR, _HEAD, _LINE, _ROW_GAP = 14, 12, 16, 66, 19, 22  # pixels of a mosaic
_NAME = 24  # letters of a film's name that fit below it

Box = tuple[float, float, float, float]
"""x, y, w, h in the 1024-px frame."""


@dataclass(frozen=True)
class ScoredZones:
    """The six zones of a lung score. ``marked``: zones of this score stand out, for None all do."""

    masks: NDArray[np.bool_]  # (6, S, S); an empty one is not drawn
    scores: NDArray[np.integer]  # (6,), 0 to 3
    marked: int | None = None


@dataclass(frozen=True)
class Example:
    """One sample as the mosaic shows it."""

    sample: int
    image: str
    finding: str
    probability: float | None  # predicted, of the finding
    film: NDArray[np.uint8]  # (S, S)
    maps: Mapping[str, NDArray[np.float32]]  # method -> (S, S); values below 0 are not drawn
    boxes: tuple[Box, ...] = ()
    causal: NDArray[np.bool_] | None = None  # (S, S): what the finding changes, or as drawn
    zones: ScoredZones | None = None
    severity: float | None = None  # predicted, from 0 to 18
    iou: Mapping[str, float] = field(default_factory=dict)  # method -> where it was measured
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # method -> more lines
    hung: bool = False  # the patient's right is known to be at the left
    role: str = ""  # why it is shown

    @property
    def headline(self) -> str:
        """The finding and what was predicted."""
        if self.severity is not None:
            parts = [f"predicted severity {self.severity:.1f} of 18"]
        else:
            parts = [self.finding]
        if self.probability is not None:
            parts.append(f"predicted probability {self.probability:.2f}")
        if self.zones is not None:
            parts.append(f"scored {int(self.zones.scores.sum())} of 18")
        return " · ".join(parts)

    def describe(self) -> str:
        """The picture in words, for those who do not see it."""
        text = f"Film {self.image}" if self.image else f"The film of sample {self.sample}"
        if self.boxes:
            text += f" with the box of {self.finding}"
        if self.zones is not None:
            text += f" with six lung zones of scores {', '.join(map(str, self.zones.scores))}"
        text = f"{self.role}. {text}" if self.role else text
        maps = [", ".join([method_label(each), *words_below(self, each)]) for each in self.maps]
        return f"{text}: {self.headline}. Maps: {'; '.join(maps)}."


def by_severity(zones: ScoredZones) -> NDArray[np.float64]:
    """Score / 3 in each zone and 0 outside, float64 (S, S)."""
    return np.max(zones.masks * (zones.scores[:, None, None] / 3), axis=0)


def shares(heat: NDArray[np.floating]) -> NDArray[np.float64]:
    """A map's values above 0 as shares of its highest one; 0 everywhere where none is positive."""
    top = float(heat.max())
    return np.clip(heat / top, 0, 1) if top > 0 else np.zeros(heat.shape)


def scale(method: str, heat: NDArray[np.floating]) -> str:
    """What a map's full colour means, in words; empty where it has no unit to name."""
    if not (top := float(heat.max())) > 0:
        return "no value above 0"
    return f"maximum {top:.2g} bits/pixel" if method in IN_BITS else ""


def measured(example: Example, method: str) -> list[str]:
    """What is known of a map in words: its IoU, bits, and the example's notes."""
    known = [f"IoU {example.iou[method]:.2f}"] if method in example.iou else []
    if method in IN_BITS and (bits := float(example.maps[method].sum())) > 0:
        known.append(f"{bits:,.0f} bits" if bits >= 10 else f"{bits:.2g} bits")
    return list(filter(None, (" · ".join(known), *example.notes.get(method, ()))))


def words_below(example: Example, method: str) -> list[str]:
    """The lines below a map: its scale, and what is known of it."""
    return list(filter(None, (scale(method, example.maps[method]), *measured(example, method))))


def colours(share: NDArray[np.floating]) -> NDArray[np.float64]:
    """Red, green, blue and opacity (..., 4) in [0, 1] of shares in [0, 1]; 0 is transparent."""
    shown = np.array(matplotlib.colormaps["plasma"](0.12 + 0.88 * share))
    shown[..., 3] = OPACITY * share**0.7
    return shown


def blend(film: NDArray[np.uint8], heat: NDArray[np.floating], side: int) -> NDArray[np.float64]:
    """Heat over the film, RGB (side, side, 3) in [0, 1], both scaled smoothly to ``side``.

    ``film`` (S, S) grey; ``heat`` (S, S) in [0, 1]. Opacity grows with the heat and is 0 at 0, so
    anatomy stays visible.
    """
    grey = np.asarray(Image.fromarray(film).resize((side, side), Image.Resampling.BICUBIC)) / 255
    smooth = Image.fromarray(heat.astype(np.float32)).resize(
        (side, side), Image.Resampling.BILINEAR
    )
    colour = colours(np.clip(np.asarray(smooth, dtype=np.float64), 0, 1))
    opacity = colour[..., 3:]
    return (1 - opacity) * grey[..., None] + opacity * colour[..., :3]


def draw_overlay(
    axes: Axes, film: NDArray[np.uint8], heat: NDArray[np.floating] | None, side: int = PANEL
) -> None:
    """Draw into ``axes`` a film (S, S) and over it the heat (S, S; in [0, 1])."""
    heat = np.zeros(film.shape) if heat is None else heat
    if film.ndim != 2 or film.shape != heat.shape:
        raise ValueError(f"film {film.shape} and map {heat.shape} must be of one size (S, S)")
    axes.imshow(blend(film, heat, side), extent=(0, FRAME, FRAME, 0), interpolation="nearest")
    axes.set(xlim=(0, FRAME), ylim=(FRAME, 0))
    axes.set_axis_off()


def draw_boxes(axes: Axes, boxes: Iterable[Box]) -> None:
    """Draw thin boxes into ``axes`` of an overlay."""
    for x, y, w, h in boxes:
        outline = Rectangle((x, y), w, h, fill=False, edgecolor=BOX_COLOUR, linewidth=1)
        outline.set_path_effects(_ON_BLACK)
        axes.add_patch(outline)


def draw_outline(axes: Axes, mask: NDArray[np.bool_], colour: str, width: float) -> None:
    """Draw the outline of a mask (S, S) into ``axes`` of an overlay; an empty mask has none."""
    if not mask.any():
        return
    centres = (np.arange(mask.shape[-1]) + 0.5) * FRAME / mask.shape[-1]
    heights = mask.astype(float)
    lines = axes.contour(centres, centres, heights, [0.5], colors=colour, linewidths=width)
    lines.set_path_effects(_ON_BLACK)


def draw_zones(axes: Axes, zones: ScoredZones, scores: bool) -> None:
    """Outline the zones in ``axes``, those not marked thin and grey; ``scores`` writes them too."""
    step = FRAME / zones.masks.shape[-1]
    for mask, score in zip(zones.masks, zones.scores, strict=True):
        if not mask.any():
            continue
        marked = zones.marked is None or score == zones.marked
        draw_outline(axes, mask, *((BOX_COLOUR, 1.2) if marked else ("#c8c8c8", 0.7)))
        if scores:
            row, column = (float(where.mean()) for where in np.nonzero(mask))
            number = axes.text((column + 0.5) * step, (row + 0.5) * step, str(score))
            number.set(fontsize=15, weight="bold", color="white", ha="center", va="center")
            number.set_path_effects(_ON_BLACK)


@dataclass(frozen=True)
class _Panel:
    """``marks``: boxes, outlines and zones are drawn; ``scores``: zones are named by score too."""

    title: str
    heat: NDArray[np.floating] | None = None
    below: Sequence[str] = ()
    marks: bool = True
    scores: bool = False


def _panels(example: Example) -> list[_Panel]:
    panels = [_Panel("Film", marks=False)]
    if example.zones is not None:
        heat = by_severity(example.zones)
        panels.append(_Panel("Scores of the zones, 0 to 3", heat, scores=True))
    return panels + [
        _Panel(method_label(method), shares(heat), words_below(example, method))
        for method, heat in example.maps.items()
    ]


def mosaic(examples: Sequence[Example]) -> Figure:
    """The plain film of each example, its zones coloured by score, and its maps, by lines.

    Each map has a scale of its own, whose top stands below it where it has a unit; one colour bar
    serves all. Boxes, causal outlines and zones lie over the maps. ValueError without examples,
    for examples with different methods, or for a map that holds NaN or infinity.
    """
    check_examples(examples)
    rows = [_panels(example) for example in examples]
    across = min(COLUMNS, max(map(len, rows)))
    width = 2 * _MARGIN + across * (PANEL + _GAP) - _GAP
    lines = [
        (example, panels[start : start + across], start == 0)
        for example, panels in zip(examples, rows, strict=True)
        for start in range(0, len(panels), across)
    ]
    heights = [
        (_HEAD if first else _HEAD // 2)
        + PANEL
        + _LINE * max(2, *(len(panel.below) for panel in panels))
        + _ROW_GAP
        for _, panels, first in lines
    ]
    height = 2 * _MARGIN + _LINE + sum(heights)
    with style():
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")

        def place(left: int, top: int, across: int, down: int) -> Axes:
            return figure.add_axes(
                (left / width, 1 - (top + down) / height, across / width, down / height)
            )

        def write(left: float, top: float, text: str, size: float, **font: Any) -> None:
            figure.text(left / width, 1 - top / height, text, fontsize=size, va="baseline", **font)

        right = width - _MARGIN
        _draw_bar(place(right - PANEL // 2, _MARGIN, PANEL // 2, _BAR))
        write(right - PANEL // 2 - 8, _MARGIN + 13, "each map: 0 to its maximum", 12, ha="right")
        above = _MARGIN + _LINE
        for (example, panels, first), line_height in zip(lines, heights, strict=True):
            top = above + (_HEAD if first else _HEAD // 2)
            if first:
                role = f"{example.role}: " if example.role else ""
                write(_MARGIN, top - 38, role + example.headline, 14, weight="bold")
            for column, panel in enumerate(panels):
                left = _MARGIN + column * (PANEL + _GAP)
                axes = place(left, top, PANEL, PANEL)
                draw_overlay(axes, example.film, panel.heat)
                if panel.marks:
                    draw_boxes(axes, example.boxes)
                    if example.causal is not None:
                        draw_outline(axes, example.causal, CAUSAL_COLOUR, 0.8)
                    if example.zones is not None:
                        draw_zones(axes, example.zones, panel.scores)
                write(left, top - 9, panel.title, 13)
                for number, text in enumerate(panel.below, 1):
                    below = top + PANEL + number * _LINE - 2
                    write(left + PANEL / 2, below, text, 12, color="#333333", ha="center")
            if first:
                below = top + PANEL + _LINE - 2
                name = example.image
                name = name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
                write(_MARGIN + PANEL / 2, below + _LINE, name, 12, color=GREY, ha="center")
                if example.hung:
                    write(_MARGIN, below, "R", 12, color=GREY)
                    write(_MARGIN + PANEL, below, "L", 12, color=GREY, ha="right")
            above += line_height
    return figure


def check_examples(examples: Sequence[Example]) -> list[str]:
    """The methods of all examples. ValueError without examples, or as ``mosaic`` says."""
    if not examples:
        raise ValueError("a mosaic needs one example at least, got none")
    methods = list(examples[0].maps)
    for example in examples:
        if list(example.maps) != methods:
            raise ValueError(
                f"sample {example.sample} has maps of {list(example.maps)}, the first one of "
                f"{methods}: a mosaic shows the same methods in each row"
            )
        for method, heat in example.maps.items():
            if not np.isfinite(heat).all():
                raise ValueError(f"the {method} map of sample {example.sample} is not finite")
    return methods


def _draw_bar(axes: Axes) -> None:
    """The colours from 0 to a map's maximum as they look over a mid-grey film."""
    ramp = np.repeat(np.linspace(0, 1, PANEL)[None], PANEL, axis=0)
    shown = blend(np.full((PANEL, PANEL), 110, np.uint8), ramp, PANEL)
    axes.imshow(shown, extent=(0, 1, 0, 1), aspect="auto", interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
