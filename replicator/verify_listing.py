"""Lists a directory for a comparison beside the application: in short turns of the loop, while operations go on.

A listing is of one point of the stream. So what was under way when it began, and all that is shipped until its end, is
looked at: if nothing of that concerns the directory, what is in it or the way to it, then it is at the end as it was
listed. Else it is listed anew; a directory in which something always happens is listed at a quiet moment at last, while
the application waits. What becomes of a listing is not known here.
"""

from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Final, Protocol

from manager.model.errors import MirrorfarmError
from replicator.copy_ports import Host, Loop
from replicator.core.operations import Create, Link, Operation, Rename, Rmdir, Unlink
from replicator.disk.listing import Surveyed, list_directory
from replicator.disk.volume import Inode, Volume
from replicator.order import Moment
from replicator.throttle import Throttle
from replicator.verify_reading import ReadOrder

_ATTEMPTS: Final = 2
_SLICE_S: Final = 0.001
"""How long entries are listed before others have their turn."""
_SLICE_BYTES: Final = 256 << 10
"""What such a turn counts as: while the application works it is alone, and followed by a rest."""
_MOST_NOTED: Final = 10_000


class ListedOrder(ReadOrder, Protocol):
    """The primary."""

    def when_quiet(self, callback: Moment) -> None:
        """Calls ``callback`` when nothing is under way."""
        ...


class VerifyListing:
    """Of one directory after the other; the caller holds it."""

    def __init__(
        self,
        loop: Loop,
        order: ListedOrder,
        host: Host,
        throttle: Throttle,
        done: Callable[[Surveyed], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """For each :meth:`begin` one of these is called: ``done`` at a moment when the directory is so, or ``failed``.

        What is held of it passes over.
        """
        self._loop = loop
        self._order = order
        self._host = host
        self._throttle = throttle
        self._done = done
        self._failed = failed
        self._volume: Volume | None = None
        self._directory: Inode | None = None
        self._steps: Generator[None, None, Surveyed] | None = None
        self._attempts = 0
        self._noted: list[Operation] = []
        """What was under way when the listing began, or was shipped since."""
        self._scheduled = False
        self._closed = False

    def note(self, operation: Operation) -> None:
        """It is about to be shipped."""
        if self._steps is not None and len(self._noted) <= _MOST_NOTED:
            self._noted.append(operation)

    def close(self) -> None:
        """Nothing is called any more."""
        self._closed = True
        self._drop_steps()

    def begin(self, volume: Volume, directory: Inode) -> None:
        """Lists it, beginning now or when :meth:`go_on` is called."""
        self._volume, self._directory, self._attempts = volume, directory, 0
        self._steps = None
        self.go_on()

    def go_on(self) -> None:
        """Goes on with what was begun, as far as it may now."""
        if self._closed or self._scheduled or self._directory is None or self._volume is None:
            return
        throttle = self._throttle
        if self._attempts >= _ATTEMPTS:
            if throttle.may_have_moment():
                volume, directory = self._volume, self._directory
                self._directory = None
                self._order.when_quiet(lambda: self._list_here(volume, directory))
        elif throttle.may_begin(_SLICE_BYTES):
            throttle.begin(_SLICE_BYTES)
            surveyed = self._advance(self._volume, self._directory)
            throttle.end()
            if surveyed is not None:
                self._directory = None
                self._done(surveyed)
            else:
                self._scheduled = True
                self._loop.call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._scheduled = False
        self.go_on()

    def _advance(self, volume: Volume, directory: Inode) -> Surveyed | None:
        """What was listed, if that is so now; ``None``: it has to go on."""
        if self._steps is None:
            self._noted = self._order.underway_in(volume.index)
            self._steps = self._list(volume, directory)
        until = self._loop.time() + _SLICE_S
        try:
            next(self._steps)
            while self._loop.time() < until:
                next(self._steps)
        except StopIteration as end:
            surveyed: Surveyed = end.value
            self._steps = None
            if self._is_true(volume, directory, surveyed):
                return surveyed
            for inode in surveyed.held:
                self._host.release(volume.index, inode)
            self._attempts += 1
        except (OSError, MirrorfarmError):
            # Something may have been moved meanwhile. Whatever is wrong is so at a quiet moment too.
            self._drop_steps()
            self._attempts += 1
        return None

    def _list(self, volume: Volume, directory: Inode) -> Generator[None, None, Surveyed]:
        is_touched, release = partial(self._host.is_touched, volume.index), partial(self._host.release, volume.index)
        return list_directory(volume, directory, is_touched, release)

    def _is_true(self, volume: Volume, directory: Inode, surveyed: Surveyed) -> bool:
        if len(self._noted) > _MOST_NOTED:
            return False
        listed = {directory.id, *(entry.attributes.inode for entry in surveyed.entries)}
        above = {bind.inode for bind in volume.ancestry(directory)}
        for operation in self._noted:
            named = _named(operation)
            if named & listed or (isinstance(operation, Rename) and named & above):
                return False
        return True

    def _drop_steps(self) -> None:
        steps, self._steps = self._steps, None
        if steps is not None:
            steps.close()

    def _list_here(self, volume: Volume, directory: Inode) -> Iterator[None]:
        """At a quiet moment."""
        began_s = self._loop.time()
        try:
            surveyed = yield from self._list(volume, directory)
        except (OSError, MirrorfarmError) as error:
            if not self._closed:
                self._failed(error)
            return
        if self._closed:
            for inode in surveyed.held:
                self._host.release(volume.index, inode)
            return
        self._throttle.moment_ended(began_s)
        self._done(surveyed)


def _named(operation: Operation) -> set[int]:
    """The inodes that an operation concerns."""
    named = {operation.inode}
    if isinstance(operation, Create | Link | Unlink | Rmdir | Rename):
        named.add(operation.parent)
    if isinstance(operation, Rename):
        named |= {operation.new_parent, operation.replaced}
    return named
