"""By which interface this node sends to others, as its kernel says (rtnetlink(7), RTM_GETROUTE).

Beside :mod:`agent.adapters.netlink`, whose library takes a hundred times as long for one question: thousands of clients
are asked for at once (measured: 20 microseconds each).
"""

import errno
import socket
import struct
from collections.abc import Collection, Mapping

from agent.adapters.netlink import IpAddress
from manager import netlink_messages

_ROUTE = struct.Struct("=BBBBBBBBI")
"""struct rtmsg, linux/rtnetlink.h."""
_INDEX = struct.Struct("=I")
_ASK = 26
_ANSWER = 24
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
    with netlink_messages.open_socket(socket.NETLINK_ROUTE, _RECEIVE_SECONDS) as channel:
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
        body += netlink_messages.attribute(kind, address.packed)
    return netlink_messages.message(_ASK, 0, body)


def interface_in(answer: bytes) -> int:
    """The interface that the kernel's answer names; 0: there is no route.

    Raises:
        OSError: the kernel refused for another reason, or answered what cannot be read.
    """
    kind, body = next(netlink_messages.messages(answer), (0, b""))
    if kind == netlink_messages.ERROR:
        code = netlink_messages.error_code(body)
        if code in _NOWHERE:
            return 0
        raise OSError(code, "the kernel does not say by which interface an address is reached")
    if kind != _ANSWER:
        raise OSError(errno.EBADMSG, f"the kernel answers about a route by a message of kind {kind}")
    index = netlink_messages.attributes(body[_ROUTE.size :]).get(_INTERFACE, b"")
    return int(_INDEX.unpack(index)[0]) if len(index) == _INDEX.size else 0
