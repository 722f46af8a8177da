"""The secondary's part of joining and verifying: does what copy frames say at their place in the stream, and answers.

A join begins before anything of a stream changes the disks: from then on they are marked, and vouch for nothing until
its end is on them (``replicator.finishing``). What a listing does to files is ``replicator.disk.reconcile``'s matter.
"""

import errno
import os
from collections.abc import Callable, Sequence
from typing import Protocol

from manager.model.errors import PeerProtocolError
from replicator.copy_ports import Background
from replicator.core.filesystem import PUNCH_HOLE
from replicator.disk import linux
from replicator.disk.ahead import Ahead
from replicator.disk.attributes import equalise_live
from replicator.disk.differences import Inspector
from replicator.disk.limbo import begin_join
from replicator.disk.reconcile import Reconciler
from replicator.disk.small_files import compare_small
from replicator.disk.survey import differing, forget_ahead, forget_cached, has_data, is_allocated, open_file
from replicator.disk.volume import Volume, Watch
from replicator.finishing import Finishing
from replicator.wire import copying, small_files, verifying
from replicator.wire.copying import BLOCK, Compare, Part
from replicator.wire.frames import FrameKind
from replicator.wire.verifying import CheckState


class Answering(Protocol):
    """The link to the primary."""

    @property
    def epoch(self) -> int:
        """Of the stream."""
        ...

    def send(self, kind: int, sequence: int, *parts: bytes | memoryview) -> None:
        """Sends a frame."""
        ...


class JoinReceiver:
    """Copier of one stream (see ``replicator.secondary``)."""

    def __init__(self, volumes: Sequence[Volume], link: Answering, background: Background) -> None:
        """Nothing is changed before :meth:`begin`."""
        self._volumes = volumes
        self._link = link
        self._background = background
        self._reconcilers: list[Reconciler] = []
        self._inspectors: list[Inspector] = []
        self._finishing: Finishing | None = None
        self._begun = False
        self._distrusted = False
        """Everything is compared, as it is on the disks: memory was lost before."""
        self._ahead: Ahead | None = None
        """None where what is in memory is not looked at."""
        self.highest = 0
        """The highest id of an inode in what was listed."""
        self._watches: list[Watch] = []
        """Since the join began, where what was lost before does not count."""
        self._closed = False

    def begin(self) -> None:
        """Before anything is changed: from here on the disks vouch for nothing. Raises OSError."""
        if self._begun:
            return
        self._begun = True
        # What was lost before is copied anew; what is lost from here on ends the join.
        self._distrusted = any(volume.memory_lost for volume in self._volumes)
        self._ahead = None if self._distrusted else Ahead()
        for volume in self._volumes:
            number = begin_join(volume.private_fd)
            if self._distrusted:
                self._watches.append(volume.watch())
            self._reconcilers.append(Reconciler(volume, number, self._ahead))

    def on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        """A copy frame but FINISH at its place in the stream; done when this returns.

        Raises:
            OSError: it cannot be done; the copies differ.
            DivergenceError: the files are not what the frames before have made them.
            PeerProtocolError: it is not such a frame, or out of order.
        """
        count = len(self._volumes)
        if kind == FrameKind.COMPARE:
            self._compare(sequence, copying.decode_compare(body, count))
        elif kind == FrameKind.COMPARE_SMALL:
            self._compare_small(sequence, small_files.decode_compare_small(body, count))
        elif kind == FrameKind.LISTING:
            self._list(sequence, copying.decode_listing(body, count))
        elif kind == FrameKind.EQUALISE:
            wish = copying.decode_equalise(body, count)
            self._go_on()
            equalise_live(self._volumes[wish.volume], wish.attributes)
        elif kind == FrameKind.VERIFY_LISTING:
            self._inspect(sequence, copying.decode_listing(body, count))
        elif kind == FrameKind.VERIFY_COMPARE:
            self._check(sequence, verifying.decode_verify_compare(body, count))
        else:
            raise PeerProtocolError(f"frame of kind {kind} is no copy frame")

    @property
    def is_unclear(self) -> bool:
        """Whether something that was listed was not found."""
        return not all(reconciler.is_whole for reconciler in self._reconcilers)

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

    def _go_on(self) -> None:
        self.begin()
        if self._finishing is not None:
            raise PeerProtocolError("the join goes on after the join point")

    def _list(self, sequence: int, listing: copying.Listing) -> None:
        self._go_on()
        self.highest = max(self.highest, *(entry.attributes.inode for entry in listing.entries), 0)
        self._volumes[listing.volume].table.trim()
        listed = self._reconcilers[listing.volume].apply(listing)
        self._link.send(FrameKind.LISTED, sequence, copying.encode_listed(listed))

    def _compare(self, sequence: int, compare: Compare) -> None:
        volume = self._volumes[compare.volume]
        inode = volume.inode(compare.inode)
        if not inode.is_regular:
            raise PeerProtocolError(f"inode {compare.inode:x} has no content to compare")
        file = volume.data_fd(inode, True)
        if volume.memory_lost:
            forget_cached(file, compare.offset, compare.length)
        if compare.digests:
            if self._ahead is not None:
                self._ahead.compared(file, compare.offset, compare.length)
            bitmap = differing(file, compare.offset, compare.length, compare.digests)
        else:
            bitmap = 1 if _make_hole(file, compare.offset, compare.length) else 0
        self._link.send(FrameKind.WANT, sequence, copying.encode_want(bitmap))

    def _compare_small(self, sequence: int, compare: small_files.CompareSmall) -> None:
        volume = self._volumes[compare.volume]
        wanted = [compare_small(volume, file) for file in compare.files]
        if self._ahead is not None:
            self._ahead.over(sum(file.length for file in compare.files))
        self._link.send(FrameKind.WANT_SMALL, sequence, small_files.encode_want_small(wanted))

    def finish(
        self,
        sequence: int,
        note: Callable[[], None],
        joined: Callable[[], None],
        not_joined: Callable[[OSError], None],
    ) -> None:
        """The join point. DURABLE is said when all before it is on the disks, ``note`` was called, and no mark is left.

        ``note`` is called in a thread, ``joined`` on the loop just before; both may raise OSError. Where it does
        not come to that ``not_joined`` is called there. Raises as :meth:`on_frame`.
        """
        self._go_on()
        if self.is_unclear:
            raise PeerProtocolError("the end of a join in which something was not found")
        for reconciler in self._reconcilers:
            reconciler.close()
        self._reconcilers = []
        watches, self._watches = self._watches, []  # a thread may ask them when the stream is over
        finishing = self._finishing = Finishing(self._volumes, watches, note, self._link.epoch)

        def done(durable: bool) -> None:
            if not durable or self._closed:
                return
            if self._distrusted:
                for volume in self._volumes:
                    volume.memory_lost = False
            try:
                joined()
            except OSError as error:
                failed(error)
                return
            self._link.send(FrameKind.DURABLE, sequence)

        def failed(error: OSError) -> None:
            if not self._closed:
                for volume in self._volumes:
                    volume.memory_lost = True
                not_joined(error)

        self._background.run(finishing.run, done, failed)

    # Verifying

    def _inspect(self, sequence: int, listing: copying.Listing) -> None:
        if not self._inspectors or (not listing.path and listing.volume == 0 and listing.part & Part.FIRST):
            self._inspectors = [Inspector(volume) for volume in self._volumes]
        found = self._inspectors[listing.volume].compare(listing)
        self._link.send(FrameKind.VERIFY_ANSWER, sequence, verifying.encode_found(len(found), found))

    def _check(self, sequence: int, compare: verifying.VerifyCompare) -> None:
        state, bitmap = CheckState.COMPARED, 0
        file = open_file(self._volumes[compare.volume].root_fd, compare.path)
        if file < 0:
            state = CheckState.ABSENT
        else:
            try:
                forget_ahead(file, compare.offset, compare.length)  # it is the disk that is in question
                bitmap = differing(file, compare.offset, compare.length, compare.digests)
            finally:
                os.close(file)
        self._link.send(FrameKind.VERIFY_ANSWER, sequence, verifying.encode_checked(state, bitmap))


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
