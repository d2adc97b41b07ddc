"""Bars, curves and files of figures: what is drawn, and stable bytes."""

import io

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image

from evaluation import charts
from tests.evaluation.shown import table1


def bars(figure: matplotlib.figure.Figure) -> list[tuple[str, float, bool]]:
    """(label, length, hatched) from top to bottom, read back from the artists."""
    axes = figure.axes[0]
    labels = dict(
        zip(axes.get_yticks(), [t.get_text() for t in axes.get_yticklabels()], strict=True)
    )
    found = [
        (bar.get_y() + bar.get_height() / 2, bar.get_width(), bar.get_hatch() is not None)
        for bar in axes.patches
    ]
    return [(labels[min(labels, key=lambda y: abs(y - at))], w, h) for at, w, h in sorted(found)]


def test_bars_are_sorted_and_baselines_stand_apart_below_and_hatched():
    drawn = bars(charts.table1_figure(table1()))
    assert drawn == [
        ("IBA", 0.3, False),
        ("Gradients", 0.2, False),
        ("Class prior", 0.22, True),
        ("Whole image", 0.07, True),
    ]


def test_the_papers_value_is_a_marker_of_its_own_in_the_methods_row():
    axes = charts.table1_figure(table1(paper=[0.1, 0.5, np.nan, np.nan])).axes[0]
    (markers,) = [line for line in axes.lines if line.get_marker() == "D"]
    x, y = markers.get_data()
    shown = {label: value for label, value in zip(y, x, strict=True) if not np.isnan(value)}
    assert sorted(shown.values()) == [0.1, 0.5]
    assert min(shown, key=shown.get) > max(shown, key=shown.get)  # IBA is above Gradients


def test_the_primary_row_of_a_method_with_several_rules_is_drawn():
    table = table1(
        method=["iba", "iba", "random", "whole_image"], primary=[False, True, True, True]
    )
    assert bars(charts.table1_figure(table))[0][:2] == ("IBA", 0.3)
    assert len(bars(charts.table1_figure(table))) == 3


def test_a_method_without_a_number_is_written_as_n_a():
    figure = charts.table1_figure(table1(iou=[np.nan] * 4, ci_low=np.nan, ci_high=np.nan))
    assert [t.get_text() for t in figure.axes[0].texts].count("n/a") == 4
    assert charts.png(figure)


def test_training_curves_show_every_epoch_and_the_kept_one():
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "train_loss": [3.0, 2, 1],
            "val_loss": [3.0, 2, 2.5],
            "val_auc": np.nan,
        }
    )
    loss, auc = charts.training_curves(history, best_epoch=2).axes
    np.testing.assert_array_equal(loss.lines[0].get_xydata(), [[1, 3], [2, 2], [3, 1]])
    assert list(loss.lines[2].get_xdata()) == [2, 2]
    assert "n/a" in [text.get_text() for text in auc.texts]


def test_the_same_figure_gives_the_same_bytes_under_any_matplotlibrc():
    expected = charts.png(charts.table1_figure(table1()))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 17}):
        assert charts.png(charts.table1_figure(table1())) == expected
    assert not Image.open(io.BytesIO(expected)).info.get("Software")


def test_the_same_figure_gives_the_same_pdf_with_text_that_stays_text():
    first, again = (charts.pdf(charts.table1_figure(table1())) for _ in range(2))
    assert first == again
    assert first.startswith(b"%PDF")
    assert b"/Type3" not in first
    assert b"CreationDate" not in first


def test_no_figure_is_left_with_pyplot():
    charts.table1_figure(table1())
    assert not matplotlib._pylab_helpers.Gcf.figs
