"""No connection beyond this machine, in any Python process that has this folder on its path.

Python imports a module of this name when it starts, so that what a test starts is held to it too.
"""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

HERE = ("127.0.0.1", "::1", "localhost", "", None)


class ReachedOutError(BaseException):
    """No Exception, so that nothing takes it for a network that is down and goes on."""


def _is_here(host: Any) -> bool:
    if host in HERE:
        return True
    try:
        address = ipaddress.ip_address(host)
        with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6) as own:
            own.bind((host, 0))  # an address of this machine's own, by which Ray calls it
    except (TypeError, ValueError, OSError):
        return False
    return not address.is_multicast


def _refuse(host: object) -> None:
    if not _is_here(host):
        raise ReachedOutError(f"reaches for {host!r}: tests do without a network")


def _here(method: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, *arguments: Any) -> Any:
        if isinstance(address := arguments[-1], tuple):  # else the path of a local one
            _refuse(address[0])
        return method(self, *arguments)

    return guarded


_getaddrinfo = socket.getaddrinfo


def _getaddrinfo_here(host: Any, *arguments: Any, **named: Any) -> Any:
    _refuse(host)
    return _getaddrinfo(host, *arguments, **named)


for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, _here(getattr(socket.socket, name)))
socket.getaddrinfo = _getaddrinfo_here
