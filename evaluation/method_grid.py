"""Every method on one film of each finding, small and beside each other, to be seen at a glance."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from matplotlib.figure import Figure

from evaluation.charts import GREY, style
from evaluation.method_names import method_label
from evaluation.overlays import (
    BOX_COLOUR,
    DPI,
    Example,
    check_examples,
    draw_boxes,
    draw_outline,
    draw_overlay,
    shares,
)

PANEL = 128  # pixels of a film
_MARGIN, _GAP, _LINE, _ROW_GAP = 12, 6, 17, 8  # pixels
_LETTERS = 14  # of a title's line


def method_grid(examples: Sequence[Example]) -> Figure:
    """A row per example: the film, then each method's map with its IoU below.

    Each map has a scale of its own. ValueError as ``evaluation.overlays.mosaic``.
    """
    methods = check_examples(examples)
    titles = [wrap(title, _LETTERS) for title in ("Film", *map(method_label, methods))]
    head = _MARGIN + _LINE * max(map(len, titles))
    pitch = _LINE + PANEL + _ROW_GAP
    width = 2 * _MARGIN + len(titles) * (PANEL + _GAP) - _GAP
    height = head + len(examples) * pitch + _MARGIN
    with style():
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")

        def write(left: float, top: float, text: str, **font: Any) -> None:
            figure.text(left / width, 1 - top / height, text, fontsize=10, **font)

        for column, title in enumerate(titles):
            for number, line in enumerate(reversed(title)):
                left = _MARGIN + column * (PANEL + _GAP)
                write(left, head - number * _LINE, line, weight="bold")
        for row, example in enumerate(examples):
            top = head + row * pitch + _LINE
            write(_MARGIN, top + PANEL + 15, example.finding.replace("_", " "))
            for column, method in enumerate(("", *methods)):
                left = _MARGIN + column * (PANEL + _GAP)
                axes = figure.add_axes(
                    (left / width, 1 - (top + PANEL) / height, PANEL / width, PANEL / height)
                )
                heat = shares(example.maps[method]) if method else None
                draw_overlay(axes, example.film, heat, 2 * PANEL)
                if method:
                    draw_boxes(axes, example.boxes)
                    if not example.boxes and example.causal is not None:
                        draw_outline(axes, example.causal, BOX_COLOUR, 1)
                if method in example.iou:
                    iou = f"IoU {example.iou[method]:.2f}"
                    write(left + PANEL / 2, top + PANEL + 15, iou, color=GREY, ha="center")
    return figure
