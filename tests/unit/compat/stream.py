"""An example of the body of each frame of the stream, and how it is read and written again. One table.

The bodies of the handshake are JSON and stand with the other forms.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from replicator.core.filesystem import Free
from replicator.core.operations import (
    Attribute,
    Bind,
    Create,
    Fallocate,
    Fsync,
    Kind,
    Link,
    Operation,
    RemoveXattr,
    Rename,
    Rmdir,
    SetAttr,
    SetXattr,
    Unbind,
    Unlink,
    Write,
)
from replicator.wire import copying, messages, small_files, verifying
from replicator.wire.copying import (
    DIGEST,
    Attributes,
    Compare,
    Entry,
    EntryFlag,
    Equalise,
    Listed,
    Listing,
    Part,
)
from replicator.wire.frames import FrameKind, pack
from replicator.wire.operations import decode, encode
from replicator.wire.small_files import NOT_THERE, CompareSmall, SmallFile
from replicator.wire.verifying import CheckState, Found, Keep, VerifyCompare, What

EPOCH = 5
SEQUENCE = 9
_VOLUMES = 3
_BLOCKS = 2
_DIGESTS = (b"a" * DIGEST, b"b" * DIGEST)
_LENGTH = copying.BLOCK + 100
_FILE = Attributes(77, 0o100644, 1000, 100, 0, 4096, 1_700_000_000_123_456_789, 2, EntryFlag.UNSETTLED, b"", ())
_LINK = Attributes(78, 0o120777, 0, 0, 0, 0, -1, 1, 0, b"../target", ((b"user.a", b"\0\xff"),))
_OPERATIONS: tuple[Operation, ...] = (
    Write(0, 77, 1 << 33, b"data"),
    Create(1, 79, 1, b"name", 0o120777, 0o022, 1000, 100, 0, b"target"),
    Unlink(0, 77, 1, b"n\xc3\xa4me"),
    Rmdir(0, 80, 1, b"directory"),
    Rename(0, 77, 1, b"old", 80, b"new", 0, 81),
    Link(0, 77, 1, b"other"),
    SetAttr(0, 77, sum(Attribute), 0o100600, 1, 2, 4096, 1_700_000_000_000_000_001, -1),
    SetXattr(2, 77, b"user.a", b"value", 1, True),
    RemoveXattr(2, 77, b"user.a"),
    Fallocate(0, 77, 3, 4096, 8192),
    Fsync(0, 77, True, 1_700_000_000_000_000_001),
    Bind(0, 77, 1, b"name"),
    Unbind(0, 77),
)


@dataclass(frozen=True, slots=True)
class Body:
    """What a frame says, and both ways between it and bytes."""

    says: Any
    write: Callable[[Any], bytes]
    read: Callable[[memoryview], Any]


def _operation(operation: Operation) -> Body:
    return Body(
        operation,
        lambda says: b"".join(bytes(part) for part in encode(says)),
        lambda body: decode(operation.kind, memoryview(bytes(body)), _VOLUMES),
    )


def _listing(listing: Listing) -> bytes:
    entries = [copying.encode_entry(entry) for entry in listing.entries]
    return copying.encode_part(listing.volume, listing.part, listing.path, listing.own, entries)


_LISTING = Body(
    Listing(0, Part.FIRST | Part.LAST, (b"a", b"b"), _FILE, (Entry(b"file", _FILE), Entry(b"link", _LINK))),
    _listing,
    lambda body: copying.decode_listing(body, _VOLUMES),
)
_BARE = Body(None, lambda _: b"", lambda body: None if not body else bytes(body))

BODIES: dict[str, Body] = {
    **{Kind(operation.kind).name: _operation(operation) for operation in _OPERATIONS},
    "PING": _BARE,
    "ACK": _BARE,
    "DURABLE": _BARE,
    "BARRIER": _BARE,
    "BARRIER_DONE": _BARE,
    "SET_ASIDE": _BARE,
    "FSYNCED": Body(28, messages.encode_fsynced, messages.decode_fsynced),
    "FREE": Body([Free(1 << 40, 1 << 20), Free(0, 0)], messages.encode_free, messages.decode_free),
    "FAILED": Body("the disk is full", messages.encode_failed, messages.decode_failed),
    "PROMISE_ASK": Body(1 << 50, messages.encode_promise_ask, messages.decode_promise_ask),
    "PROMISE": Body((1 << 50, 8000), lambda says: messages.encode_promise(*says), messages.decode_promise),
    "LISTING": _LISTING,
    "VERIFY_LISTING": _LISTING,
    "LISTED": Body(
        Listed(True, (0, 4), frozenset({4})), copying.encode_listed, lambda body: copying.decode_listed(body, 5)
    ),
    "EQUALISE": Body(Equalise(1, _LINK), copying.encode_equalise, lambda body: copying.decode_equalise(body, _VOLUMES)),
    "COMPARE": Body(
        Compare(0, 77, 0, _LENGTH, _DIGESTS),
        copying.encode_compare,
        lambda body: copying.decode_compare(body, _VOLUMES),
    ),
    "WANT": Body(0b10, copying.encode_want, lambda body: copying.decode_want(body, _BLOCKS)),
    "VERIFY_COMPARE": Body(
        VerifyCompare(0, (b"a", b"file"), 0, _LENGTH, _DIGESTS),
        verifying.encode_verify_compare,
        lambda body: verifying.decode_verify_compare(body, _VOLUMES),
    ),
    "VERIFY_ANSWER to VERIFY_COMPARE": Body(
        (CheckState.COMPARED, 0b01),
        lambda says: verifying.encode_checked(*says),
        lambda body: verifying.decode_checked(body, _BLOCKS),
    ),
    "VERIFY_ANSWER to VERIFY_LISTING": Body(
        (12, tuple(Found(b"name", what, "here", "there") for what in What)),
        lambda says: verifying.encode_found(*says),
        verifying.decode_found,
    ),
    "FINISH": Body("0123456789abcdef", messages.encode_finish, messages.decode_finish),
    "FORGET": Body(8, messages.encode_forget, messages.decode_forget),
    "KEEP": Body(Keep(0, (b"a", b"gone")), verifying.encode_keep, lambda body: verifying.decode_keep(body, _VOLUMES)),
    "COMPARE_SMALL": Body(
        CompareSmall(0, (SmallFile(77, 1, b"small", 100, _DIGESTS[:1]), SmallFile(78, 0, b"", _LENGTH, _DIGESTS))),
        small_files.encode_compare_small,
        lambda body: small_files.decode_compare_small(body, _VOLUMES),
    ),
    "WANT_SMALL": Body(
        bytes((NOT_THERE, 0b11)),
        small_files.encode_want_small,
        lambda body: small_files.decode_want_small(body, (100, _LENGTH)),
    ),
}
"""By the kind of the frame, and what it answers where that makes a difference."""


def kind_of(name: str) -> FrameKind:
    """Of an entry of :data:`BODIES`."""
    return FrameKind[name.partition(" ")[0]]


def frame(name: str) -> bytes:
    """The whole frame of an entry of :data:`BODIES`."""
    body = BODIES[name].write(BODIES[name].says)
    return pack(kind_of(name), EPOCH, SEQUENCE, body) + body
