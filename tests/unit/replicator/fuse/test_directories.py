"""Directories are read to their end, whatever others remove meanwhile; without a mount."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from manager.model.ids import ROOT_INODE
from replicator.core.filesystem import PRIVATE_NAME
from replicator.disk.inode_ids import InodeIds
from replicator.disk.volume import Volume
from replicator.fuse import abi
from replicator.fuse.abi import Opcode
from replicator.fuse.context import Context
from replicator.fuse.handlers_directories import DirectoryHandlers
from replicator.fuse.requests import Header, Open, Read
from tests.unit.replicator.fuse.test_context import Gate

_ENTRY_BYTES = 16384
"""Of one READDIRPLUS: fewer entries than are read from the file system below at once."""
_OF_THE_LOOKUP = abi.ENTRY_HEAD.size + abi.ATTR.size


class Reader:
    """The kernel's part: asks, and takes the answers in."""

    def __init__(self, volume: Volume) -> None:
        context = Context(volume, Gate(volume), self, cast(Any, None), lambda error: None)
        self._handlers = DirectoryHandlers(context)
        self._answer = b""
        self._handlers.opendir(_header(Opcode.OPENDIR), Open(0))
        self._handle, self._offset = struct.unpack_from("<Q", self._answer)[0], 0

    def ok(self, unique: int, *parts: bytes | memoryview) -> None:
        self._answer = b"".join(parts)

    def error(self, unique: int, code: int) -> None:
        raise OSError(code, "refused")

    def written(self, unique: int, count: int) -> None:
        raise AssertionError

    def attributes_changed(self, inode: int) -> None:
        raise AssertionError

    def read(self) -> list[bytes]:
        """The next names; none at the end."""
        self._handlers.readdirplus(_header(Opcode.READDIRPLUS), Read(self._handle, self._offset, _ENTRY_BYTES))
        names, place = [], 0
        while place < len(self._answer):
            place += _OF_THE_LOOKUP
            _, self._offset, length, _ = abi.DIRENT.unpack_from(self._answer, place)
            place += abi.DIRENT.size
            names.append(self._answer[place : place + length])
            place += length + -length % 8
        return names

    def close(self) -> None:
        self._handlers.close()


def _header(opcode: Opcode) -> Header:
    return Header(0, opcode, 1, ROOT_INODE, 0, 0, 0)


@contextlib.contextmanager
def reading(directory: Path) -> Iterator[Reader]:
    with contextlib.closing(Volume.open(str(directory))) as volume:
        volume.number_from(InodeIds(1))
        with contextlib.closing(Reader(volume)) as reader:
            yield reader


def test_a_listing_goes_on_behind_what_was_removed_since_it_was_read_below(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"file{number:05}").touch()
    with reading(tmp_path) as reader:
        first = reader.read()
        left = [path for path in tmp_path.iterdir() if path.name.encode() not in {*first, PRIVATE_NAME}]
        for path in left[:-10]:
            path.unlink()
        rest = []
        while names := reader.read():
            rest += names
        assert {path.name.encode() for path in left[-10:]} <= set(rest), "they were there all the time"


def test_a_listing_ends_where_all_that_was_left_is_removed(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"file{number:05}").touch()
    with reading(tmp_path) as reader:
        first = reader.read()
        for path in tmp_path.iterdir():
            if path.name.encode() not in {*first, PRIVATE_NAME}:
                path.unlink()
        assert reader.read() == []
