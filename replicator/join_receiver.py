"""The secondary's part of joining and verifying: does what copy frames say at their place in the stream, and answers.

A join begins with the first listing of a stream: from then on the disks are marked, and vouch for nothing until the
end of the join is on them. What a listing does to files is ``replicator.disk.reconcile``'s matter.
"""

import errno
import os
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from manager.model.errors import PeerProtocolError
from replicator.copy_ports import Background
from replicator.core.filesystem import PUNCH_HOLE
from replicator.disk import linux
from replicator.disk.differences import Inspector
from replicator.disk.limbo import empty_limbo, mark_joining, unmark_joining
from replicator.disk.reconcile import Reconciler
from replicator.disk.survey import differing, forget_cached, has_data, is_allocated, open_file
from replicator.disk.volume import Volume, Watch
from replicator.wire import copying, messages
from replicator.wire.copying import BLOCK, CheckState, Compare, Part
from replicator.wire.frames import FrameKind


class Answering(Protocol):
    """The link to the primary."""

    def send(self, kind: int, sequence: int, *parts: bytes | memoryview) -> None:
        """Sends a frame."""
        ...


class JoinReceiver:
    """Copier of one stream (see ``replicator.secondary``)."""

    def __init__(self, volumes: Sequence[Volume], link: Answering, background: Background) -> None:
        """Nothing is changed before the first listing comes."""
        self._volumes = volumes
        self._link = link
        self._background = background
        self._reconcilers: list[Reconciler] = []
        self._inspectors: list[Inspector] = []
        self._finishing: _Finishing | None = None
        self._watches: list[Watch] = []
        self._closed = False

    def on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        """A copy frame at its place in the stream; done when this returns, but for FINISH.

        Raises:
            OSError: it cannot be done; the copies differ.
            DivergenceError: the files are not what the frames before have made them.
            PeerProtocolError: it is not such a frame, or out of order.
        """
        count = len(self._volumes)
        if kind == FrameKind.COMPARE:
            self._compare(sequence, copying.decode_compare(body, count))
        elif kind == FrameKind.LISTING:
            listing = copying.decode_listing(body, count)
            self._begin()
            self._volumes[listing.volume].table.trim()
            self._reconcilers[listing.volume].apply(listing)
        elif kind == FrameKind.FINISH:
            messages.decode_finish(body)
            self._finish(sequence)
        elif kind == FrameKind.VERIFY_LISTING:
            self._inspect(sequence, copying.decode_listing(body, count))
        elif kind == FrameKind.VERIFY_COMPARE:
            self._check(sequence, copying.decode_verify_compare(body, count))
        else:
            raise PeerProtocolError(f"frame of kind {kind} is no copy frame")

    def close(self) -> None:
        """The stream has ended: when this returns nothing is changed or sent any more."""
        self._closed = True
        if self._finishing is not None:
            self._finishing.cancel()
        for reconciler in self._reconcilers:
            reconciler.close()
        self._reconcilers = []
        for watch in self._watches:
            watch.close()
        self._watches = []

    # Joining

    def _begin(self) -> None:
        if self._reconcilers:
            return
        if self._finishing is not None:
            raise PeerProtocolError("a listing after the join point")
        for volume in self._volumes:
            mark_joining(volume.private_fd)
        # What was lost before is copied anew; what is lost from here on ends the join.
        self._watches = [volume.watch() for volume in self._volumes]
        for volume in self._volumes:
            self._reconcilers.append(Reconciler(volume))

    def _compare(self, sequence: int, compare: Compare) -> None:
        volume = self._volumes[compare.volume]
        inode = volume.inode(compare.inode)
        if not inode.is_regular:
            raise PeerProtocolError(f"inode {compare.inode:x} has no content to compare")
        file = volume.data_fd(inode, True)
        if volume.memory_lost:
            forget_cached(file, compare.offset, compare.length)
        if compare.digests:
            bitmap = differing(file, compare.offset, compare.length, compare.digests)
        else:
            bitmap = 1 if _make_hole(file, compare.offset, compare.length) else 0
        self._link.send(FrameKind.WANT, sequence, copying.encode_want(bitmap))

    def _finish(self, sequence: int) -> None:
        if not self._reconcilers:
            raise PeerProtocolError("the end of a join that did not begin")
        for reconciler in self._reconcilers:
            reconciler.close()
        self._reconcilers = []
        finishing = self._finishing = _Finishing(self._volumes, self._watches)

        def done(durable: bool) -> None:
            if durable and not self._closed:
                self._link.send(FrameKind.DURABLE, sequence)

        def failed(error: OSError) -> None:
            if not self._closed:  # the primary closes then
                for volume in self._volumes:
                    volume.memory_lost = True
                reason = f"the end of the join is not on the disk: {error}"
                self._link.send(FrameKind.FAILED, 0, messages.encode_failed(reason))

        self._background.run(finishing.run, done, failed)

    # Verifying

    def _inspect(self, sequence: int, listing: copying.Listing) -> None:
        if not self._inspectors or (not listing.path and listing.volume == 0 and listing.part & Part.FIRST):
            self._inspectors = [Inspector(volume) for volume in self._volumes]
        found = self._inspectors[listing.volume].compare(listing)
        self._link.send(FrameKind.VERIFY_ANSWER, sequence, copying.encode_found(len(found), found))

    def _check(self, sequence: int, compare: copying.VerifyCompare) -> None:
        state, bitmap = CheckState.COMPARED, 0
        file = open_file(self._volumes[compare.volume].root_fd, compare.path)
        if file < 0:
            state = CheckState.ABSENT
        else:
            try:
                bitmap = differing(file, compare.offset, compare.length, compare.digests)
            finally:
                os.close(file)
        self._link.send(FrameKind.VERIFY_ANSWER, sequence, copying.encode_checked(state, bitmap))


def _make_hole(file: int, offset: int, length: int) -> bool:
    """Makes a span read as zeros; whether that changed anything. Raises OSError."""
    if not is_allocated(file, offset, length):
        return False
    try:
        linux.fallocate(file, PUNCH_HOLE, offset, length)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        _write_zeros(file, offset, length)
    return True


def _write_zeros(file: int, offset: int, length: int) -> None:
    zeros = bytes(BLOCK)
    for at in range(offset, offset + length, BLOCK):
        size = min(BLOCK, offset + length - at)
        if has_data(file, at, size):
            os.pwrite(file, memoryview(zeros)[:size], at)


class _Finishing:
    """The end of a join, brought to the disks in a thread."""

    def __init__(self, volumes: Sequence[Volume], watches: Sequence[Watch]) -> None:
        self._volumes = volumes
        self._watches = tuple(watches)
        self._lock = threading.Lock()
        self._cancelled = False

    def cancel(self) -> None:
        """When this returns nothing is changed any more."""
        with self._lock:
            self._cancelled = True

    def _step(self, change: Callable[[], None]) -> bool:
        with self._lock:
            if self._cancelled:
                return False
            change()
            return True

    def run(self) -> bool:
        """Deletes limbo, brings everything to the disks, takes the marks away; False when cancelled. Raises OSError."""
        for volume in self._volumes:
            if not empty_limbo(volume.private_fd, self._step):
                return False
        for watch in self._watches:
            watch.check()
        return all(self._step(_unmarking(volume)) for volume in self._volumes)


def _unmarking(volume: Volume) -> Callable[[], None]:
    return lambda: unmark_joining(volume.private_fd)
