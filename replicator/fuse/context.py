"""What all handlers of one mounted directory share, and how an operation is issued.

The kernel serialises what conflicts: it holds the lock of a directory while it changes its names, of a file while it
writes, truncates or sets attributes. So what a handler checks is still true when the operation is applied, though
others are under way. A request that the kernel sent is answered even if its caller was killed meanwhile.
"""

import errno
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from replicator.core.filesystem import Free, Limits
from replicator.core.issuing import Issuer
from replicator.core.operations import Attribute, Fsync, Operation, SetAttr
from replicator.disk.volume import DivergenceError, Inode, Volume
from replicator.fuse.privileges import Caller, may_lose, mode_after_change
from replicator.fuse.space import SpaceGuard
from replicator.fuse.times import TouchedInodes
from replicator.fuse.untold import Untold

_T = TypeVar("_T")
MAX_NAME: Final = 255
"""Bytes of a name, in every file system of Linux that keeps extended attributes."""


class Replies(Protocol):
    """Answers requests of the kernel."""

    def ok(self, unique: int, *parts: bytes | memoryview) -> None:
        """The request succeeded; the parts follow one another."""
        ...

    def error(self, unique: int, code: int) -> None:
        """The request failed with this errno."""
        ...

    def written(self, unique: int, count: int) -> None:
        """A WRITE wrote so many bytes."""
        ...

    def attributes_changed(self, inode: int) -> None:
        """Tells the kernel to ask again for an inode's attributes; only while the kernel waits on a request for it."""
        ...


class Background(Protocol):
    """Runs what may block beside the loop."""

    def run(self, work: Callable[[], _T], done: Callable[[_T], None], failed: Callable[[OSError], None]) -> None:
        """Calls ``work`` in a thread, then on the loop ``done`` with its result or ``failed`` with its OSError."""
        ...

    def sync(self, file: int, data_only: bool, done: Callable[[None], None], failed: Callable[[OSError], None]) -> None:
        """Brings ``file`` to its disk beside the loop, and closes it; then ``done`` or ``failed``."""
        ...


class Context:
    """One mounted directory: its files, its issuer and what is known beside."""

    def __init__(
        self,
        volume: Volume,
        issuer: Issuer,
        replies: Replies,
        background: Background,
        report: Callable[[Exception], None],
        guard: SpaceGuard | None = None,
    ) -> None:
        """``guard``: of the room that the volume has (``space.guards_of``); ``None``: it has it alone."""
        self.volume: Final = volume
        self.issuer: Final = issuer
        self.replies: Final = replies
        self.background: Final = background
        self.report: Final = report
        """Told of what must not happen, such as files changed below the mount."""
        self.guard: Final = SpaceGuard(volume.free) if guard is None else guard
        self.touched: Final = TouchedInodes()
        self.untold: Final = Untold()
        self._limits = volume.limits

    @property
    def limits(self) -> Limits:
        """What the file systems of both nodes can do."""
        return self._limits

    def set_peer(self, free: Free | None, limits: Limits | None) -> None:
        """What the peer's file system has free and can do; ``None`` when there is no peer."""
        self.guard.set_peer_free(self.volume.index, free)
        self._limits = self.volume.limits.common(limits) if limits is not None else self.volume.limits

    # Issuing

    def issue(self, operation: Operation, concerned: tuple[Inode, ...], done: Callable[[int], None]) -> None:
        """Issues an operation that changes ``concerned``; ``done`` gets its result.

        Inodes without a name are this node's alone: what is done to them is done here, and not shipped.
        """
        if concerned[0].unlinked:
            done(self.apply_here(operation))
            return
        for inode in concerned:
            inode.pending += 1

        def finished(result: int) -> None:
            for inode in concerned:
                self.settle(inode)
            done(result)

        self.issuer.issue(operation, finished)

    def take_privileges(self, inode: Inode, caller: Caller) -> bool:
        """Takes the mode bits away that a change by ``caller``, who has no CAP_FSETID, takes; whether there were any.

        In the stream this comes before the change, which is to be issued next.
        """
        status = self.volume.status(inode)
        mode = mode_after_change(status.st_mode, status.st_gid, caller)
        if mode is None:
            inode.privileged = None if may_lose(status.st_mode) else False
            return False
        self.issue(SetAttr(self.volume.index, inode.id, Attribute.MODE, mode=mode), (inode,), _ignore)
        return True

    def apply_here(self, operation: Operation) -> int:
        """Applies without the peer; the result or a negative errno."""
        try:
            return self.volume.apply(operation)
        except OSError as error:
            return -(error.errno or errno.EIO)

    def settle(self, inode: Inode) -> None:
        """One operation less is under way on ``inode``, which may have waited for that to be forgotten."""
        inode.pending -= 1
        if not inode.pending and not inode.references and not inode.children:
            self.release(inode, 0)

    def answer(self, unique: int) -> Callable[[int], None]:
        """What answers a request that needs no more than success or failure."""

        def done(result: int) -> None:
            if result < 0:
                self.replies.error(unique, -result)
            else:
                self.replies.ok(unique)

        return done

    # Times and life

    def ship_time(self, inode: Inode, done: Callable[[int], None]) -> None:
        """Ships the mtime of an inode if it may differ and nothing is under way that will change it; then ``done``.

        Raises OSError and DivergenceError where it cannot be read; it is due as before then.
        """
        if not self.touched.is_due(inode.id) or inode.pending:
            done(0)
            return
        if inode.unlinked:
            self.touched.discard(inode.id)
            done(0)
            return
        mtime_ns = self.volume.status(inode).st_mtime_ns
        self.touched.ship(inode.id)

        def shipped(result: int) -> None:
            self.touched.shipped(inode.id)
            done(result)

        self.issue(SetAttr(self.volume.index, inode.id, Attribute.MTIME, mtime_ns=mtime_ns), (inode,), shipped)

    def fsync(self, inode: Inode, data_only: bool, done: Callable[[int], None]) -> None:
        """Both disks at once; unless for the data alone, with the inode's time, so that it costs no round trip."""
        mtime_ns: int | None = None
        if not data_only:
            if not self.issuer.fsync_carries_time:
                self.ship_time(inode, _ignore)
            elif self.touched.is_due(inode.id) and not inode.pending:
                mtime_ns = self.volume.status(inode).st_mtime_ns
                self.touched.discard(inode.id)
        self.issuer.fsync(Fsync(self.volume.index, inode.id, data_only, mtime_ns), done)

    def ship_all_times(self, done: Callable[[], None]) -> None:
        """Ships the time of every inode whose times may differ; ``done`` when all are applied."""
        under_way = 1

        def one_less(_result: int) -> None:
            nonlocal under_way
            under_way -= 1
            if not under_way:
                done()

        for inode_id in self.touched.all():
            inode = self.volume.table.get(inode_id)
            if inode is None:
                self.touched.discard(inode_id)
            else:
                under_way += 1
                self._ship_time_unasked(inode, one_less)
        one_less(0)

    def rest(self) -> None:
        """Ships the times of what has been at rest, and measures what is free: to be called every second."""
        try:
            self.guard.refresh()
        except OSError as error:
            self.report(error)
        for inode_id in self.touched.rested():
            inode = self.volume.table.get(inode_id)
            if inode is None:
                self.touched.discard(inode_id)
            else:
                self._ship_time_unasked(inode, _ignore)

    def _ship_time_unasked(self, inode: Inode, done: Callable[[int], None]) -> None:
        """As :meth:`ship_time` where no request waits, whose error it could be: then it is reported."""
        try:
            self.ship_time(inode, done)
        except (OSError, DivergenceError) as error:
            self.report(error)
            done(-errno.EIO)

    def release(self, inode: Inode, count: int) -> None:
        """The kernel has forgotten ``count`` look-ups of an inode. Nothing where it is not live any more."""
        if self.volume.table.get(inode.id) is not inode:
            return
        if inode.references <= count:
            self._ship_times_up(inode)
        for dropped in self.volume.release(inode, count):
            self.touched.discard(dropped)
            self.untold.forget(dropped)
            self.issuer.forgotten(self.volume.index, dropped)

    def _ship_times_up(self, inode: Inode) -> None:
        """The times of an inode that may be forgotten now, and of the directories that are live only for its sake.

        One whose time is under way stays live until that is done.
        """
        waiting = [inode]
        while waiting:
            forgotten = waiting.pop()
            self._ship_time_unasked(forgotten, _ignore)
            parents = [self.volume.table.get(parent_id) for parent_id, _ in forgotten.names]
            waiting += [parent for parent in parents if parent is not None and not parent.references]


def _ignore(_result: int) -> None:
    return None
