"""A write that the peers have applied and that failed here for want of room: they get this node's true content back.

All operations wait while a repair is under way, and it begins when all that was shipped is applied here: so the
content that is read is the one that belongs at this point of the stream. Whatever else waits for such a moment comes
after it: a join that came to its end before would be of a copy with what failed. The caller gets the error only when
every peer has been repaired, or has left the record.
"""

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from manager.model.errors import MirrorfarmError
from replicator.core.completions import Gate
from replicator.core.filesystem import PUNCH_HOLE
from replicator.core.operations import Attribute, Fallocate, Operation, SetAttr, Write
from replicator.dirty_keeper import DirtyKeeper
from replicator.disk.volume import Volume
from replicator.order import Moment, Order
from replicator.peer import Peer

_CODES: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CHUNK: Final = 1 << 20


def can_be_repaired(operation: Operation, error: OSError) -> bool:
    """Whether the failure here is one of those after which the peer is repaired."""
    return operation.__class__ in (Write, Fallocate) and error.errno in _CODES


class RepairedOrder(Order, Protocol):
    """The primary, as far as this is concerned."""

    @property
    def keeper(self) -> DirtyKeeper:
        """Of the list of what the peer may lack."""
        ...

    def when_quiet_first(self, callback: Moment) -> None:
        """As ``when_quiet``, before whatever was asked for until now."""
        ...

    def rest(self) -> None:
        """Does what waits for a moment, if this is one."""
        ...


class Repairs:
    """The repairs of one primary, one after the other."""

    def __init__(self, primary: RepairedOrder) -> None:
        self._primary = primary
        self.count = 0
        """How many were begun."""
        self._queue: deque[tuple[Write | Fallocate, Callable[[int], None], int]] = deque()
        self._steps: Iterator[Operation] | None = None
        self._waits_for: set[Peer] = set()

    @property
    def under_way(self) -> bool:
        """Whether a peer has something that failed here, and is not repaired yet."""
        return bool(self._queue)

    @property
    def operations(self) -> list[Operation]:
        """Those that failed here, and whose peers are not repaired yet."""
        return [operation for operation, _, _ in self._queue]

    def add(self, operation: Operation, done: Callable[[int], None], error: OSError) -> None:
        """``operation`` failed here with ``error``: ``done`` gets it when the peers are repaired."""
        assert isinstance(operation, Write | Fallocate)
        self._queue.append((operation, done, error.errno or errno.ENOSPC))
        if len(self._queue) == 1:
            self._primary.when_quiet_first(self._begin)

    def lost(self, peer: Peer) -> None:
        """The peer is not to be repaired any more; :meth:`changed` follows."""
        self._waits_for.discard(peer)

    def changed(self) -> None:
        """Who stands or is required has changed."""
        if self._steps is not None:
            self._advance()

    def _begin(self) -> None:
        self._primary.completions.shut(Gate.REPAIR)
        self.count += 1
        operation = self._queue[0][0]
        self._steps = _true_content(self._primary.volumes[operation.volume], operation)
        self._advance()

    def _advance(self) -> None:
        """Sends the next step to all once they have the last one; at the end the caller gets its error."""
        primary = self._primary
        while self._steps is not None and not self._waits_for and not primary.stopped:
            try:
                step = next(self._steps, None) if primary.standing else None
                if step is not None:
                    self._ship(step)
            except (OSError, MirrorfarmError) as error:
                primary.fail(f"what the peer has to be repaired with cannot be read, or told: {error}")
                return
            if step is None:
                self._end()
                return

    def _ship(self, step: Operation) -> None:
        concerned = [peer for peer in self._primary.standing if not peer.never_hears_of(step)]
        self._waits_for = set(concerned)
        self._primary.keeper.mark(step)
        for peer in concerned:
            peer.ship_to(step, self._acknowledged(peer))

    def _acknowledged(self, peer: Peer) -> Callable[[], None]:
        def acknowledged() -> None:
            self._waits_for.discard(peer)
            self._advance()

        return acknowledged

    def _end(self) -> None:
        """Completes, unless a lost peer that is still in the record may have what was not repaired."""
        primary = self._primary
        if primary.completions.held:
            return
        self._steps = None
        _, done, code = self._queue.popleft()
        primary.completions.open(Gate.REPAIR)
        if self._queue:
            primary.when_quiet_first(self._begin)
        done(-code)
        primary.rest()


def _true_content(volume: Volume, operation: Write | Fallocate) -> Iterator[Operation]:
    """The operations that give a peer what this node has in the range of ``operation``.

    Raises OSError and DivergenceError.
    """
    inode = volume.inode(operation.inode)
    length = len(operation.data) if isinstance(operation, Write) else operation.length
    size = volume.status(inode).st_size
    position, end = operation.offset, min(operation.offset + length, size)
    index = volume.index
    while position < end:
        file = volume.data_fd(inode, False)
        start, stop = _next_data(file, position, end)
        if start > position:
            yield Fallocate(index, inode.id, PUNCH_HOLE, position, start - position)
        position = start
        while position < stop:
            data = os.pread(volume.data_fd(inode, False), min(_CHUNK, stop - position), position)
            if not data:
                break
            yield Write(index, inode.id, position, data)
            position += len(data)
    # A truncation to the size that the peer has already changes nothing there but its times.
    status = volume.status(inode)
    valid = Attribute.SIZE | Attribute.MTIME
    yield SetAttr(index, inode.id, int(valid), size=status.st_size, mtime_ns=status.st_mtime_ns)


def _next_data(file: int, position: int, end: int) -> tuple[int, int]:
    """Where the next data of the range begins and stops; both ``end`` when the rest is a hole."""
    try:
        start = os.lseek(file, position, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return end, end
    if start >= end:
        return end, end
    return start, min(end, os.lseek(file, start, os.SEEK_HOLE))
