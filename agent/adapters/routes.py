"""By which interface this node sends to others, as its kernel says (rtnetlink(7), RTM_GETROUTE).

Beside :mod:`agent.adapters.netlink`, whose library takes a hundred times as long for one question: thousands of clients
are asked for at once (measured: 20 microseconds each).
"""

import errno
import socket
import struct
from collections.abc import Collection, Mapping

from agent.adapters.netlink import IpAddress

_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg, linux/rtnetlink.h."""
_ATTRIBUTE = struct.Struct("=HH")
_INDEX = struct.Struct("=I")
_ASK = 26
_ANSWER = 24
_ERROR = 2
_REQUEST = 0x1
_DESTINATION = 1
_SOURCE = 2
_INTERFACE = 4
_NOWHERE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL)
"""There is no route, or one that says so."""
_RECEIVE_SECONDS = 1.0
_RECEIVED_MOST = 1 << 14


def interfaces(source: IpAddress, destinations: Collection[IpAddress]) -> Mapping[IpAddress, int]:
    """The index of the interface by which what ``source`` sends to each goes: loopback's for this node's own addresses.

    ``source`` is this node's, and all are of its family. Those to which nothing can be sent are left out. Blocks: for a
    thread.

    Raises:
        OSError: the kernel does not answer.
    """
    found: dict[IpAddress, int] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as channel:
        channel.settimeout(_RECEIVE_SECONDS)
        for destination in destinations:
            channel.send(question(source, destination))
            index = interface_in(channel.recv(_RECEIVED_MOST))
            if index:
                found[destination] = index
    return found


def question(source: IpAddress, destination: IpAddress) -> bytes:
    """The message that asks for one route."""
    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
    bits = destination.max_prefixlen
    body = _ROUTE.pack(family, bits, bits, 0, 0, 0, 0, 0, 0)
    for kind, address in ((_DESTINATION, destination), (_SOURCE, source)):
        body += _ATTRIBUTE.pack(_ATTRIBUTE.size + len(address.packed), kind) + address.packed
    return _HEADER.pack(_HEADER.size + len(body), _ASK, _REQUEST, 1, 0) + body


def interface_in(answer: bytes) -> int:
    """The interface that the kernel's answer names; 0: there is no route.

    Raises:
        OSError: the kernel refused for another reason, or answered what cannot be read.
    """
    if len(answer) < _HEADER.size + _INDEX.size:
        raise OSError(errno.EBADMSG, "the kernel's answer about a route is too short")
    length, kind, *_ = _HEADER.unpack_from(answer)
    if kind == _ERROR:
        code = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if code in _NOWHERE:
            return 0
        raise OSError(code, "the kernel does not say by which interface an address is reached")
    if kind != _ANSWER:
        raise OSError(errno.EBADMSG, f"the kernel answers about a route by a message of kind {kind}")
    at, end = _HEADER.size + _ROUTE.size, min(length, len(answer))
    while at + _ATTRIBUTE.size <= end:
        size, name = _ATTRIBUTE.unpack_from(answer, at)
        if name == _INTERFACE and at + _ATTRIBUTE.size + _INDEX.size <= end:
            return int(_INDEX.unpack_from(answer, at + _ATTRIBUTE.size)[0])
        at += max(_ATTRIBUTE.size, (size + 3) & ~3)
    return 0
