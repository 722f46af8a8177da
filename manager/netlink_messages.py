"""The frame of what is said to the kernel by netlink(7), and of what it says: messages, attributes, errors. Pure, but
for the socket.

What a message is about is its user's business. It is for those few questions for which no library is loaded: as they
are asked thousands of times, or by the replicator, which is to need nobody when it fences.
"""

import errno
import socket
import struct
from collections.abc import Iterator
from typing import Final

REQUEST: Final = 0x1
ACKNOWLEDGE: Final = 0x4
DUMP: Final = 0x300
"""Flags of a message, linux/netlink.h."""
ERROR: Final = 2
DONE: Final = 3
"""Kinds of a message of the kernel's: how it went, and the end of a list."""
_HEADER: Final = struct.Struct("=IHHII")
"""struct nlmsghdr: length, kind, flags, sequence, port."""
_ATTRIBUTE: Final = struct.Struct("=HH")
"""struct nlattr: length, kind."""
_ERRNO: Final = struct.Struct("=i")


def message(kind: int, flags: int, body: bytes) -> bytes:
    """A request; ``flags`` beside REQUEST."""
    return _HEADER.pack(_HEADER.size + len(body), kind, REQUEST | flags, 1, 0) + body


def messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and body of each message in a datagram of the kernel's; one that is not whole ends it."""
    return _pieces(datagram, _HEADER)


def attribute(kind: int, content: bytes) -> bytes:
    """One that is the last, or whose content is a multiple of four bytes: nothing is put behind it."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content


def attributes(data: bytes) -> dict[int, bytes]:
    """Their contents by kind; one that is not whole ends it."""
    return dict(_pieces(data, _ATTRIBUTE))


def error_code(body: bytes) -> int:
    """The errno in an ERROR; 0: an acknowledgement."""
    return int(-_ERRNO.unpack_from(body)[0]) if len(body) >= _ERRNO.size else errno.EBADMSG


def open_socket(protocol: int, answer_s: float) -> socket.socket:
    """One for questions; who waits longer than ``answer_s`` for an answer gets TimeoutError. Raises OSError."""
    channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    channel.settimeout(answer_s)
    return channel


def _pieces(data: bytes, head: struct.Struct) -> Iterator[tuple[int, bytes]]:
    """Each begins with its length, head included, and its kind, and at a multiple of four bytes."""
    at = 0
    while at + head.size <= len(data):
        length, kind, *_ = head.unpack_from(data, at)
        if length < head.size or at + length > len(data):
            return
        yield kind, data[at + head.size : at + length]
        at += (length + 3) & ~3
