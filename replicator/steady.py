"""Reads files of the primary so that what was read is true at the very point of the stream where it is used.

Because the peer goes first, a file here lags the stream while an operation on it is under way. What a thread read is
good only if nothing that concerns what it looked at was under way before, nor was issued since; else it is read again,
and after three times at a quiet moment, while the application waits. What somebody writes in another part of the file
does not matter: so a file that is written to all the time is read like any other, unless it is written to at one place.
Who reads, and what for, is not known here.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from manager.model.errors import MirrorfarmError
from replicator.copy_ports import Background, Loop, Order
from replicator.core.operations import Attribute, Fallocate, Operation, SetAttr, Write
from replicator.disk.volume import Inode, Volume

_T = TypeVar("_T")
Extent = tuple[int, int]
"""Offset and end of a part of a file."""
UNENDING: Final = 1 << 63
"""The end of what goes on beyond the end of any file."""
_ALL: Final = (0, UNENDING)
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 0.001
"""Until what is under way is applied, if all goes well."""
_MOST_CHANGES: Final = 64
"""That are remembered during one reading; with more all counts as changed."""


@dataclass(eq=False, slots=True)
class _Read:
    """What somebody wants to know of a file."""

    volume: int
    inode: Inode
    work: Callable[[int], Any]
    done: Callable[[Any], None]
    gone: Callable[[Exception | None], None]
    extent: Callable[[Any], Extent] | None
    steady: Callable[[], bool] | None
    attempts: int = 0
    changes: list[Extent] = field(default_factory=list)
    """What of the content was under way when the reading began, or was issued since."""
    changed: bool = False
    """Something was, of whatever sort."""

    def note(self, operation: Operation) -> None:
        """An operation on the inode."""
        self.changed = True
        if self.extent is None or len(self.changes) > _MOST_CHANGES:
            return
        part = _part_of(operation)
        if part is not None:
            self.changes.append(part)

    def is_true(self, result: object) -> bool:
        """Whether what was read is so at this point of the stream."""
        if self.extent is None or not self.changed:
            return not self.changed
        if len(self.changes) > _MOST_CHANGES:
            return False
        offset, end = self.extent(result)
        return not any(begin < end and offset < stop for begin, stop in self.changes)


@dataclass(eq=False, slots=True)
class _Glance:
    """As _Read, of what is read but once, with all that could follow left to others."""

    volume: int
    inode: Inode
    changed: bool = False

    def note(self, _operation: Operation) -> None:
        """An operation on the inode."""
        self.changed = True


def _part_of(operation: Operation) -> Extent | None:
    """The part of its inode's content that an operation may change; ``None``: nothing of it."""
    if isinstance(operation, Write):
        return operation.offset, operation.offset + len(operation.data)
    if isinstance(operation, Fallocate):
        return operation.offset, operation.offset + operation.length
    if isinstance(operation, SetAttr) and operation.valid & Attribute.SIZE:
        return _ALL
    return None


class SteadyReader:
    """Of one peer, while its join goes on."""

    def __init__(self, loop: Loop, moments: Order, volumes: Sequence[Volume], background: Background) -> None:
        self._loop = loop
        self._moments = moments
        self._volumes = volumes
        self._background = background
        self._watched: dict[tuple[int, int], list[_Read | _Glance]] = {}
        """What is being read, by inode."""
        self._closed = False

    def close(self) -> None:
        """Nothing is called any more."""
        self._closed = True

    def note(self, operation: Operation) -> None:
        """An operation is about to be shipped."""
        watched = self._watched
        if watched:
            for read in watched.get((operation.volume, operation.inode), ()):
                read.note(operation)

    def read(
        self,
        volume: int,
        inode: Inode,
        work: Callable[[int], _T],
        done: Callable[[_T], None],
        gone: Callable[[Exception | None], None],
        extent: Callable[[_T], Extent] | None = None,
        steady: Callable[[], bool] | None = None,
    ) -> None:
        """Calls ``done`` with what ``work`` made of a descriptor of the file, when that is true at this point.

        Or ``gone``: with None when the inode has no name any more, with the error when it cannot be read (OSError) or
        is not where it was (DivergenceError); either of them once, and never before this returns. The caller holds the
        inode. ``work`` is called in a thread, or on the loop at a quiet moment. Called on the loop.

        ``extent`` tells what part of the content a result rests on, and nothing else of the file; without it every
        operation on the inode counts. ``steady`` tells whether whatever else it rests on is so at this point; at a
        quiet moment that is not asked.
        """
        self._attempt(_Read(volume, inode, work, done, gone, extent, steady))

    def read_once(
        self,
        volume: int,
        works: Sequence[tuple[Inode, Callable[[int], _T | None]]],
        done: Callable[[list[_T | None]], None],
    ) -> None:
        """Calls ``done`` with what each of ``works`` made of a descriptor of its file, one after the other in a thread.

        None for each that it is not true of at this point, because of any operation on the inode, or that cannot be
        read, or has no name: :meth:`read` is for these, which tries again and says why. The caller holds the inodes.
        """
        glances = [_Glance(volume, inode) for inode, _ in works]
        files: list[int | None] = []
        for glance in glances:
            files.append(self._open(glance))
            self._watched.setdefault((volume, glance.inode.id), []).append(glance)

        def run() -> list[_T | None]:
            return [None if file is None else _once(work, file) for file, (_, work) in zip(files, works, strict=True)]

        def finished(results: list[_T | None]) -> None:
            for glance in glances:
                self._leave(glance)
            if not self._closed:
                found = zip(results, glances, strict=True)
                done([None if glance.changed or glance.inode.unlinked else result for result, glance in found])

        def failed(_error: OSError) -> None:
            finished([None] * len(glances))

        self._background.run(run, finished, failed)

    def _open(self, glance: _Glance) -> int | None:
        """None: something is under way on it, or it cannot be opened."""
        if glance.inode.pending or glance.inode.unlinked:
            return None
        try:
            return self._volumes[glance.volume].open_to_read(glance.inode)
        except (OSError, MirrorfarmError):
            return None

    def _leave(self, read: _Read | _Glance) -> None:
        key = (read.volume, read.inode.id)
        reads = self._watched[key]
        reads.remove(read)
        if not reads:
            del self._watched[key]

    def _attempt(self, read: _Read) -> None:
        if self._closed:
            return
        if read.inode.unlinked:
            self._loop.call_soon(self._gone, read, None)
        elif read.attempts >= _ATTEMPTS:
            self._moments.when_quiet(partial(self._read_here, read))
        elif read.inode.pending and read.extent is None:
            self._again(read)
        else:
            self._read_beside(read)

    def _again(self, read: _Read) -> None:
        read.attempts += 1
        self._loop.call_later(_PAUSE_S, self._attempt, read)

    def _read_beside(self, read: _Read) -> None:
        try:
            file = self._volumes[read.volume].duplicate(read.inode)
        except (OSError, MirrorfarmError) as error:
            self._loop.call_soon(self._gone, read, error)
            return
        key = (read.volume, read.inode.id)
        read.changes, read.changed = [], False
        if read.inode.pending:
            for operation in self._moments.underway_on(*key):
                read.note(operation)
        self._watched.setdefault(key, []).append(read)

        def run() -> object:
            try:
                return read.work(file)
            finally:
                os.close(file)

        def finished(result: object) -> None:
            self._leave(read)
            if self._closed:
                return
            if not read.is_true(result) or (read.steady is not None and not read.steady()):
                self._again(read)
            elif read.inode.unlinked:
                read.gone(None)
            else:
                read.done(result)

        def failed(error: OSError) -> None:
            self._leave(read)
            self._gone(read, error)

        self._background.run(run, finished, failed)

    def _gone(self, read: _Read, error: Exception | None) -> None:
        if not self._closed:
            read.gone(error)

    def _read_here(self, read: _Read) -> None:
        if self._closed:
            return
        if read.inode.unlinked:
            read.gone(None)
            return
        try:
            result = read.work(self._volumes[read.volume].data_fd(read.inode, False))
        except (OSError, MirrorfarmError) as error:
            read.gone(error)
            return
        read.done(result)


def _once(work: Callable[[int], _T | None], file: int) -> _T | None:
    try:
        return work(file)
    except OSError:
        return None
    finally:
        os.close(file)
