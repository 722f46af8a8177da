"""Bytes of the kernel: each request is read as linux/fuse.h has it, and garbage raises PeerProtocolError alone."""

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from manager.model.errors import PeerProtocolError
from replicator.fuse import abi, requests
from replicator.fuse.abi import Opcode
from replicator.fuse.requests import decode, decode_header

_DECODED = sorted(set(Opcode) - {Opcode.WRITE, Opcode.INTERRUPT})
_names = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name)
_u64 = st.integers(0, (1 << 64) - 1)
_u32 = st.integers(0, (1 << 32) - 1)


@given(st.sampled_from(_DECODED), st.binary(max_size=200))
def test_garbage(opcode: Opcode, body: bytes) -> None:
    try:
        decode(opcode, memoryview(body))
    except PeerProtocolError:
        return


@given(st.sampled_from(_DECODED))
def test_an_empty_body_is_refused_where_one_is_needed(opcode: Opcode) -> None:
    needs_none = (Opcode.GETATTR, Opcode.READLINK, Opcode.STATFS, Opcode.STATX, Opcode.DESTROY)
    if opcode in needs_none:
        assert decode(opcode, memoryview(b"")) == requests.Nothing()
    else:
        with pytest.raises(PeerProtocolError):
            decode(opcode, memoryview(b""))


@given(_names, _names, _u64, _u32)
def test_names(one: bytes, other: bytes, node: int, flags: int) -> None:
    assert decode(Opcode.LOOKUP, memoryview(one + b"\0")) == requests.Named(one)
    body = struct.pack("<QII", node, flags, 0) + one + b"\0" + other + b"\0"
    assert decode(Opcode.RENAME2, memoryview(body)) == requests.Rename(node, flags, one, other)
    body = one + b"\0" + other + b"\0"
    assert decode(Opcode.SYMLINK, memoryview(body)) == requests.Symlink(one, other)


@given(_names, st.binary(max_size=300), _u32, st.booleans())
@example(b"user.x", b"\0a\0", 1, True)
def test_setxattr_takes_any_value(name: bytes, value: bytes, flags: int, kill: bool) -> None:
    body = struct.pack("<IIII", len(value), flags, int(kill), 0) + name + b"\0" + value
    assert decode(Opcode.SETXATTR, memoryview(body)) == requests.SetXattr(name, value, flags, kill)


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 999_999_999), _u32, _u32)
def test_setattr_with_times_before_the_epoch(seconds: int, nanoseconds: int, uid: int, mode: int) -> None:
    unsigned = seconds & ((1 << 64) - 1)
    body = abi.SETATTR_IN.pack(7, 0, 0, 9, 0, unsigned, unsigned, 0, nanoseconds, nanoseconds, 0, mode, 0, uid, 5, 0)
    time_ns = seconds * 10**9 + nanoseconds
    assert decode(Opcode.SETATTR, memoryview(body)) == requests.SetAttr(7, 9, time_ns, time_ns, mode, uid, 5)


@given(st.lists(st.tuples(_u64, _u64), max_size=20))
def test_batch_forget(nodes: list[tuple[int, int]]) -> None:
    body = struct.pack("<II", len(nodes), 0) + b"".join(struct.pack("<QQ", *node) for node in nodes)
    assert decode(Opcode.BATCH_FORGET, memoryview(body)) == requests.Forget(tuple(nodes))


@given(st.binary(max_size=80))
def test_a_header_must_tell_the_length(data: bytes) -> None:
    told = struct.unpack_from("<I", data)[0] if len(data) >= 4 else None
    if len(data) >= abi.IN_HEADER.size and told == len(data):
        assert decode_header(memoryview(data)).length == len(data)
    else:
        with pytest.raises(PeerProtocolError):
            decode_header(memoryview(data))
