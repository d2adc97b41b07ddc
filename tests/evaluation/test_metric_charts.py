"""What is drawn is what the tables hold."""

import numpy as np
import pandas as pd
import pytest

from evaluation.charts import GREY, png
from evaluation.metric_charts import fig2_figure, sensitivity_n_figure


def fig2(**changes):
    columns = {
        "dataset": "nih_phantoms",
        "method": ["iba", "inverse_iba", "random"] * 2,
        "baseline": ["blur"] * 3 + ["zero"] * 3,
        "insertion_auc": [0.8, 0.7, 0.5, 0.81, 0.71, 0.51],
        "insertion_ci_low": [0.7, 0.6, 0.4, 0.7, 0.6, 0.4],
        "insertion_ci_high": [0.9, 0.8, 0.6, 0.9, 0.8, 0.6],
        "deletion_auc": [0.3, 0.2, 0.5, 0.31, 0.21, 0.51],
        "deletion_ci_low": [0.2, 0.1, 0.4, 0.2, 0.1, 0.4],
        "deletion_ci_high": [0.4, 0.3, 0.6, 0.4, 0.3, 0.6],
    }
    return pd.DataFrame(columns | changes)


def test_fig_2_has_a_panel_per_baseline_with_each_method_at_its_areas():
    figure = fig2_figure(fig2())
    blur, zero = figure.axes
    for axes, (x, y) in ((blur, (0.3, 0.8)), (zero, (0.31, 0.81))):
        bars = axes.containers
        assert [bar.get_label() for bar in bars] == ["IBA", "Inverse IBA", "Random map"]
        np.testing.assert_array_equal(bars[0].lines[0].get_xydata(), [[x, y]])
        assert "best" in [text.get_text() for text in axes.texts]
    assert len(figure.legends[0].get_texts()) == 3
    assert png(figure) == png(fig2_figure(fig2()))


def test_panels_of_fig_2_stand_two_beside_each_other_and_say_what_replaces_pixels():
    tables = [fig2().assign(dataset=name) for name in ("nih_phantoms", "brixia_phantoms")]
    blur, zero, other, _ = fig2_figure(pd.concat(tables)).axes
    assert blur.get_title() == "nih phantoms, pixels replaced by the blurred film"
    assert zero.get_title() == "nih phantoms, pixels replaced by mean grey"
    assert blur.get_subplotspec().rowspan == zero.get_subplotspec().rowspan
    assert other.get_subplotspec().rowspan.start == 1


def test_error_bars_of_fig_2_reach_the_ends_of_both_intervals():
    bar = fig2_figure(fig2()).axes[0].containers[0]
    across, along = (line.get_segments()[0] for line in bar.lines[2])
    np.testing.assert_allclose(across, [[0.2, 0.8], [0.4, 0.8]])
    np.testing.assert_allclose(along, [[0.3, 0.7], [0.3, 0.9]])


def test_a_method_without_an_interval_is_drawn_without_error_bars():
    figure = fig2_figure(fig2(insertion_ci_low=np.nan, insertion_ci_high=np.nan))
    along = figure.axes[0].containers[0].lines[2][1].get_segments()[0]
    assert along[0][1] == along[1][1] == 0.8


def curves():
    return pd.DataFrame(
        {
            "method": ["iba"] * 3 + ["random"] * 3,
            "fraction": [0.001, 0.01, 0.1] * 2,
            "correlation": [0.1, 0.3, 0.5, 0.0, 0.01, -0.01],
            "ci_low": [0.0, 0.2, 0.4, -0.1, -0.1, -0.1],
            "ci_high": [0.2, 0.4, 0.6, 0.1, 0.1, 0.1],
        }
    )


def test_sensitivity_n_is_a_line_with_its_intervals_per_method_and_the_baseline_is_grey():
    figure = sensitivity_n_figure(curves().iloc[::-1])
    (axes,) = figure.axes
    drawn = {bar.get_label(): bar.lines for bar in axes.containers}
    line, _, (intervals,) = drawn["IBA"]
    # Beside each other: the share of pixels is right to a hundredth.
    expected = [[0.001, 0.1], [0.01, 0.3], [0.1, 0.5]]
    np.testing.assert_allclose(line.get_xydata(), expected, rtol=0.01)
    reach = [segment[:, 1] for segment in intervals.get_segments()]
    np.testing.assert_allclose(reach, [[0, 0.2], [0.2, 0.4], [0.4, 0.6]], atol=1e-12)
    assert drawn["Random map"][0].get_color() == GREY
    assert line.get_color() != GREY
    assert axes.get_xscale() == "log"
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["0.001", "0.01", "0.1"]


def test_sensitivity_n_without_a_defined_correlation_is_still_a_picture():
    undefined = ["correlation", "ci_low", "ci_high"]
    table = curves()
    table[undefined] = np.nan  # as of a regressor that says the same of every film
    assert png(sensitivity_n_figure(table)).startswith(b"\x89PNG")


@pytest.mark.parametrize("draw", [fig2_figure, sensitivity_n_figure])
def test_a_figure_without_methods_is_refused(draw):
    with pytest.raises(ValueError, match="one method at least"):
        draw(pd.DataFrame())


def test_no_two_methods_look_alike_however_many_there_are():
    names = [f"method_{number}" for number in range(12)]
    table = curves().iloc[:3].drop(columns="method").merge(pd.Series(names, name="method"), "cross")
    lines = [bar.lines[0] for bar in sensitivity_n_figure(table).axes[0].containers]
    looks = {(line.get_color(), line.get_marker(), line.is_dashed()) for line in lines}
    assert len(looks) == len(names)
    assert len({(line.get_color(), line.is_dashed()) for line in lines}) == len(names)
