"""What the network says of datagrams that nobody took: the error queue of a UDP socket (ip(7) and ipv6(7), RECVERR).

Linux keeps such a message with the beginning of the datagram that it is about. It does not know what the datagrams say.
"""

import socket
import struct
from dataclasses import dataclass

_RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
"""IP_RECVERR, linux/in.h; IPV6_RECVERR, linux/in6.h."""
_EXTENDED = struct.Struct("=IBBBxII")
"""struct sock_extended_err, linux/errqueue.h; behind it stands the address of who said it, as a sockaddr."""
_NOBODY_LISTENS = frozenset({(2, 3, 3), (3, 1, 4)})
"""Origin, type and code of "port unreachable": of ICMP (RFC 792), and of ICMPv6 (RFC 4443, 3.1)."""
_ADDRESS_AT = {socket.AF_INET: (4, 4), socket.AF_INET6: (8, 16)}
"""Where in a sockaddr the address stands, and its length."""
_FAMILY = struct.Struct("=H")
_QUOTED_MOST = 1 << 16
_CONTROL_MOST = 512


@dataclass(frozen=True, slots=True)
class DatagramError:
    """One datagram was not taken."""

    quoted: bytes
    """Its beginning, or all of it."""
    destination: str
    """Where it was sent; empty: it is not said."""
    refused: bool
    """The machine at ``destination`` itself says that nobody listens at that port; else it is another trouble."""


def keep_errors(sending: socket.socket) -> None:
    """Have the kernel keep them for ``sending``, a UDP socket."""
    level, option = _RECVERR[socket.AddressFamily(sending.family)]
    sending.setsockopt(level, option, 1)


def next_error(sending: socket.socket) -> DatagramError | None:
    """The oldest one that is kept; ``None``: there is none."""
    try:
        quoted, control, _, name = sending.recvmsg(_QUOTED_MOST, _CONTROL_MOST, socket.MSG_ERRQUEUE)
    except OSError:
        return None
    destination = str(name[0]) if name else ""
    wanted = _RECVERR[socket.AddressFamily(sending.family)]
    refused = any(
        (level, kind) == wanted and _says_refused(data, sending.family, destination) for level, kind, data in control
    )
    return DatagramError(quoted, destination, refused)


def _says_refused(data: bytes, family: int, destination: str) -> bool:
    if len(data) < _EXTENDED.size + _FAMILY.size:
        return False
    _, origin, kind, code, _, _ = _EXTENDED.unpack_from(data)
    if (origin, kind, code) not in _NOBODY_LISTENS or _FAMILY.unpack_from(data, _EXTENDED.size)[0] != family:
        return False
    # A firewall on the way may say the same, with its own address: that is no word of the machine.
    at, length = _ADDRESS_AT[socket.AddressFamily(family)]
    offender = data[_EXTENDED.size + at : _EXTENDED.size + at + length]
    return len(offender) == length and socket.inet_ntop(family, offender) == destination
