"""Maps over films with boxes or scored zones: one row per example (``evaluation.examples``)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from evaluation.charts import GREY, style
from evaluation.method_names import IN_BITS, method_label

BOX_COLOUR = "#7DF9FF"
FRAME = 1024.0  # boxes are in the frame of the original films
PANEL = 300  # pixels of one film in a mosaic
DPI = 100
OPACITY = 0.8  # of the highest values
_ON_BLACK = [Stroke(linewidth=3.2, foreground="black"), Normal()]
_MARGIN, _GAP, _BAR, _BAR_BLOCK, _HEAD, _ROW_GAP = 14, 10, 16, 108, 78, 40  # pixels of a mosaic

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
    zones: ScoredZones | None = None
    severity: float | None = None  # predicted, from 0 to 18
    notes: Mapping[str, str] = field(default_factory=dict)  # method -> a line under its map
    hung: bool = False  # the patient's right is known to be at the left

    @property
    def headline(self) -> str:
        """The finding and what was predicted."""
        if self.severity is not None:
            parts = [f"Predicted severity {self.severity:.1f} of 18"]
        else:
            parts = [self.finding]
        if self.probability is not None:
            parts.append(f"predicted probability {self.probability:.2f}")
        if self.zones is not None:
            parts.append(f"scored {int(self.zones.scores.sum())} of 18")
        return " · ".join(parts)

    def describe(self) -> str:
        """The picture in words, for those who do not see it."""
        relative, bits = _by_unit(self.maps)
        text = f"Film {self.image}" if self.image else f"The film of sample {self.sample}"
        if self.boxes:
            text += f" with the box of {self.finding}"
        if self.zones is not None:
            text += f" with six lung zones of scores {', '.join(map(str, self.zones.scores))}"
        text += f": {self.headline}."
        if relative:
            text += (
                f" Maps relative to their own maximum: {', '.join(map(method_label, relative))}."
            )
        if bits:
            text += f" Maps in bits/pixel on one scale: {', '.join(map(method_label, bits))}."
        for method, note in self.notes.items():
            text += f" {method_label(method)}: {note}."
        return text


def by_severity(zones: ScoredZones) -> NDArray[np.float64]:
    """Score / 3 in each zone and 0 outside, float64 (S, S)."""
    return np.max(zones.masks * (zones.scores[:, None, None] / 3), axis=0)


def shares(
    maps: Mapping[str, NDArray[np.floating]],
) -> tuple[dict[str, NDArray[np.float64]], dict[str, float]]:
    """Each map's values above 0 as shares of what is drawn in full colour, and that value.

    Maps in bits/pixel share one scale, the highest value among them; the others have their own. A
    map without positive values is 0 everywhere.
    """
    _, bits = _by_unit(maps)
    shared = max([0.0, *(float(maps[method].max()) for method in bits)])
    tops = {m: shared if m in bits else max(float(maps[m].max()), 0.0) for m in maps}
    return {
        method: np.clip(heat / tops[method], 0, 1) if tops[method] > 0 else np.zeros(heat.shape)
        for method, heat in maps.items()
    }, tops


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
    axes: Axes,
    film: NDArray[np.uint8],
    heat: NDArray[np.floating] | None,
    boxes: Iterable[Box] = (),
    side: int = PANEL,
) -> None:
    """Draw into ``axes`` a film (S, S), the heat (S, S; in [0, 1]) and the boxes."""
    heat = np.zeros(film.shape) if heat is None else heat
    if film.ndim != 2 or film.shape != heat.shape:
        raise ValueError(f"film {film.shape} and map {heat.shape} must be of one size (S, S)")
    axes.imshow(blend(film, heat, side), extent=(0, FRAME, FRAME, 0), interpolation="nearest")
    for x, y, w, h in boxes:
        outline = Rectangle((x, y), w, h, fill=False, edgecolor=BOX_COLOUR, linewidth=1.4)
        outline.set_path_effects(_ON_BLACK)
        axes.add_patch(outline)
    axes.set(xlim=(0, FRAME), ylim=(FRAME, 0))
    axes.set_axis_off()


def draw_zones(axes: Axes, zones: ScoredZones, scores: bool) -> None:
    """Outline the zones in ``axes``, those not marked thin and grey; ``scores`` writes them too."""
    centres = (np.arange(zones.masks.shape[-1]) + 0.5) * FRAME / zones.masks.shape[-1]
    for mask, score in zip(zones.masks, zones.scores, strict=True):
        if not mask.any():
            continue
        marked = zones.marked is None or score == zones.marked
        width, colour = (1.4, BOX_COLOUR) if marked else (0.8, "#c8c8c8")
        lines = axes.contour(
            centres, centres, mask.astype(float), [0.5], colors=colour, linewidths=width
        )
        lines.set_path_effects(_ON_BLACK)
        if scores:
            row, column = (float(where.mean()) for where in np.nonzero(mask))
            step = FRAME / len(centres)
            number = axes.text(
                (column + 0.5) * step,
                (row + 0.5) * step,
                str(score),
                fontsize=17,
                weight="bold",
                color="white",
                ha="center",
                va="center",
            )
            number.set_path_effects(_ON_BLACK)


def mosaic(examples: Sequence[Example], severity: bool = False) -> Figure:
    """A row per example: the film, maps relative to their own maximum, maps in bits/pixel.

    The bits/pixel maps of a row share one scale, drawn as a colour bar. ``severity`` puts the zones
    coloured by score beside the film. ValueError without examples, for examples with different
    methods, for a map that holds NaN or infinity, or for ``severity`` without zones.
    """
    methods = _checked_methods(examples)
    relative, bits = _by_unit(methods)
    groups = [group for group in (relative, bits) if group]
    panels = 1 + severity + len(methods)
    width = 2 * _MARGIN + panels * (PANEL + _GAP) + len(groups) * _BAR_BLOCK
    pitch = _HEAD + PANEL + _ROW_GAP
    height = _MARGIN + len(examples) * pitch
    with style():
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")

        def place(left: int, top: int, across: int) -> Axes:
            return figure.add_axes(
                (left / width, 1 - (top + PANEL) / height, across / width, PANEL / height)
            )

        def write(left: int, top: int, text: str, size: float, **font: Any) -> None:
            figure.text(left / width, 1 - top / height, text, fontsize=size, va="baseline", **font)

        def panel(left: int, title: str, heat: NDArray[np.floating] | None, scored: bool) -> Axes:
            axes = place(left, top, PANEL)
            draw_overlay(axes, example.film, heat, example.boxes)
            if example.zones is not None:
                draw_zones(axes, example.zones, scored)
            write(left, top - 10, title, 15)
            return axes

        for row, example in enumerate(examples):
            top = _MARGIN + row * pitch + _HEAD
            below = top + PANEL + 19
            write(_MARGIN, top - 46, example.headline, 16, weight="bold")
            write(width - _MARGIN, top - 46, example.image, 13, color=GREY, ha="right")
            left = _MARGIN
            panel(left, _film_title(example), None, example.zones is not None)
            if example.hung:
                write(left, below, "R", 13, color=GREY)
                write(left + PANEL, below, "L", 13, color=GREY, ha="right")
            left += PANEL + _GAP
            if severity:
                if example.zones is None:
                    raise ValueError(f"sample {example.sample} has no zones to colour by score")
                panel(left, "Severity, 0 to 3 a zone", by_severity(example.zones), True)
                left += PANEL + _GAP
            heats, tops = shares(example.maps)
            for group in groups:
                for method in group:
                    axes = panel(left, method_label(method), heats[method], False)
                    if not (example.maps[method] > 0).any():
                        note = "no value above 0"
                        axes.text(512, 980, note, fontsize=12, color="white", ha="center")
                    note = example.notes.get(method, "")
                    write(left + PANEL // 2, below, note, 13, color=GREY, ha="center")
                    left += PANEL + _GAP
                in_bits = group is bits
                _draw_bar(place(left, top, _BAR), tops[group[0]] if in_bits else None)
                write(left, top - 10, "bits/pixel" if in_bits else "own max.", 13, color=GREY)
                left += _BAR_BLOCK
    return figure


def _film_title(example: Example) -> str:
    if example.zones is not None:
        return "Film and scores"
    return "Film" if not example.boxes else "Film and box" + "es" * (len(example.boxes) > 1)


def _by_unit(methods: Iterable[str]) -> tuple[list[str], list[str]]:
    return [m for m in methods if m not in IN_BITS], [m for m in methods if m in IN_BITS]


def _checked_methods(examples: Sequence[Example]) -> list[str]:
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


def _draw_bar(axes: Axes, maximum: float | None) -> None:
    """The colours as they look over a mid-grey film; ``None`` stands for each map's own maximum."""
    ramp = np.repeat(np.linspace(1, 0, PANEL)[:, None], PANEL, axis=1)
    colours = blend(np.full((PANEL, PANEL), 110, np.uint8), ramp, PANEL)
    top = maximum or 1.0
    axes.imshow(colours, extent=(0, 1, 0, top), aspect="auto", interpolation="nearest")
    axes.set_xticks([])
    axes.yaxis.tick_right()
    if maximum is None:
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=13)
    elif maximum == 0:
        axes.set_yticks([0], ["0"], fontsize=13)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.tick_params(labelsize=13)
