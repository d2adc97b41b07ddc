"""``~`` in paths that users type."""

import pytest

from data.user_path import user_path


def test_a_tilde_is_the_home_folder_and_only_at_the_front(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/films") == tmp_path / "films"
    assert user_path("~") == tmp_path
    assert str(user_path("/data/~old/a~")) == "/data/~old/a~"


def test_the_home_of_nobody_is_refused_and_no_folder_of_that_name_is_meant():
    with pytest.raises(ValueError, match="~nobody-of-here/films: no home folder is known"):
        user_path("~nobody-of-here/films")
