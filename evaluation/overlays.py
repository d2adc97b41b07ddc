"""Maps over films with the box: one row per example, the examples chosen by a stated rule."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from evaluation.figures import GREY, method_label, style

IN_BITS = frozenset(
    {
        "iba",
        "iba_block1",
        "iba_block2",
        "inverse_iba",
        "regression_iba_mse",
        "regression_iba_rm",
        "regression_iba_dv",
    }
)
"""Methods whose maps are bits/pixel; all others are shown relative to their own maximum."""

BOX_COLOUR = "#7DF9FF"
FRAME = 1024.0  # boxes are in the frame of the original films
PANEL = 300  # pixels of one film in a mosaic
DPI = 100
_MARGIN, _GAP, _BAR, _BAR_BLOCK, _HEAD, _ROW_GAP = 14, 10, 16, 108, 78, 26  # pixels of a mosaic

EXAMPLE_RULE = (
    "For each finding, the sample whose predicted probability is nearest to the finding's median "
    "over the evaluated samples (ties: the lower sample number). Nobody chose by eye."
)


def choose_examples(
    samples: pd.DataFrame, probabilities: ArrayLike, per_finding: int
) -> NDArray[np.intp]:
    """Positions in ``samples`` (columns sample, finding) of the examples, by ``EXAMPLE_RULE``.

    ``probabilities`` (N,): predicted probability of each sample's finding, in the order of
    ``samples``. Findings come in order of first appearance, within one the nearest first.
    ValueError for another length, NaN, or ``per_finding`` below 1.
    """
    predicted = np.asarray(probabilities, dtype=np.float64)
    if predicted.shape != (len(samples),) or np.isnan(predicted).any():
        raise ValueError(
            f"probabilities must be one number for each of {len(samples)} samples, without NaN"
        )
    if per_finding < 1:
        raise ValueError(f"report.examples_per_finding is {per_finding}: at least 1 is needed")
    finding, number = samples["finding"].to_numpy(), samples["sample"].to_numpy()
    chosen: list[int] = []
    for name in dict.fromkeys(finding):
        members = np.flatnonzero(finding == name)
        distance = np.abs(predicted[members] - np.median(predicted[members]))
        # Rounded, so that the two middle values of an even count tie whatever their last bits.
        nearest = np.lexsort((number[members], distance.round(12)))
        chosen.extend(members[nearest[:per_finding]])
    return np.array(chosen, dtype=np.intp)


@dataclass(frozen=True)
class Example:
    """One sample as the mosaic shows it."""

    sample: int
    image: str
    finding: str
    probability: float  # predicted, of the finding
    film: NDArray[np.uint8]  # (S, S)
    maps: Mapping[str, NDArray[np.float32]]  # method -> (S, S); values below 0 are not drawn
    box: tuple[float, float, float, float] | None  # x, y, w, h in the 1024-px frame

    def describe(self) -> str:
        """The picture in words, for those who do not see it."""
        relative, bits = _by_unit(self.maps)
        film = f"Film {self.image}" if self.image else f"The film of sample {self.sample}"
        text = f"{film} with the box of {self.finding}" if self.box else self.image
        text += f", predicted probability {self.probability:.2f}."
        if relative:
            text += (
                f" Maps relative to their own maximum: {', '.join(map(method_label, relative))}."
            )
        if bits:
            text += f" Maps in bits/pixel on one scale: {', '.join(map(method_label, bits))}."
        return text


def blend(film: NDArray[np.uint8], heat: NDArray[np.floating], side: int) -> NDArray[np.float64]:
    """Heat over the film, RGB (side, side, 3) in [0, 1], both scaled smoothly to ``side``.

    ``film`` (S, S) grey; ``heat`` (S, S) in [0, 1]. Opacity grows with the heat and is 0 at 0, so
    anatomy stays visible.
    """
    grey = np.asarray(Image.fromarray(film).resize((side, side), Image.Resampling.BICUBIC)) / 255
    smooth = Image.fromarray(heat.astype(np.float32)).resize(
        (side, side), Image.Resampling.BILINEAR
    )
    value = np.clip(np.asarray(smooth, dtype=np.float64), 0, 1)
    opacity = (0.8 * value**0.7)[..., None]
    colour = matplotlib.colormaps["plasma"](0.12 + 0.88 * value)[..., :3]
    return (1 - opacity) * grey[..., None] + opacity * colour


def draw_overlay(
    axes: Axes,
    film: NDArray[np.uint8],
    heat: NDArray[np.floating] | None,
    box: tuple[float, float, float, float] | None,
    side: int = PANEL,
) -> None:
    """Draw into ``axes`` a film (S, S), the heat (S, S; in [0, 1]) and the box (1024 frame)."""
    heat = np.zeros(film.shape) if heat is None else heat
    if film.ndim != 2 or film.shape != heat.shape:
        raise ValueError(f"film {film.shape} and map {heat.shape} must be of one size (S, S)")
    axes.imshow(blend(film, heat, side), extent=(0, FRAME, FRAME, 0), interpolation="nearest")
    if box is not None:
        x, y, w, h = box
        outline = Rectangle((x, y), w, h, fill=False, edgecolor=BOX_COLOUR, linewidth=1.4)
        outline.set_path_effects([Stroke(linewidth=3.2, foreground="black"), Normal()])
        axes.add_patch(outline)
    axes.set(xlim=(0, FRAME), ylim=(FRAME, 0))
    axes.set_axis_off()


def mosaic(examples: Sequence[Example]) -> Figure:
    """A row per example: the film, maps relative to their own maximum, maps in bits/pixel.

    The bits/pixel maps of a row share one scale, drawn as a colour bar. ValueError without
    examples, for examples with different methods, or for a map that holds NaN or infinity.
    """
    methods = _checked_methods(examples)
    relative, bits = _by_unit(methods)
    groups = [(group, group is bits) for group in (relative, bits) if group]
    panels = 1 + len(methods)
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

        for row, example in enumerate(examples):
            top = _MARGIN + row * pitch + _HEAD
            title = f"{example.finding} · predicted probability {example.probability:.2f}"
            write(_MARGIN, top - 46, title, 16, weight="bold")
            write(width - _MARGIN, top - 46, example.image, 13, color=GREY, ha="right")
            write(_MARGIN, top - 10, "Film and box" if example.box else "Film", 15)
            draw_overlay(place(_MARGIN, top, PANEL), example.film, None, example.box)
            left = _MARGIN + PANEL + _GAP
            shared = max([0.0, *(float(example.maps[method].max()) for method in bits)])
            for group, in_bits in groups:
                for method in group:
                    axes = place(left, top, PANEL)
                    _draw_map(axes, example, method, shared if in_bits else None)
                    write(left, top - 10, method_label(method), 15)
                    left += PANEL + _GAP
                _draw_bar(place(left, top, _BAR), shared if in_bits else None)
                unit = "bits/pixel" if in_bits else "own max."
                write(left, top - 10, unit, 13, color=GREY)
                left += _BAR_BLOCK
    return figure


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


def _draw_map(axes: Axes, example: Example, method: str, maximum: float | None) -> None:
    """One map over its film, as a share of ``maximum``; ``None`` stands for the map's own."""
    heat = example.maps[method]
    positive = heat.max() > 0
    top = float(heat.max()) if maximum is None else maximum
    share = np.clip(heat / top, 0, 1) if positive else np.zeros(heat.shape)
    draw_overlay(axes, example.film, share, example.box)
    if not positive:
        axes.text(512, 980, "no value above 0", fontsize=12, color="white", ha="center")


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
