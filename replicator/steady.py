"""Reads files of the primary so that what was read is true at the very point of the stream where it is used.

Because the peer goes first, a file here lags the stream while an operation on it is under way. What a thread read is
good only if nothing was under way on the inode before, and nothing was issued since; else it is read again, and after
three times at a quiet moment, while the application waits. Who reads, and what for, is not known here.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from replicator.copy_ports import Background, Loop, Order
from replicator.core.operations import Operation
from replicator.disk.volume import Inode, Volume

_T = TypeVar("_T")
_ATTEMPTS: Final = 3
_PAUSE_S: Final = 0.005


@dataclass(slots=True)
class _Read:
    """What somebody wants to know of a file."""

    volume: int
    inode: Inode
    work: Callable[[int], Any]
    done: Callable[[Any], None]
    gone: Callable[[OSError | None], None]
    attempts: int = 0


@dataclass(slots=True)
class _Watch:
    """On an inode that is being read."""

    readers: int = 0
    changes: int = 0
    """Operations issued on it."""


class SteadyReader:
    """Of one peer, while its join goes on."""

    def __init__(self, loop: Loop, moments: Order, volumes: Sequence[Volume], background: Background) -> None:
        self._loop = loop
        self._moments = moments
        self._volumes = volumes
        self._background = background
        self._watched: dict[tuple[int, int], _Watch] = {}
        self._closed = False

    def close(self) -> None:
        """Nothing is called any more."""
        self._closed = True

    def note(self, operation: Operation) -> None:
        """An operation is about to be shipped."""
        watched = self._watched
        if watched:
            watch = watched.get((operation.volume, operation.inode))
            if watch is not None:
                watch.changes += 1

    def read(
        self,
        volume: int,
        inode: Inode,
        work: Callable[[int], _T],
        done: Callable[[_T], None],
        gone: Callable[[OSError | None], None],
    ) -> None:
        """Calls ``done`` with what ``work`` made of a descriptor of the file, when that is true at this point.

        Or ``gone``: with None when the inode has no name any more, with the error when it cannot be read. The caller
        holds the inode. ``work`` is called in a thread, or on the loop at a quiet moment. Called on the loop.
        """
        self._attempt(_Read(volume, inode, work, done, gone))

    def _attempt(self, read: _Read) -> None:
        if self._closed:
            return
        if read.inode.unlinked:
            read.gone(None)
        elif read.attempts >= _ATTEMPTS:
            self._moments.when_quiet(partial(self._read_here, read))
        elif read.inode.pending:
            self._again(read)
        else:
            self._read_beside(read)

    def _again(self, read: _Read) -> None:
        read.attempts += 1
        self._loop.call_later(_PAUSE_S * read.attempts, self._attempt, read)

    def _read_beside(self, read: _Read) -> None:
        try:
            file = self._volumes[read.volume].duplicate(read.inode)
        except OSError as error:
            read.gone(error)
            return
        key = (read.volume, read.inode.id)
        watch = self._watched.setdefault(key, _Watch())
        watch.readers += 1
        before = watch.changes

        def run() -> object:
            try:
                return read.work(file)
            finally:
                os.close(file)

        def leave() -> None:
            watch.readers -= 1
            if not watch.readers:
                del self._watched[key]

        def finished(result: object) -> None:
            leave()
            if self._closed:
                return
            if watch.changes != before or read.inode.pending:
                self._again(read)
            elif read.inode.unlinked:
                read.gone(None)
            else:
                read.done(result)

        def failed(error: OSError) -> None:
            leave()
            if not self._closed:
                read.gone(error)

        self._background.run(run, finished, failed)

    def _read_here(self, read: _Read) -> None:
        if self._closed:
            return
        if read.inode.unlinked:
            read.gone(None)
            return
        try:
            result = read.work(self._volumes[read.volume].data_fd(read.inode, False))
        except OSError as error:
            read.gone(error)
            return
        read.done(result)
