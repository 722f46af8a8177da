"""The file of what the other node's copy may lack: ``.mirrorfarm/dirty`` of the module's first directory.

What was handed to it is on the disk when a call returns, and nothing is believed of a file that is damaged. When a
list is made, added to, or taken away is ``replicator.dirty_keeper``'s matter; its bytes are ``dirty_format``'s.
"""

import contextlib
import errno
import os
from collections.abc import Iterable
from typing import Final

from replicator.core.dirty import Dirty
from replicator.core.dirty_codec import absorb
from replicator.disk.birthmark import birthmark
from replicator.disk.dirty_format import NONCE_BYTES, Content, Damaged, Place, group, new_file, parse

FILE: Final = "dirty"
_NEW: Final = "dirty.new"
"""The next one is written here."""


class DirtyList:
    """The one list of a node. Every method blocks; they are called one at a time, in whatever thread."""

    def __init__(self, private_fd: int) -> None:
        """``private_fd``: ``.mirrorfarm/`` of the first directory, which stays open as long as this."""
        self._private = private_fd
        self._file = -1
        self._end = Place(0, 0, 0)
        self.damage = ""
        """Why the last :meth:`load` did not believe what is there; empty: it did, or none is there."""

    def create(self, base: str, records: Iterable[bytes]) -> None:
        """A list relative to ``base`` in the place of whatever is there: whole, and on the disk when this returns.

        Raises OSError: what is there then is not to be believed, and has to be voided.
        """
        self.close()
        data, self._end = new_file(base, os.urandom(NONCE_BYTES), records, birthmark(self._private))
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(_NEW, flags, 0o600, dir_fd=self._private)
        try:
            _write(self._file, data, 0)
            os.fsync(self._file)
            os.rename(_NEW, FILE, src_dir_fd=self._private, dst_dir_fd=self._private)
            os.fsync(self._private)
        except BaseException:
            self.close()
            raise

    def append(self, records: Iterable[bytes]) -> None:
        """Adds to the list that was made or loaded; the records are on the disk when this returns.

        Raises OSError, ENOSPC too: the list takes nothing more and has to be voided, which a full disk allows.
        """
        if self._file < 0:
            raise OSError(errno.EBADF, "no list is open")
        data, end = group(self._end, records)
        try:
            _write(self._file, data, self._end.offset)
            os.fdatasync(self._file)
        except BaseException:
            self.close()
            raise
        self._end = end

    def void(self) -> None:
        """No list is there when this returns, on the disk too. Raises OSError: one may still be there."""
        self.close()
        for name in (_NEW, FILE):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=self._private)
        os.fsync(self._private)  # where none is there, too: an unlink before may not have come to the disk

    def load(self) -> tuple[str, Dirty] | None:
        """The base of the list that is there, and what it says; :meth:`append` goes on with it.

        ``None``: none is there, or it cannot be believed, and then :attr:`damage` says why; one that cannot be used is
        not believed either. A torn end, of an append that did not return, is cut off.
        """
        self.close()
        self.damage = ""
        try:
            self._file = os.open(FILE, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._private)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.damage = f"it cannot be opened: {error.strerror}"
            return None
        try:
            data = _read(self._file)
            content = parse(data, birthmark(self._private))
            dirty = _dirty_of(content)
            self._keep(data, content.end)
        except (OSError, Damaged) as error:
            self.damage = f"it cannot be used: {error.strerror}" if isinstance(error, OSError) else str(error)
            self.close()
            return None
        return content.base, dirty

    def _keep(self, data: bytes, end: Place) -> None:
        """What is believed of a file comes to the disk: a former process may have left it in the page cache alone."""
        _write(self._file, data[: end.offset], 0)  # also what the kernel takes for clean after a failed writeback
        os.ftruncate(self._file, end.offset)
        os.fsync(self._file)
        os.fsync(self._private)
        self._end = end

    def close(self) -> None:
        """Closes the file; what is on the disk stays."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _dirty_of(content: Content) -> Dirty:
    dirty = Dirty()
    for record in content.records:
        try:
            absorb(dirty, record)
        except ValueError as error:
            raise Damaged(f"a record is none: {error}") from None
    return dirty


def _read(file: int) -> bytes:
    parts = []
    while part := os.read(file, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _write(file: int, data: bytes, offset: int) -> None:
    left = memoryview(data)
    while left:
        done = os.pwrite(file, left, offset)
        offset += done
        left = left[done:]
