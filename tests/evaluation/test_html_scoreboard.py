"""Guards which cell of a scoreboard is marked as the best, and what is shown on demand."""

import numpy as np
import pandas as pd

from evaluation.html_scoreboard import view_heat, view_scoreboard
from evaluation.scoreboard import Metric

METRICS = {
    "iou": Metric("IoU", True),
    "deletion": Metric("deletion", False),
    "score_behind": Metric("score behind", None),
    "absent": Metric("absent", True),
}
BOARD = pd.DataFrame(
    {
        "method": ["random", "iba", "lrp", "gradient"],
        "iou": [0.9, 0.3001, 0.2, 0.2999],
        "iou_ci_low": [0.8, 0.25, 0.1, np.nan],
        "iou_ci_high": [1.0, 0.35, 0.3, np.nan],
        "iou_n": [12, 12, 12, 12],
        "deletion": [0.0, 0.5, 0.4, np.nan],
        "score_behind": [np.nan, 0.7, 0.1, np.nan],
        "unmet": [False, True, False, False],
    }
)


def best(column: int) -> list[str]:
    rows = view_scoreboard(BOARD, METRICS).rows
    return [row.cells[0].text for row in rows if row.cells[column].best]


def test_the_best_is_marked_among_the_methods_and_what_prints_alike_is_best_alike():
    assert best(1) == ["IBA", "Gradients"]  # 0.300 both, and the random map is a baseline


def test_where_low_is_good_the_lowest_is_best_and_where_aims_differ_none_is():
    assert best(2) == ["LRP"]
    assert best(3) == []


def test_baselines_stand_below_the_methods():
    rows = view_scoreboard(BOARD, METRICS).rows
    assert [row.kind for row in rows] == ["method", "method", "method", "baseline"]
    assert [row.unmet for row in rows] == [True, False, False, False]


def test_an_interval_and_its_count_are_shown_on_demand_and_what_is_missing_is_a_dash():
    rows = view_scoreboard(BOARD, METRICS).rows
    assert rows[0].cells[1].hover == "[0.250, 0.350], n = 12"
    assert rows[2].cells[1].hover == "n = 12"
    assert (rows[2].cells[2].text, rows[2].cells[2].missing) == ("–", True)


def test_heads_name_the_metrics_that_were_measured_and_which_way_is_good():
    heads = [header.text for header in view_scoreboard(BOARD, METRICS).headers]
    assert heads == ["method", "IoU\N{NO-BREAK SPACE}↑", "deletion\N{NO-BREAK SPACE}↓",
                     "score behind"]  # fmt: skip


def test_a_number_that_rounds_to_zero_has_no_sign():
    board = pd.DataFrame({"method": ["iba"], "iou": [-0.0001]})
    assert view_scoreboard(board, METRICS).rows[0].cells[1].text == "0.000"


def test_the_heat_table_has_a_row_a_method_and_the_more_colour_the_higher_its_iou():
    rows = [("Mass", "iba", 0.1), ("Nodule", "iba", 0.2), ("Mass", "random", 0.8)]
    frame = pd.DataFrame(rows, columns=["finding", "method", "iou"]).assign(
        ci_low=0.0, ci_high=1.0, n=3
    )
    view = view_heat(frame)
    assert [header.text for header in view.headers] == ["method", "Mass", "Nodule"]
    iba, random = view.rows
    assert [cell.text for cell in iba.cells[1:]] == ["0.10", "0.20"]
    mass, nodule = (cell.shade for cell in iba.cells[1:])
    assert 0 < mass < nodule == random.cells[1].shade  # no baseline is above the best method
    assert random.cells[2].missing
    assert iba.cells[1].hover == "[0.000, 1.000], n = 3"
