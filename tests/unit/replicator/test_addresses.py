"""What the kernel says of addresses, read; taken off them is in the integration tests."""

import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.addresses import Assigned, parse

_PERMANENT = 0x80


def message(kind: int, body: bytes) -> bytes:
    padded = body + bytes(-len(body) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + padded


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def address(family: int, ip: str, index: int = 3, flags: int = 0, kind: int = 1, extra: bytes = b"") -> bytes:
    head = struct.pack("=BBBBI", family, 24, flags & 0xFF, 0, index)
    label = attribute(3, b"eth0\0")
    return message(20, head + label + attribute(kind, socket.inet_pton(family, ip)) + extra)


def test_addresses_of_both_families_are_read() -> None:
    many = struct.pack("=I", _PERMANENT | 0x200)
    datagram = (
        address(socket.AF_INET, "192.0.2.1", kind=2, extra=attribute(1, socket.inet_aton("192.0.2.9")))
        + address(socket.AF_INET6, "2001:db8::1", index=4, flags=_PERMANENT)
        + address(socket.AF_INET, "192.0.2.2", extra=attribute(8, many))
    )
    found, last = parse(datagram)
    assert not last
    assert found == [
        Assigned(3, socket.AF_INET, socket.inet_aton("192.0.2.1"), 24, False),
        Assigned(4, socket.AF_INET6, socket.inet_pton(socket.AF_INET6, "2001:db8::1"), 24, True),
        Assigned(3, socket.AF_INET, socket.inet_aton("192.0.2.2"), 24, True),
    ]


def test_the_end_of_a_list_and_a_yes_are_the_last() -> None:
    assert parse(address(socket.AF_INET, "192.0.2.1") + message(3, bytes(4)))[1]
    assert parse(message(2, bytes(20))) == ([], True)


def test_a_refusal_is_raised() -> None:
    with pytest.raises(PermissionError):
        parse(message(2, struct.pack("=i", -errno.EPERM) + bytes(16)))


@given(st.binary(max_size=40))
def test_what_is_cut_off_is_left_out(garbage: bytes) -> None:
    whole = address(socket.AF_INET, "192.0.2.1")
    found, _ = parse(whole + struct.pack("=IHHII", 16 + len(garbage) + 1, 20, 2, 1, 0) + garbage)
    assert len(found) == 1
