"""Tables of the page: what stands in a cell, and what is read from Markdown."""

import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from evaluation.html_tables import TableView, format_value, markdown_tables, view_table


def texts(view: TableView) -> list[list[str]]:
    return [[f"{cell.text} {cell.interval}".strip() for cell in row.cells] for row in view.rows]


def test_a_value_stands_with_its_interval_in_one_cell():
    table = pd.DataFrame({"x": ["a", "b"], "iou": [0.1234, 0.5], "ci_low": 0.1, "ci_high": 0.1449})
    view = view_table(table)
    assert [header.text for header in view.headers] == ["x", "IoU [interval]"]
    assert texts(view) == [["a", "0.123 [0.100, 0.145]"], ["b", "0.500 [0.100, 0.145]"]]


def test_a_named_interval_finds_its_value_wherever_the_columns_stand():
    table = pd.DataFrame({"auc": [0.7], "ap": [0.2], "auc_ci_low": [0.6], "auc_ci_high": [0.8]})
    assert texts(view_table(table)) == [["0.700 [0.600, 0.800]", "0.200"]]


def test_a_shortened_interval_belongs_to_the_column_at_its_left():
    table = pd.DataFrame(
        {"insertion_auc": [0.7], "insertion_ci_low": [0.6], "insertion_ci_high": [0.8]}
    )
    assert texts(view_table(table)) == [["0.700 [0.600, 0.800]"]]


@pytest.mark.parametrize("columns", [["ci_low", "ci_high"], ["iou", "ci_low"]])
def test_bounds_without_a_value_or_a_partner_are_refused(columns):
    with pytest.raises(ValueError, match="ci_low"):
        view_table(pd.DataFrame([[0.5] * len(columns)], columns=columns))


def test_what_is_missing_is_n_a_never_zero_or_nan():
    table = pd.DataFrame(
        {"class": ["a", "b"], "auc": [np.nan, 0.5], "auc_ci_low": np.nan, "auc_ci_high": np.nan}
    )
    view = view_table(table)
    assert texts(view) == [["a", "n/a"], ["b", "0.500 [n/a]"]]
    assert [row.cells[1].missing for row in view.rows] == [True, False]


def test_every_row_and_every_value_of_the_frame_is_shown():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"method": [f"m{i}" for i in range(300)], "n": rng.integers(0, 9999, 300)})
    shown = texts(view_table(table))
    assert shown == [[str(m), str(n)] for m, n in table.itertuples(index=False)]


def test_columns_that_say_the_same_in_every_row_move_below_the_table():
    table = pd.DataFrame({"x": ["a", "b"], "n": 984, "iou": [0.1, 0.2], "paper": np.nan})
    view = view_table(table)
    assert [header.text for header in view.headers] == ["x", "IoU"]
    assert view.constants == (("n", "984"), ("paper", "n/a"))
    assert len(view_table(table.head(1)).headers) == 4  # one row repeats nothing
    assert len(view_table(pd.concat([table.head(1)] * 2)).headers) == 4  # nor is all taken away


def test_primary_rows_are_marked_only_where_there_are_others():
    table = pd.DataFrame({"method": ["iba", "iba"], "rule": ["x", "y"], "primary": [False, True]})
    assert [row.primary for row in view_table(table).rows] == [False, True]
    assert not any(row.primary for row in view_table(table.assign(primary=True)).rows)
    assert "primary" not in [header.text for header in view_table(table).headers]


def test_baselines_methods_and_means_are_rows_of_their_own_kind():
    methods = pd.DataFrame({"method": ["iba", "random", "class_prior"]})
    assert [row.kind for row in view_table(methods).rows] == ["method", "baseline", "baseline"]
    classes = pd.DataFrame({"class": ["Mass", "mean"]})
    assert [row.kind for row in view_table(classes).rows] == ["plain", "summary"]


def test_a_method_is_printed_by_its_name_with_the_config_name_beside():
    cell = view_table(pd.DataFrame({"method": ["grad_cam"]})).rows[0].cells[0]
    assert (cell.text, cell.note) == ("GradCAM", "grad_cam")


def test_counts_stay_whole_where_one_of_them_is_missing():
    table = pd.DataFrame({"n_positive": [12.0, np.nan, 5.0]})
    assert texts(view_table(table)) == [["12"], ["n/a"], ["5"]]


def test_sort_keys_order_numbers_as_numbers():
    view = view_table(pd.DataFrame({"seconds": [1234.5, 2.25, np.nan]}))
    assert [row.cells[0].key for row in view.rows] == ["1234.5", "2.25", ""]
    assert texts(view) == [["1,234"], ["2.2"], ["n/a"]]


@pytest.mark.parametrize("number", [0.1234567, 1e-5, -3e-9, 0.0004, 123.4, 56789.1, 0.0, -0.02])
def test_a_printed_number_is_its_value_within_the_digits_shown(number):
    text = format_value(number)
    shown = Decimal(text.replace(",", ""))
    digit = Decimal(1).scaleb(shown.as_tuple().exponent)
    assert abs(shown - Decimal(number)) <= digit / 2
    assert number == 0 or shown != 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "n/a"), (pd.NA, "n/a"), (float("nan"), "n/a"), (True, "yes"), (np.bool_(False), "no"),
     (np.int64(112120), "112,120"), (2025, "2025"), ("as it is", "as it is")],
)  # fmt: skip
def test_values_that_are_no_fractions_are_printed_as_what_they_are(value, text):
    assert format_value(value) == text


def test_text_columns_lie_left_and_numbers_right():
    table = pd.DataFrame({"a": ["x", "y"], "b": [1, 2], "c": [0.5, np.nan], "d": [True, False]})
    assert [header.numeric for header in view_table(table).headers] == [False, True, True, False]
    assert not re.search("nan", str(view_table(table)), re.IGNORECASE)


def test_tables_of_a_markdown_text_are_found_by_their_headings():
    text = "# T\n\n## One\n\nwords\n\n| a | b |\n|---|:-:|\n| `x` | - |\n\n## Two\n| c |\n|---|\n"
    tables = markdown_tables(text)
    assert list(tables) == ["One", "Two"]
    assert tables["One"].to_dict("records") == [{"a": "x", "b": "-"}]
    assert list(tables["Two"].columns) == ["c"]
    assert tables["Two"].empty


@pytest.mark.parametrize("text", ["| a |", "## H\n| a | b |\n|---|---|\n| x |"])
def test_a_table_that_cannot_be_read_is_refused_with_its_line(text):
    with pytest.raises(ValueError, match="line"):
        markdown_tables(text)


def test_rows_of_unmet_operating_points_are_marked_and_the_mark_is_no_column():
    table = pd.DataFrame({"method": ["iba", "lrp"], "iou": [0.1, 0.2], "unmet": [True, False]})
    view = view_table(table)
    assert [row.unmet for row in view.rows] == [True, False]
    assert [header.text for header in view.headers] == ["method", "IoU"]
