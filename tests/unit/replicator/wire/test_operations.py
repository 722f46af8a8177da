import contextlib
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.model.errors import PeerProtocolError
from replicator.core.operations import (
    Attribute,
    Bind,
    Create,
    Fallocate,
    Kind,
    Operation,
    Rename,
    SetAttr,
    SetXattr,
    Unbind,
    Unlink,
    Write,
)
from replicator.wire.frames import BODY_BOUNDS, HEADER, FrameKind
from replicator.wire.operations import WRITE_SIZE, decode, encode, pack_write
from replicator.wire.reader import FrameReader
from tests.unit.replicator.wire.strategies import VOLUMES, operations, writes


def _body(operation: Operation) -> bytes:
    return b"".join(encode(operation))


def _decode(operation: Operation) -> Operation:
    return decode(operation.kind, memoryview(_body(operation)), VOLUMES)


@given(operations)
def test_round_trip(operation: Operation) -> None:
    assert _decode(operation) == operation


@given(operations)
def test_bodies_keep_their_bounds(operation: Operation) -> None:
    least, most = BODY_BOUNDS[FrameKind(operation.kind)]
    assert least <= len(_body(operation)) <= most


@given(operations, st.data())
def test_a_body_cut_off_or_longer_is_refused(operation: Operation, data: st.DataObject) -> None:
    body = _body(operation)
    if isinstance(operation, Write):  # its length is the frame's
        body = body[:WRITE_SIZE]
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(PeerProtocolError):
        decode(operation.kind, memoryview(body[:cut]), VOLUMES)
    if not isinstance(operation, Write):
        with pytest.raises(PeerProtocolError):
            decode(operation.kind, memoryview(body + b"\0"), VOLUMES)


@given(st.integers(0, 255), st.binary(max_size=300))
def test_garbage_is_an_operation_that_encodes_to_itself_or_refused(kind: int, garbage: bytes) -> None:
    try:
        operation = decode(kind, memoryview(garbage), VOLUMES)
    except PeerProtocolError:
        return
    again = decode(kind, memoryview(_body(operation)), VOLUMES)
    assert again == operation


@given(operations, st.data())
def test_a_changed_body_raises_nothing_but_protocol_errors(operation: Operation, data: st.DataObject) -> None:
    body = bytearray(_body(operation))
    index = data.draw(st.integers(0, len(body) - 1))
    body[index] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PeerProtocolError):
        decode(operation.kind, memoryview(body), VOLUMES)


@given(writes, st.integers(1, (1 << 23) - 1), st.integers(1, (1 << 64) - 1))
def test_the_fast_write_frame_is_a_frame(write: Write, epoch: int, sequence: int) -> None:
    reader = FrameReader(epoch)
    frame = pack_write(epoch, sequence, write) + bytes(write.data)
    reader.space()[: len(frame)] = frame
    reader.received(len(frame))
    found = reader.next()
    assert found is not None
    kind, number, body = found
    assert (kind, number, bytes(body)) == (FrameKind.WRITE, sequence, _body(write))
    assert decode(kind, body, VOLUMES) == write


def test_a_write_is_not_copied() -> None:
    data = memoryview(bytes(4096))
    assert encode(Write(0, 5, 0, data))[1] is data
    body = bytearray(_body(Write(0, 5, 0, data)))
    decoded = decode(Kind.WRITE, memoryview(body), 1)
    assert isinstance(decoded, Write)
    body[WRITE_SIZE] = 7
    assert decoded.data[0] == 7
    assert len(pack_write(1, 1, Write(0, 5, 0, data))) == HEADER.size + WRITE_SIZE


def test_what_setattr_does_not_set_is_not_sent() -> None:
    wild = SetAttr(0, 5, Attribute.SIZE, mode=1 << 31, uid=1, gid=2, size=9, atime_ns=1 << 99, mtime_ns=-1)
    assert _decode(wild) == SetAttr(0, 5, Attribute.SIZE, size=9)


_FILE = stat.S_IFREG | 0o644


def _create(name: bytes = b"n", mode: int = _FILE, target: bytes = b"", inode: int = 5, uid: int = 0) -> Create:
    return Create(0, inode, 1, name, mode, 0, uid, 0, 0, target)


@pytest.mark.parametrize(
    "operation",
    [
        *(_create(name) for name in (b"", b".", b"..", b"a/b", b"a\0", b"/", b"n" * 256, b".mirrorfarm")),
        _create(inode=1),
        _create(inode=1 << 63),
        _create(mode=0o644),
        _create(mode=1 << 16 | _FILE),
        _create(uid=(1 << 32) - 1),
        _create(target=b"t"),
        _create(mode=stat.S_IFLNK | 0o777),
        _create(mode=stat.S_IFLNK | 0o777, target=b"a\0b"),
        _create(mode=stat.S_IFLNK | 0o777, target=b"a" * 4096),
        Write(0, 0, 0, b""),
        Write(0, 5, (1 << 63) - 1, b"x"),
        Write(VOLUMES, 5, 0, b"x"),
        Unlink(0, 5, 0, b"n"),
        Bind(VOLUMES, 5, 1, b"n"),
        Unbind(0, 1),
        Rename(0, 5, 1, b"a", 1, b"b", 4, 0),
        Rename(0, 5, 1, b"a", 1, b"b", 2, 0),
        Rename(0, 5, 1, b"a", 1, b"b", 1, 6),
        Rename(0, 5, 1, b"a", 1, b".mirrorfarm", 0, 0),
        Rename(0, 5, 1, b"a", 1, b"..", 0, 0),
        SetAttr(0, 5, 128),
        SetAttr(0, 5, Attribute.SIZE, size=1 << 63),
        SetAttr(0, 5, Attribute.UID, uid=(1 << 32) - 1),
        SetXattr(0, 5, b"", b"", 0, False),
        SetXattr(0, 5, b"trusted.mirrorfarm", b"", 0, False),
        SetXattr(0, 5, b"trusted.SGI_ACL_FILE", b"", 0, False),
        SetXattr(0, 5, b"user.a\0", b"", 0, False),
        SetXattr(0, 5, b"user.a", b"", 3, False),
        SetXattr(0, 5, b"user.a", bytes(65537), 0, False),
        Fallocate(0, 5, 2, 0, 1),
        Fallocate(0, 5, 0, 0, 0),
        Fallocate(0, 5, 0, (1 << 63) - 1, 1),
    ],
    ids=str,
)
def test_what_no_primary_means_is_refused(operation: Operation) -> None:
    with pytest.raises(PeerProtocolError):
        _decode(operation)


def test_the_private_name_is_reserved_in_the_root_only() -> None:
    inside = Unlink(0, 5, 2, b".mirrorfarm")
    assert _decode(inside) == inside


def test_booleans_are_0_or_1() -> None:
    with pytest.raises(PeerProtocolError):
        decode(Kind.FSYNC, memoryview(b"\5" + bytes(7) + b"\0\0\2" + bytes(13)), 1)
