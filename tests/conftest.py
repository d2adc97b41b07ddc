"""Settings of the whole suite; no test reaches beyond this machine."""

import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How fast a machine draws examples says nothing about the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

_THIS_MACHINE = ("127.0.0.1", "::1", "localhost", "", None)


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):  # else a path
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if host not in _THIS_MACHINE:
        # No Exception, so that nothing takes it for a network that is down and goes on.
        pytest.fail(f"reaches for {host!r}: tests do without a network")


sys.addaudithook(_refuse_network)
