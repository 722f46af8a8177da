"""Sockets at addresses that the node need not have yet, or has just lost."""

import socket
from typing import Final

_FREE_BIND: Final = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}
"""IP_FREEBIND, linux/in.h; IPV6_FREEBIND, linux/in6.h."""


def allow_any_address(made: socket.socket) -> None:
    """It may be bound to an address that no interface has. Raises OSError."""
    made.setsockopt(*_FREE_BIND[made.family], 1)
