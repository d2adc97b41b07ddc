"""What is refused of the files of conf/ before Hydra reads them, and that each is named."""

import re

import pytest

from pipeline.__main__ import start
from pipeline.conf_files import ConfFileError
from pipeline.config import compose_config


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("seed: &a 3\nthreads: *a\n", r" line 2: an alias"),
        (f"seed: 3\nname: {'[' * 5000}{']' * 5000}\n", r" line 2: nested deeper than 50"),
        ("".join(f"{' ' * n}a:\n" for n in range(60)), r" line 51: nested deeper than 50"),
        (f"name: {'x' * 4001}\n", r" line 1: a text of 4001 characters"),
        (f"#{'x' * 10**5}\n", r": 100002 bytes, at most 100000"),
        ("# @package\nseed: 3\n", r" line 1: expected # @package and one name"),
        ("\n# @package _global_ now\nseed: 3\n", r" line 2: expected # @package and one name"),
        ("seed: [3\n", r": not YAML: while parsing"),
        (b"name: \xff\n", r": not YAML: 'utf-8' codec can't decode"),
    ],
)
def test_a_file_of_settings_that_would_ask_too_much_is_refused_by_name(
    tmp_path, monkeypatch, text, reason
):
    monkeypatch.setattr("pipeline.config.CONF", tmp_path)
    path = tmp_path / "local" / "default.yaml"
    path.parent.mkdir()
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfFileError, match=re.escape(str(path)) + reason):
        compose_config([])


def test_a_command_says_on_one_line_which_file_of_settings_it_refuses(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("pipeline.config.CONF", tmp_path)
    (tmp_path / "a.yaml").write_text("seed: &a 3\nthreads: *a\n")
    with pytest.raises(SystemExit) as caught:
        start()
    assert caught.value.code == 1
    assert f"error: {tmp_path}/a.yaml line 2: an alias" in capsys.readouterr().out.replace("\n", "")
