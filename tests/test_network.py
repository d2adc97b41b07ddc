"""The suite, and what a run imports, do without a network."""

import contextlib
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REFUSING = """
import socket
def refuse(*arguments, **named):
    raise SystemExit(f"reached for {arguments}")
socket.socket.connect = socket.getaddrinfo = refuse
"""
IMPORTED = "data.nih_download, models.training, attribution.methods, pipeline.run, pipeline.explain"


def swallows() -> None:
    with contextlib.suppress(Exception):
        urllib.request.urlopen("https://nihcc.box.com/", timeout=1)


def test_a_test_that_reaches_out_fails_even_where_errors_are_swallowed() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"reaches for 'nihcc\.box\.com'"):
        swallows()


def test_importing_the_project_asks_nobody(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{REFUSING}import {IMPORTED}"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
