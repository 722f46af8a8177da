"""Lists the TCP connections of an address, and resets them (sock_diag(7), SOCK_DESTROY).

Clients of an address that goes away would otherwise hang until their own timeout.
"""

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from agent.adapters.netlink import IpAddress
from manager import netlink_messages

_REQUEST_HEAD = struct.Struct("=BBBxI")
_ANSWER_HEAD = struct.Struct("=BBBB")
_SOCKET_ID = 48
"""Bytes of struct inet_diag_sockid, linux/inet_diag.h: ports, addresses, interface, cookie."""
_PORTS = struct.Struct("!HH")
_SOURCE_AT = 4
_PEER_AT = 20
_BY_FAMILY = 20
_DESTROY = 21
_SOCK_DIAG = 4
"""NETLINK_SOCK_DIAG."""
_FILTER = struct.Struct("=HHBBHBBxxi")
"""A program of one step: struct nlattr, struct inet_diag_bc_op, struct inet_diag_hostcond; linux/inet_diag.h."""
_BYTECODE = 1
"""INET_DIAG_REQ_BYTECODE."""
_SOURCE_IS = 7
"""INET_DIAG_BC_S_COND: an IPv4 address is found in sockets of IPv6 that speak IPv4, too."""
_ANY_PORT = -1
_LISTEN = 10
_CLOSE = 7
_TIME_WAIT = 6
_STATES = 0xFFF & ~(1 << _LISTEN | 1 << _CLOSE | 1 << _TIME_WAIT)
"""All that have a peer who would wait."""
_RECEIVE_SECONDS = 1.0
_RECEIVED_MOST = 1 << 17
_MAPPED = b"\0" * 10 + b"\xff\xff"


class DiagnosisFailed(OSError):
    """The kernel answered with an error."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A TCP socket, as the kernel names it."""

    family: int
    socket_id: bytes

    @property
    def source(self) -> IpAddress:
        """Its local address; of an IPv6 socket that speaks IPv4, the IPv4 one."""
        return self._address(_SOURCE_AT)

    @property
    def peer(self) -> IpAddress:
        """The address of the other end, alike."""
        return self._address(_PEER_AT)

    @property
    def ports(self) -> tuple[int, int]:
        """Its own port, and the other end's."""
        own, peer = _PORTS.unpack_from(self.socket_id)
        return own, peer

    def _address(self, at: int) -> IpAddress:
        raw = self.socket_id[at : at + 16]
        if self.family == socket.AF_INET:
            return IPv4Address(raw[:4])
        return IPv4Address(raw[12:]) if raw[:12] == _MAPPED else ipaddress.IPv6Address(raw)


def dump_request(family: int, source: IpAddress) -> bytes:
    """The message that asks for the TCP connections of ``family`` whose local address is ``source``."""
    body = _REQUEST_HEAD.pack(family, socket.IPPROTO_TCP, 0, _STATES) + bytes(_SOCKET_ID) + _source_is(source)
    return netlink_messages.message(_BY_FAMILY, netlink_messages.DUMP, body)


def _source_is(address: IpAddress) -> bytes:
    raw = address.packed
    step = _FILTER.size - 4 + len(raw)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    # Where it holds the program goes on at its end, which is a yes; else behind its end, a no.
    head = _FILTER.pack(4 + step, _BYTECODE, _SOURCE_IS, step, step + 4, family, len(raw) * 8, _ANY_PORT)
    return head + raw


def destroy_request(connection: Connection) -> bytes:
    """The message that resets ``connection``; the kernel acknowledges it."""
    body = _REQUEST_HEAD.pack(connection.family, socket.IPPROTO_TCP, 0, _STATES) + connection.socket_id
    return netlink_messages.message(_DESTROY, netlink_messages.ACKNOWLEDGE, body)


def parse_dump(datagram: bytes) -> tuple[list[Connection], bool]:
    """The connections in one datagram of the answer, and whether it was the last.

    Raises:
        DiagnosisFailed: the kernel answered with an error.
    """
    found: list[Connection] = []
    for kind, body in netlink_messages.messages(datagram):
        if kind == netlink_messages.DONE:
            return found, True
        if kind == netlink_messages.ERROR:
            raise DiagnosisFailed(netlink_messages.error_code(body), "the kernel does not list TCP connections")
        if kind == _BY_FAMILY and len(body) >= _ANSWER_HEAD.size + _SOCKET_ID:
            family = _ANSWER_HEAD.unpack_from(body)[0]
            found.append(Connection(family, body[_ANSWER_HEAD.size : _ANSWER_HEAD.size + _SOCKET_ID]))
    return found, False


def reset(address: IpAddress) -> int:
    """Resets every TCP connection whose local end is ``address``; returns how many. Blocks: for a thread.

    Both ends learn of it, as long as ``address`` is still assigned; later, only the local one.

    Raises:
        OSError: the kernel does not list or does not answer.
    """
    return destroy(listed(address))


def destroy(found: Iterable[Connection]) -> int:
    """Resets these connections; returns how many were still there. Blocks: for a thread.

    Raises:
        OSError: the kernel does not reset them, or does not answer.
    """
    with _socket() as channel:
        return sum(_destroy(channel, connection) for connection in found)


def listed(address: IpAddress) -> list[Connection]:
    """Every TCP connection whose local end is ``address`` and whose peer would wait. Blocks: for a thread.

    Raises:
        OSError: the kernel does not list or does not answer.
    """
    families = (socket.AF_INET, socket.AF_INET6) if address.version == 4 else (socket.AF_INET6,)
    return [c for family in families for c in _connections(family, address)]


def _destroy(channel: socket.socket, connection: Connection) -> bool:
    """Whether ``connection`` was still there to be reset."""
    channel.send(destroy_request(connection))
    answer = next(netlink_messages.messages(channel.recv(_RECEIVED_MOST)), (netlink_messages.ERROR, b""))
    code = netlink_messages.error_code(answer[1])
    if code not in (0, errno.ENOENT):
        raise DiagnosisFailed(code, f"the kernel does not reset TCP connections: {os.strerror(code)}")
    return code == 0


def _connections(family: int, source: IpAddress) -> list[Connection]:
    with _socket() as channel:
        channel.send(dump_request(family, source))
        found: list[Connection] = []
        last = False
        while not last:
            some, last = parse_dump(channel.recv(_RECEIVED_MOST))
            found += some
        return found


def _socket() -> socket.socket:
    return netlink_messages.open_socket(_SOCK_DIAG, _RECEIVE_SECONDS)
