"""Settings of the whole suite; no test reaches beyond this machine."""

import random
import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How fast a machine draws examples says nothing about the code.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shuffle", type=int, metavar="SEED", help="files, and the tests of each, in random order"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if (seed := config.getoption("--shuffle")) is None:
        return
    chance = random.Random(seed)
    order = {item.nodeid: chance.random() for item in items}
    files = {item.path: chance.random() for item in items}  # together, for what they share
    items.sort(key=lambda item: (files[item.path], order[item.nodeid]))


_THIS_MACHINE = ("127.0.0.1", "::1", "localhost", "", None)
_connect, _getaddrinfo = socket.socket.connect, socket.getaddrinfo


def _refuse(host: object) -> None:
    if host not in _THIS_MACHINE:
        # No Exception, so that nothing takes it for a network that is down and goes on.
        pytest.fail(f"reaches for {host!r}: tests do without a network")


def _connect_here(self: socket.socket, address: Any) -> None:
    if isinstance(address, tuple):  # else the path of a local one
        _refuse(address[0])
    _connect(self, address)


def _getaddrinfo_here(host: Any, *arguments: Any, **named: Any) -> Any:
    _refuse(host)
    return _getaddrinfo(host, *arguments, **named)


socket.socket.connect = _connect_here  # type: ignore[method-assign]
socket.getaddrinfo = _getaddrinfo_here
