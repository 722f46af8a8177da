"""Operations and messages as hypothesis draws them: all that a primary can mean, and nothing else."""

import stat
from typing import Any

from hypothesis import strategies as st

from replicator.core.filesystem import Free, Limits
from replicator.core.operations import (
    Attribute,
    Bind,
    Create,
    Fallocate,
    Fsync,
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
from replicator.wire.copying import BLOCK, DIGEST
from replicator.wire.messages import Hello, Refusal, Refused, Welcome

VOLUMES = 3
_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)

volumes = st.integers(0, VOLUMES - 1)
inodes = st.integers(1, (1 << 63) - 1)
others = st.integers(2, (1 << 63) - 1)
owners = st.integers(0, (1 << 32) - 2)
numbers = st.integers(0, (1 << 63) - 1)
_IN_NAMES = bytes.maketrans(b"\0/", b"\1.")
names = (
    st.binary(min_size=1, max_size=255)
    .map(lambda name: name.translate(_IN_NAMES))
    .filter(lambda name: name not in (b".", b"..", b".mirrorfarm"))
)
xattr_names = st.lists(st.integers(1, 255), min_size=1, max_size=255).map(bytes)
targets = st.lists(st.integers(1, 255), min_size=1, max_size=300).map(bytes)
times = st.integers(-(1 << 63) * 1_000_000_000, ((1 << 63) - 1) * 1_000_000_000 + 999_999_999)

writes = st.builds(Write, volumes, inodes, st.integers(0, 1 << 62), st.binary(max_size=2000))


@st.composite
def _creates(draw: st.DrawFn) -> Create:
    link = draw(st.booleans())
    mode = stat.S_IFLNK | 0o777 if link else draw(st.sampled_from(_TYPES)) | draw(st.integers(0, 0o7777))
    return Create(
        draw(volumes),
        draw(others),
        draw(inodes),
        draw(names),
        mode,
        draw(st.integers(0, 0o777)),
        draw(owners),
        draw(owners),
        draw(st.integers(0, (1 << 32) - 1)),
        draw(targets) if link else b"",
    )


@st.composite
def _renames(draw: st.DrawFn) -> Rename:
    flags = draw(st.sampled_from((0, 1, 2)))
    replaced = draw(others) if flags == 2 or (flags == 0 and draw(st.booleans())) else 0
    return Rename(draw(volumes), draw(others), draw(inodes), draw(names), draw(inodes), draw(names), flags, replaced)


@st.composite
def _setattrs(draw: st.DrawFn) -> SetAttr:
    valid = Attribute(draw(st.integers(0, sum(Attribute))))

    def when(bit: Attribute, values: st.SearchStrategy[int]) -> int:
        return draw(values) if valid & bit else 0

    return SetAttr(
        draw(volumes),
        draw(inodes),
        int(valid),
        when(Attribute.MODE, st.integers(0, 0o177777)),
        when(Attribute.UID, owners),
        when(Attribute.GID, owners),
        when(Attribute.SIZE, numbers),
        when(Attribute.ATIME, times),
        when(Attribute.MTIME, times),
    )


operations: st.SearchStrategy[Operation] = st.one_of(
    writes,
    _creates(),
    st.builds(Unlink, volumes, others, inodes, names),
    st.builds(Rmdir, volumes, others, inodes, names),
    _renames(),
    st.builds(Link, volumes, others, inodes, names),
    _setattrs(),
    st.builds(
        SetXattr, volumes, inodes, xattr_names, st.binary(max_size=500), st.sampled_from((0, 1, 2)), st.booleans()
    ),
    st.builds(RemoveXattr, volumes, inodes, xattr_names),
    st.builds(
        Fallocate, volumes, inodes, st.sampled_from((0, 1, 3, 16, 17)), st.integers(0, 1 << 62), st.integers(1, 1 << 61)
    ),
    st.builds(Fsync, volumes, inodes, st.booleans(), st.none() | times),
    st.builds(Bind, volumes, others, inodes, names),
    st.builds(Unbind, volumes, others),
)

_text = st.text(st.characters(codec="utf-8"), max_size=30)
_limits = st.builds(
    Limits, numbers, numbers, numbers, numbers, st.lists(st.integers(0, 31), max_size=5).map(tuple), st.booleans()
)
_epochs = st.integers(1, (1 << 23) - 1)
bases = st.text("0123456789abcdef", min_size=16, max_size=16)


def _handshake(kind: type, draw: st.DrawFn, **fields: Any) -> Any:
    return kind(node=draw(_text), boot_id=draw(_text), instance=draw(_text), epoch=draw(_epochs), **fields)


@st.composite
def _hellos(draw: st.DrawFn) -> Hello:
    limits = tuple(draw(st.lists(_limits, min_size=1, max_size=3)))
    identity = {"cluster_id": draw(_text), "module_id": draw(_text)}
    message: Hello = _handshake(Hello, draw, directories=len(limits), limits=limits, **identity)
    return message


@st.composite
def _welcomes(draw: st.DrawFn) -> Welcome:
    limits = tuple(draw(st.lists(_limits, min_size=1, max_size=3)))
    free = tuple(Free(draw(numbers), draw(numbers)) for _ in limits)
    noted = tuple(draw(st.lists(bases, max_size=2)))
    message: Welcome = _handshake(Welcome, draw, limits=limits, free=free, bases=noted)
    return message


handshakes: st.SearchStrategy[Hello | Welcome | Refused] = st.one_of(
    _hellos(), _welcomes(), st.builds(Refused, st.sampled_from(Refusal), _text)
)


def digests_of(length: int) -> tuple[bytes, ...]:
    """As of a span of so many bytes, each block's another one."""
    return tuple(bytes((index,)) * DIGEST for index in range(-(-length // BLOCK)))
