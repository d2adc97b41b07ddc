"""Guards that a grid of methods names each film and map, and stays as wide as a report."""

from functools import partial

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from evaluation.charts import png
from evaluation.method_grid import method_grid
from evaluation.method_names import METHOD_LABELS
from evaluation.overlays import DPI
from tests.evaluation import shown

SIDE = 16
example = partial(shown.example, SIDE)
METHODS = list(METHOD_LABELS)[:10]
MAPS = dict.fromkeys(METHODS, np.ones((SIDE, SIDE), np.float32))


def test_a_row_holds_the_film_and_a_map_of_each_method_with_its_iou():
    rows = [
        example(maps=MAPS, iou={"iba": 0.31, "lrp": 0.02}),
        example(maps=MAPS, finding="Hernia"),
    ]
    figure = method_grid(rows)
    assert len(figure.axes) == 2 * (1 + len(METHODS))
    texts = [text.get_text() for text in figure.texts]
    assert {"Mass", "Hernia", "IoU 0.31", "IoU 0.02", "GradCAM"} <= set(texts)
    assert png(figure) == png(method_grid(rows))


def test_words_are_legible_at_the_reports_width_and_none_is_cut():
    figure = method_grid([example(maps=MAPS, finding="Pleural_Thickening")])
    assert figure.get_figwidth() * DPI < 1500  # the report's column has about 1,000
    FigureCanvasAgg(figure).draw()
    for text in figure.texts:
        extent = text.get_window_extent()
        assert 0 <= extent.x0 < extent.x1 <= figure.bbox.x1, text.get_text()
        assert 0 <= extent.y0 < extent.y1 <= figure.bbox.y1, text.get_text()
        assert extent.width < 134, text.get_text()  # the next column begins there


def test_a_grid_of_no_film_or_of_different_methods_is_refused():
    with pytest.raises(ValueError, match="one example at least"):
        method_grid([])
    with pytest.raises(ValueError, match="same methods"):
        method_grid([example(), example(maps=MAPS)])
