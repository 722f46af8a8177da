"""What comes on a stream that stands, applied in order and acknowledged: the secondary's hot path.

One object a stream. It checks the sequence, has each operation marked (``replicator.stream_tracking``) and done by its
Volume, each copy frame by the copier, and acknowledges once for all that one wake-up brought. Where something cannot be
applied the stream has failed: nothing of it is applied after that. Who may send a stream is not known here.
"""

import errno
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from manager.model.errors import InvariantViolated, PeerProtocolError
from replicator.background import Background
from replicator.core.filesystem import Free
from replicator.core.operations import Attribute, Fsync, Operation, SetAttr
from replicator.disk.loss import is_broken
from replicator.disk.protection import unprotect_for
from replicator.disk.volume import DivergenceError, Volume
from replicator.disk_groups import DiskGroups
from replicator.leftovers import is_full
from replicator.link import Link
from replicator.stream_tracking import StreamTracking
from replicator.wire import messages
from replicator.wire.frames import COPYING, OPERATIONS, SETTING_ASIDE, FrameKind
from replicator.wire.operations import decode, decode_write

MAX_UNSENT: Final = 1 << 20
"""Bytes of answers that the primary has not taken, above which nothing more is taken of it."""
_WRITE: Final = int(FrameKind.WRITE)
_ACK: Final = int(FrameKind.ACK)
_CHANGING: Final = OPERATIONS | COPYING
_NOT_MARKED: Final = "a secondary's marks are in memory, and wait for nothing"


class Copier(Protocol):
    """The secondary's part of copying and verifying, for one stream."""

    @property
    def highest(self) -> int:
        """The highest id of an inode in what was listed; 0: nothing was."""
        ...

    @property
    def is_unclear(self) -> bool:
        """Whether something that was listed was not found here: the primary was told, and begins the join anew."""
        ...

    def begin(self) -> None:
        """The stream is about to change something: from here on this copy vouches for nothing. Raises OSError."""
        ...

    def on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        """A frame of ``frames.COPYING`` but FINISH, at its place in the stream; it counts as applied when this returns.

        Answers go by the link (``frames.COPY_ANSWERS``), now or later from the loop. The body is valid only during
        the call. OSError and DivergenceError fail the stream, PeerProtocolError loses it.
        """
        ...

    def finish(
        self,
        sequence: int,
        note: Callable[[], None],
        joined: Callable[[], None],
        not_joined: Callable[[OSError], None],
    ) -> None:
        """A FINISH at its place; raises as :meth:`on_frame`.

        When everything up to it is on the disks ``note`` is called, in a thread, where it may raise OSError; then the
        copy vouches for something again, ``joined`` is called on the loop, which may raise it too, and DURABLE is said.
        Where it does not come to that ``not_joined`` is called on the loop.
        """
        ...

    def close(self) -> None:
        """The stream has ended: when this returns nothing is changed, noted or sent any more."""
        ...


class Keeper(Protocol):
    """Sets aside what differs, for one stream whose primary was told that this copy diverged."""

    @property
    def is_over(self) -> bool:
        """Whether all that differs is kept, on the disks."""
        ...

    def on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        """A frame of ``frames.SETTING_ASIDE``, to be answered later; valid during the call. PeerProtocolError."""
        ...

    def close(self) -> None:
        """The stream has ended: nothing is sent any more, and what is under way stops soon."""
        ...


class Applier:
    """One stream, from its Welcome on."""

    def __init__(
        self,
        link: Link,
        volumes: Sequence[Volume],
        background: Background,
        copier: Copier,
        tracking: StreamTracking,
        acknowledge_disk: bool,
        on_failed: Callable[[str, bool], None],
        on_refused: Callable[[str], None],
        on_asked: Callable[[int], None],
        on_joined: Callable[[], None],
        keeper: Keeper | None = None,
    ) -> None:
        """Takes over ``link``'s frames. ``on_failed(reason, memory_lost)``: the primary was told, the link is finished.

        ``on_refused(reason)``: it is to be told by :meth:`refuse`, since what comes rests on what was not found here.
        ``on_asked(asked_ns)``: the primary asks for a promise (S5). ``on_joined``: see ``Copier.finish``. With a
        ``keeper`` nothing is changed before that is over.
        """
        self.sequence = 0
        """The last frame that was applied."""
        self.pings = 0
        """How many of them changed nothing."""
        self.lacks_room = False
        """It has failed since what came found no room."""
        self._link = link
        self._volumes = volumes
        self._background = background
        self._copier = copier
        self._tracking = tracking
        self._mark = tracking.mark
        self._on_failed = on_failed
        self._on_refused = on_refused
        self._on_asked = on_asked
        self._on_joined = on_joined
        self._keeper = keeper
        self._acknowledged = 0
        self._ended = False
        self._groups = (
            DiskGroups(background, volumes, self._acknowledge, self.sync_failed) if acknowledge_disk else None
        )
        link.on_frame = self._on_frame_before if keeper is None else self._on_frame_diverged
        link.on_batch = self._on_batch

    def end(self) -> None:
        """Nothing is applied or sent any more."""
        if self._ended:
            return
        self._ended = True
        if self._groups is not None:
            self._groups.close()
        if self._keeper is not None:
            self._keeper.close()
        self._copier.close()
        self._tracking.end()

    def report_free(self, free: Sequence[Free]) -> None:
        """Tells the primary what the disks have free."""
        self._link.send(FrameKind.FREE, 0, messages.encode_free(free))

    def promise(self, asked_ns: int, for_ms: int) -> None:
        """Tells the primary that this node does not stand for so long (S5)."""
        self._link.send(FrameKind.PROMISE, 0, messages.encode_promise(asked_ns, for_ms))

    # In the order of the stream

    def _on_frame_diverged(self, kind: int, sequence: int, body: memoryview) -> None:
        """Until what differs is set aside: a primary that would change something before is none to be followed."""
        assert self._keeper is not None
        if self._keeper.is_over:
            self._link.on_frame = self._on_frame_before
            self._on_frame_before(kind, sequence, body)
        elif kind in SETTING_ASIDE and sequence == self.sequence + 1:
            self._keeper.on_frame(kind, sequence, body)
            self.sequence = sequence
            self.pings += 1
        elif kind in (FrameKind.PING, FrameKind.PROMISE_ASK):
            self._on_frame(kind, sequence, body)
        else:
            raise PeerProtocolError(f"frame {sequence} of kind {kind} before what differs was set aside")

    def _on_frame_before(self, kind: int, sequence: int, body: memoryview) -> None:
        """Until something is about to be changed: before, this node may be listed and its copy all that is left."""
        if kind in _CHANGING and sequence == self.sequence + 1:
            try:
                self._copier.begin()
            except OSError as error:
                self._fail_with(error, "the join cannot begin")
                return
            self._tracking.begin()
            self._link.on_frame = self._on_frame
        self._on_frame(kind, sequence, body)

    def _on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        if sequence != self.sequence + 1:
            if kind != FrameKind.PROMISE_ASK or sequence:
                raise PeerProtocolError(f"frame {sequence} after {self.sequence}")
            self._on_asked(messages.decode_promise_ask(body))
            return
        try:
            if kind == _WRITE and self._groups is None:
                write = decode_write(body)
                volume = self._volume(write.volume)
                if not self._mark(write):
                    raise InvariantViolated(_NOT_MARKED)
                try:
                    volume.apply(write)
                except PermissionError as error:
                    self._apply_unprotected(volume, write, error)
            elif kind in OPERATIONS:
                self._apply(sequence, decode(kind, body, len(self._volumes)))
            elif kind in COPYING:
                with self._link.together():
                    self._copy(kind, sequence, body)
                    self.sequence = sequence
                    self._on_batch()  # such a frame may take long: that it is done is said at once
                return
            elif kind == FrameKind.PING:
                self.pings += 1
            elif kind == FrameKind.BARRIER:
                self.pings += 1
                self._tracking.barrier(sequence)
            elif kind == FrameKind.FORGET:
                self.pings += 1
                self._tracking.forget(messages.decode_forget(body))
            else:
                raise PeerProtocolError(f"a primary sends no frame of kind {kind}")
        except OSError as error:
            self._fail_with(error, f"frame {sequence} ({FrameKind(kind).name})")
            return
        except DivergenceError as error:
            diverged = self._on_refused if self._copier.is_unclear else self.fail
            diverged(f"frame {sequence} ({FrameKind(kind).name}): {error}")
            return
        self.sequence = sequence

    def _copy(self, kind: int, sequence: int, body: memoryview) -> None:
        if kind == FrameKind.FINISH:
            base = messages.decode_finish(body)
            note = self._tracking.finish(sequence, base, self._copier.highest)
            self._copier.finish(sequence, note, self._on_joined, self._not_joined)
        else:
            self._copier.on_frame(kind, sequence, body)

    def _not_joined(self, error: OSError) -> None:
        """Something of what the join has brought may be in memory alone, and the disk tells of it once."""
        self.fail(f"the end of the join is not on the disk: {error}", memory_lost=True)

    def _volume(self, index: int) -> Volume:
        if index >= len(self._volumes):
            raise PeerProtocolError(f"bad WRITE: directory {index} of {len(self._volumes)}")
        return self._volumes[index]

    def _apply(self, sequence: int, operation: Operation) -> None:
        if not self._mark(operation):
            raise InvariantViolated(_NOT_MARKED)
        if isinstance(operation, Fsync):
            self._sync(sequence, operation)
            return
        try:
            self._volumes[operation.volume].apply(operation)
        except PermissionError as error:
            self._apply_unprotected(self._volumes[operation.volume], operation, error)
        if self._groups is not None:
            self._groups.touched(operation)

    def _apply_unprotected(self, volume: Volume, operation: Operation, refused: PermissionError) -> None:
        """Raises as :meth:`Volume.apply`, and what it raised where nothing that the operation changes is protected."""
        if not unprotect_for(volume.table, operation):
            raise refused
        volume.apply(operation)

    def _on_batch(self) -> None:
        if self._ended:
            return
        if self.sequence > self._acknowledged:
            if self._groups is None:
                self._acknowledge(self.sequence)
            else:
                self._groups.reached(self.sequence)
        if self._link.unsent_bytes > MAX_UNSENT:
            self._link.pause_reading()

    def _acknowledge(self, sequence: int) -> None:
        self._acknowledged = sequence
        self._link.send_bare(_ACK, sequence)

    # fsync

    def _sync(self, sequence: int, operation: Fsync) -> None:
        volume = self._volumes[operation.volume]
        if operation.mtime_ns is not None:
            time = SetAttr(operation.volume, operation.inode, Attribute.MTIME, mtime_ns=operation.mtime_ns)
            try:
                volume.apply(time)
            except PermissionError as error:
                self._apply_unprotected(volume, time, error)
        file = volume.open_for_sync(operation)
        synced, not_synced = partial(self._synced, sequence), partial(self._not_synced, sequence)
        self._background.sync(file, operation.data_only, synced, not_synced)

    def _synced(self, sequence: int, _: None) -> None:
        if not self._ended:
            self._link.send(FrameKind.FSYNCED, sequence, messages.encode_fsynced(0))

    def _not_synced(self, sequence: int, error: OSError) -> None:
        if not self._ended:
            self._link.send(FrameKind.FSYNCED, sequence, messages.encode_fsynced(error.errno or errno.EIO))
            self.sync_failed(error)

    def sync_failed(self, error: OSError) -> None:
        """What was applied did not come to the disk."""
        self.fail(f"not brought to the disk: {os.strerror(error.errno or errno.EIO)}", memory_lost=True)

    def fail(self, reason: str, memory_lost: bool = False) -> None:
        """This copy cannot follow any more: the primary is told, and what was applied before is acknowledged.

        ``memory_lost``: some of that may be gone already (S8).
        """
        if self._ended:
            return
        if self.sequence > self._acknowledged and self._groups is None:
            self._acknowledge(self.sequence)
        self._leave(reason)
        self._on_failed(reason, memory_lost)

    def _fail_with(self, error: OSError, what: str) -> None:
        self.lacks_room = is_full(error)
        self.fail(f"{what}: {error}", is_broken(error))

    def refuse(self, reason: str) -> None:
        """This copy is no worse than it was, and cannot follow for now: the primary is told."""
        if not self._ended:
            self._leave(reason)

    def _leave(self, reason: str) -> None:
        self._link.send(FrameKind.FAILED, 0, messages.encode_failed(reason))
        self._link.finish()
        self.end()
