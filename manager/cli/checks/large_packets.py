"""Whether packets as large as two nodes send them to each other get through.

Both ends of a connection agree on what their own links take. A switch between them that takes less (jumbo frames that
only the nodes know of) drops the large ones without a word: connections are made, small calls are answered, and a
large write never arrives. So an echo of that size is asked for, which may not be cut in pieces, beside a small one.
"""

import contextlib
import ipaddress
import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import Final

from manager.cli.checks.finding import Finding, ok, warning
from manager.internet_checksum import checksum

CONNECT_S: Final = 1.0
ANSWER_S: Final = 0.3
"""For one round of both, of :data:`ROUNDS`; a node that is near answers within a round trip."""
ROUNDS: Final = 3
_TIMESTAMPS: Final = 12
"""Bytes of a segment that its largest size (TCP_MAXSEG) does not count (RFC 7323)."""
_TCP: Final = 20
_ECHO: Final = struct.Struct("!BBHHH")
_SMALL, _LARGE = 1, 2
"""Sequence numbers of the two echoes."""
_PROBE: Final = 3
"""IP_PMTUDISC_PROBE, linux/in.h: not to be cut, whatever is known of the way."""


class _Family:
    """What differs between IPv4 and IPv6 (linux/in.h, linux/in6.h, RFC 792, RFC 4443)."""

    def __init__(self, *, six: bool) -> None:
        self.sockets = socket.AF_INET6 if six else socket.AF_INET
        self.icmp = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
        self.level = socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP
        self.discover, self.mtu = (23, 24) if six else (10, 14)
        self.header = 40 if six else 20
        self.asks, self.answers = (128, 129) if six else (8, 0)
        self.shown = 0 if six else 20
        """Bytes of the header that a raw socket hands on."""


def large_packets(node: str, address: str, port: int) -> Iterator[Finding]:
    """Of the way to ``node``, whose agent listens there; nothing where it cannot be told.

    Told it cannot be without root's rights, without a connection, where no echo is answered at all, or where the other
    agent names as its address what is none.
    """
    try:
        size, passes = largest(address, port)
    except (OSError, ValueError):
        return
    if passes:
        yield ok(f"way to {node}", f"packets of {size} bytes get through")
    elif passes is not None:
        yield warning(
            f"way to {node}",
            f"Packets of {size} bytes to {address} get lost, and small ones do not: something in between takes smaller "
            "ones than the nodes do. Streams are made, and the first large write does not arrive.",
            "Give the interfaces of all nodes, and each switch between them, the same MTU (ip link shows a node's; "
            "1500 is what all take).",
        )


def largest(address: str, port: int) -> tuple[int, bool | None]:
    """How large a packet is at the most, in bytes with its headers, and whether it comes back; ``None``: none does.

    Raises:
        OSError: there is no connection, or no echo may be sent.
        ValueError: that is no address.
    """
    family = _Family(six=ipaddress.ip_address(address).version == 6)
    with socket.create_connection((address, port), CONNECT_S) as connection:
        segment = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        size = min(segment + _TIMESTAMPS + _TCP + family.header, connection.getsockopt(family.level, family.mtu))
    heard = _heard(family, address, size)
    return size, _LARGE in heard if heard else None


def _heard(family: _Family, address: str, size: int) -> set[int]:
    number = int.from_bytes(os.urandom(2))
    heard = set[int]()
    with socket.socket(family.sockets, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family.icmp) as asking:
        asking.setsockopt(family.level, family.discover, _PROBE)
        asking.connect((address, 0))
        for _ in range(ROUNDS):
            for sequence, length in ((_SMALL, family.header + _ECHO.size), (_LARGE, size)):
                # What this node's own link does not take gets lost, too.
                with contextlib.suppress(OSError) if sequence == _LARGE else contextlib.nullcontext():
                    asking.send(_request(family, number, sequence, length - family.header))
            end = time.monotonic() + ANSWER_S
            while _LARGE not in heard and (left := end - time.monotonic()) > 0:
                asking.settimeout(left)
                with contextlib.suppress(OSError):
                    heard |= _answer(family, number, asking.recv(size + family.shown))
            if _LARGE in heard:
                break
    return heard


def _request(family: _Family, number: int, sequence: int, length: int) -> bytes:
    """Of IPv6 the kernel puts a checksum of its own in this one's place."""
    rest = bytes(length - _ECHO.size)
    message = _ECHO.pack(family.asks, 0, 0, number, sequence) + rest
    return _ECHO.pack(family.asks, 0, checksum(message), number, sequence) + rest


def _answer(family: _Family, number: int, packet: bytes) -> set[int]:
    """Which of ours it answers; empty: none."""
    message = packet[family.shown : family.shown + _ECHO.size]
    if len(message) < _ECHO.size:
        return set()
    kind, _, _, theirs, sequence = _ECHO.unpack(message)
    return {sequence} if (kind, theirs) == (family.answers, number) else set()
