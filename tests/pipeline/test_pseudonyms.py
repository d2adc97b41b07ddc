import pandas as pd
import pytest

from pipeline.pseudonyms import SALT, pseudonymise, read_salt

TABLE = pd.DataFrame(
    {
        "method": ["iba", "iba", "random"],
        "image": ["00000001_000.png", "00000002_000.png", "00000001_000.png"],
        "patient": ["1", "2", "1"],
        "file": ["à.png", "", "test_list.txt"],
        "iou": ["0.250", "", "1e-05"],
    }
)


def test_ids_change_and_nothing_else_does():
    changed = pseudonymise(TABLE, b"salt")
    kept = ["method", "iou"]
    pd.testing.assert_frame_equal(changed[kept], TABLE[kept])
    for column in ("image", "patient", "file"):
        assert not set(changed[column]) & (set(TABLE[column]) - {""})
        assert changed[column].nunique() == TABLE[column].nunique()
    assert changed["image"][0] == changed["image"][2] != changed["image"][1]
    assert changed["file"][1] == ""


def test_another_salt_gives_other_names():
    one, other = (pseudonymise(TABLE, salt)["image"] for salt in (b"one", b"other"))
    assert not set(one) & set(other)


def test_a_store_keeps_its_salt_which_its_owner_alone_may_read(tmp_path):
    first, again = read_salt(tmp_path), read_salt(tmp_path)
    assert first == again
    assert len(first) == 32
    assert (tmp_path / SALT).stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == [SALT]
    (tmp_path / "other").mkdir()
    assert read_salt(tmp_path / "other") != first


@pytest.mark.parametrize("rival", [b"r" * 32])
def test_of_two_runs_at_once_both_use_the_salt_of_the_first(tmp_path, monkeypatch, rival):
    def draws_late(_bytes: int) -> bytes:
        (tmp_path / SALT).write_bytes(rival)
        return b"late" * 8

    monkeypatch.setattr("secrets.token_bytes", draws_late)
    assert read_salt(tmp_path) == rival
