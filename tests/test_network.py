"""The suite, what it starts, and what a run imports, do without a network."""

import contextlib
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.offline.sitecustomize import ReachedOutError

ROOT = Path(__file__).resolve().parents[1]
FAR = ("198.51.100.1", 9)  # for documentation (RFC 5737): nobody's
IMPORTED = "data.nih_download, models.training, attribution.methods, pipeline.run, pipeline.explain"
SWALLOWS = """
import contextlib, urllib.request
with contextlib.suppress(Exception):
    urllib.request.urlopen("https://nihcc.box.com/", timeout=1)
"""


def swallows(reach: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):
        reach()


@pytest.mark.parametrize(
    "reach",
    [
        lambda: urllib.request.urlopen("https://198.51.100.1/", timeout=1),
        lambda: socket.getaddrinfo("198.51.100.1", 9),
        lambda: socket.socket().connect(FAR),
        lambda: socket.socket().connect_ex(FAR),
        lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", FAR),
        lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", 0, FAR),
    ],
)
def test_a_test_that_reaches_out_fails_even_where_errors_are_swallowed(
    reach: Callable[[], object],
) -> None:
    with pytest.raises(ReachedOutError, match=r"reaches for '198\.51\.100\.1'"):
        swallows(reach)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all of 127.* has to be set up")
@pytest.mark.parametrize("own", ["127.0.0.1", "127.0.0.2"])
def test_this_machine_can_be_reached_by_any_of_its_addresses(own: str) -> None:
    with socket.create_server((own, 0)) as server:
        socket.create_connection(server.getsockname()).close()


def python(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "HOME": str(home), "MPLCONFIGDIR": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_a_test_starts_is_ended_where_it_reaches_out(tmp_path: Path) -> None:
    done = python(SWALLOWS, tmp_path)
    assert done.returncode == 1
    assert "reaches for 'nihcc.box.com'" in done.stderr


def test_importing_the_project_asks_nobody(tmp_path: Path) -> None:
    done = python(f"import {IMPORTED}", tmp_path)
    assert done.returncode == 0, done.stderr
