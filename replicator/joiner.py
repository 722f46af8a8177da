"""Brings a peer in sync while the application runs: the primary's side.

Of what the peer may lack (``replicator.lacking``) directories are listed, inodes made equal and content compared; of a
peer of whose copy nothing is known, everything. A directory is listed at a quiet moment, the whole of it at once, and
before any operation is shipped that needs it (:meth:`Joiner.may_ship`). From then on the peer's copy of its
names and attributes follows the stream. The content of files is compared after that, block by block, and what differs
is sent as ordinary writes to that peer alone (``replicator.comparing``); single inodes come last, when listings have
told of what was moved (``replicator.equalising``). When nothing is left the primary is told of the join point. Nothing
is remembered of a join that broke off; where what it met could not be told apart, the next one lists every directory.

The application goes first: lists are made for a few milliseconds at a time, and little is handed to the socket ahead.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from manager.model.control import Progress, Scope, Stage
from manager.model.errors import MirrorfarmError, PeerProtocolError
from manager.model.ids import ROOT_INODE
from replicator.comparing import Comparing
from replicator.copy_ports import Background, Host, Loop, Order, Stream
from replicator.core.dirty import Dirty
from replicator.core.operations import Operation, RemoveXattr, SetXattr, Write
from replicator.directories import Directories
from replicator.disk.listing import list_directory
from replicator.disk.volume import Inode, Volume
from replicator.equalising import Equalising
from replicator.estimating import Estimate
from replicator.hints import Hints
from replicator.join_ports import JoinPorts
from replicator.lacking import Lacking
from replicator.listings import Listings
from replicator.pacing import Bandwidth
from replicator.reaching import Reach
from replicator.steady import SteadyReader
from replicator.throttle import Clock, Throttle
from replicator.wire.frames import FrameKind

_SLICE_S: Final = 0.004
"""How long lists are made before the application has its turn."""
_ENOUGH_FILES: Final = 64
"""Files that wait to be compared, above which no further directory is listed but on demand."""
_MOST_UNSENT: Final = 1 << 20
"""Bytes that wait for room in the socket, above which nothing is added."""
_MOST_UNDERWAY: Final = 256 << 10
"""Bytes of listings that the peer works on, above which no further directory is listed but on demand."""
_PAUSE_S: Final = 0.005
_PROGRESS_S: Final = 1.0


class Joiner:
    """Of one peer; see ``replicator.joining.Joining``."""

    def __init__(
        self,
        loop: Loop,
        order: Order,
        stream: Stream,
        volumes: Sequence[Volume],
        background: Background,
        host: Host,
        join_point: Callable[[], None],
        progress: Callable[[Progress], None],
        dirty: Dirty,
        unclear: Callable[[], None],
        bandwidth: Bandwidth,
        minute: Clock,
    ) -> None:
        """``join_point`` is called at a quiet moment, when nothing is left to copy; ``progress`` each second.

        ``dirty`` is what the peer may lack when the stream begins, for this to keep. Where it proves to be too narrow
        ``unclear`` is called, and the stream dropped: the next join of this peer is to list every directory.
        """
        self._loop = loop
        self._order = order
        self._stream = stream
        self._volumes = tuple(volumes)
        self._host = host
        self._join_point = join_point
        self._progress = progress
        self._tell_unclear = unclear
        lacking = self._lacking = Lacking(dirty)
        self._reader = SteadyReader(loop, order, volumes, background)
        self._throttle = throttle = Throttle(loop, bandwidth, minute, self._soon)
        self._courtesy = throttle.courtesy
        self._scope = Scope.EVERYTHING if lacking.everything else Scope.CHANGES
        self._moment_s = 0.0
        self._estimate = Estimate(loop, background, volumes)
        ports = JoinPorts(
            stream,
            volumes,
            self._within_reach,
            self._is_listed,
            host.release,
            self._unclear,
            self._drop,
            self._soon,
        )
        self._comparing = Comparing(ports, self._reader, throttle)
        self._hints = Hints(self._volumes, lacking, host.release)
        self._reach = Reach(self._volumes, lacking)
        self._directories = Directories(self._volumes, lacking, self._reach, host.release)
        self._listings = Listings(lacking, self._comparing, self._directories.add, ports)
        self._equalising = Equalising(loop, order, lacking, self._comparing, ports)
        self._reached: dict[tuple[int, int], Inode] = {}
        """Live inodes that an operation was let pass on: the peer has them bound."""
        self._asked_for_quiet = False
        self._scheduled = False
        self._pausing = False
        self._listing = False
        """A directory is; there are turns of the loop meanwhile, where it is large."""
        self._joined = False
        self._closed = False
        self._began = loop.time()

    # What the primary calls

    def start(self) -> Iterator[None]:
        """At the quiet moment in which the stream begins."""
        try:
            if not self._lacking.some_only:
                for volume in self._volumes:
                    yield from self._list(volume, volume.table[ROOT_INODE])
        except (OSError, MirrorfarmError) as error:
            self._drop(f"a directory cannot be listed: {error}")
            return
        if self._closed:
            return
        self._loop.call_later(_PROGRESS_S, self._tick)
        if self._lacking.everything:
            self._estimate.start()
        self._soon()

    def may_ship(self, operation: Operation) -> bool:
        """Whether all is told that ``operation`` needs at the peer; counts it."""
        self._reader.note(operation)
        self._courtesy.operations += 1
        if self._joined or self._closed:
            return True
        key = (operation.volume, operation.inode)
        if operation.__class__ is Write:
            reached = self._reached.get(key)
            if reached is not None and self._volumes[operation.volume].table.get(operation.inode) is reached:
                return True
        try:
            if self._reach.needed(operation) or self._needs_equal(operation):
                return False
            self._passes(operation)
        except (OSError, MirrorfarmError) as error:
            self._drop(f"what {operation.kind.name} needs cannot be told: {error}")
        return True

    def prepare(self, operation: Operation) -> Iterator[None]:
        """At a quiet moment: tells what ``operation`` needs."""
        if self._closed:
            return
        volume = self._volumes[operation.volume]
        try:
            while not self._closed and (needed := self._reach.needed(operation)):
                yield from self._list(volume, needed[0])
            if not self._closed and self._needs_equal(operation):
                self._equalising.send_now((operation.volume, operation.inode))
            if not self._closed:
                self._passes(operation)
        except (OSError, MirrorfarmError) as error:
            self._drop(f"what {operation.kind.name} needs cannot be listed: {error}")

    def answered(self, kind: FrameKind, sequence: int, body: memoryview) -> None:
        """An answer of the peer. Raises PeerProtocolError."""
        if kind is FrameKind.WANT:
            self._comparing.answered(sequence, body)
        elif kind is FrameKind.WANT_SMALL:
            self._comparing.small_answered(sequence, body)
        elif kind is FrameKind.LISTED:
            self._listings.answered(sequence, body)
            self._directories.answered()
        else:
            raise PeerProtocolError(f"an answer of kind {kind.name} that was not asked for")

    def lost(self) -> None:
        """The stream is gone."""
        if self._closed:
            return
        self._closed = True
        self._reader.close()
        # Not from within: the primary is in the middle of taking the peer out, and a release may issue something.
        self._loop.call_soon(self._release_all)

    def _release_all(self) -> None:
        self._equalising.close()
        self._comparing.close()
        self._directories.close()
        self._forget()

    def _forget(self) -> None:
        """Releases what is held for the whole of the join, and forgets what only a join needs."""
        self._estimate.close()
        self._listings.close()
        self._hints.close()
        self._reached.clear()
        self._lacking.clear()

    # What an operation needs, and what follows from it

    def _within_reach(self, index: int, inode: Inode, then: Callable[[], None]) -> bool:
        """Whether ``inode`` can be introduced now; if not what is lacking is listed, and ``then`` called."""
        volume = self._volumes[index]

        def reach() -> Iterator[None]:
            try:
                yield from self._list_above(volume, inode, False)
            except (OSError, MirrorfarmError) as error:
                self._drop(f"a directory cannot be listed: {error}")
                return
            if not self._closed:
                then()

        try:
            if not self._reach.unlisted(volume, inode):
                return True
        except (OSError, MirrorfarmError) as error:
            self._drop(f"inode {inode.id:x} cannot be found: {error}")
            return False
        self._order.when_quiet(reach)
        return False

    def _is_listed(self, index: int, directory: int) -> bool:
        volume = self._volumes[index]
        return not self._reach.unlisted(volume, volume.table[directory], itself=True)

    def _needs_equal(self, operation: Operation) -> bool:
        """Whether it rests on an extended attribute that the peer may have, or lack, unlike this node."""
        rests = isinstance(operation, RemoveXattr) or (isinstance(operation, SetXattr) and operation.flags)
        return bool(rests) and self._equalising.is_due((operation.volume, operation.inode))

    def _passes(self, operation: Operation) -> None:
        """It is shipped next. Raises OSError and DivergenceError."""
        key = (operation.volume, operation.inode)
        if isinstance(operation, Write):
            self._reached[key] = self._volumes[operation.volume].table[operation.inode]
            return
        self._hints.passes(operation)

    # Listing

    def _list_above(self, volume: Volume, inode: Inode, itself: bool) -> Iterator[None]:
        """As :meth:`_list`, whatever the peer needs to know the inode, and ``itself`` if asked."""
        while not self._closed and (unlisted := self._reach.unlisted(volume, inode, itself)):
            yield from self._list(volume, unlisted[0])

    def _list(self, volume: Volume, directory: Inode) -> Iterator[None]:
        """At a quiet moment, its parent is listed; the moment lasts to the end. Raises OSError, DivergenceError."""
        key = (volume.index, directory.id)
        if self._closed or self._lacking.has_been_listed(key):
            return
        release = partial(self._host.release, volume.index)
        self._listing = True
        try:
            surveyed = yield from list_directory(volume, directory, lambda _inode: False, release)
        finally:
            self._listing = False
        if self._closed:  # the peer was lost meanwhile
            for inode in surveyed.held:
                release(inode)
            return
        self._hints.listed(volume, directory, surveyed)
        before = self._listings.underway_bytes
        self._listings.send(volume.index, surveyed)
        self._throttle.spend(self._listings.underway_bytes - before)
        self._directories.listed(key)

    def _list_some(self) -> Iterator[None]:
        """At a quiet moment: the next directories, for a while."""
        until = self._loop.time() + _SLICE_S
        try:
            while not self._closed:
                following = self._directories.next(self._listings.are_answered)
                if following is None:
                    break
                index, directory = following
                try:
                    yield from self._list_above(self._volumes[index], directory, True)
                finally:
                    self._host.release(index, directory)
                if self._loop.time() > until or not self._has_room:
                    break
        except LookupError as error:
            self._unclear(str(error))
        except (OSError, MirrorfarmError) as error:
            self._drop(f"a directory cannot be listed: {error}")
        self._asked_for_quiet = False
        self._throttle.moment_ended(self._moment_s)
        self._soon()

    @property
    def _has_room(self) -> bool:
        return self._comparing.waiting <= _ENOUGH_FILES and self._listings.underway_bytes < _MOST_UNDERWAY

    # Going on

    def _soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Sees to it that something goes on, as long as something is left."""
        self._scheduled = False
        if self._closed or self._joined:
            return
        if self._stream.unsent_bytes > _MOST_UNSENT:
            self._pause()
            return
        self._comparing.go_on()
        if self._asked_for_quiet:
            return
        if self._directories.may_go_on(self._listings.are_answered):
            if self._has_room and self._throttle.may_have_moment() and self._throttle.take(0):
                self._asked_for_quiet = True
                self._moment_s = self._loop.time()
                self._order.when_quiet(self._list_some)
        elif self._has_all_listed:
            if self._lacking.has_inodes and self._throttle.may_have_moment() and self._throttle.take(0):
                began_s = self._loop.time()
                self._equalising.go_on(_ENOUGH_FILES)
                self._throttle.moment_ended(began_s)
            if self._nothing_left:
                self._asked_for_quiet = True
                self._order.when_quiet(self._conclude)

    @property
    def _has_all_listed(self) -> bool:
        return not self._listing and self._directories.are_over and self._listings.are_answered

    @property
    def _nothing_left(self) -> bool:
        """Nor is anything on its way: completions that wait for the peer are not to wait for that."""
        settled = self._has_all_listed and not self._listings.underway_bytes
        return settled and self._equalising.idle and self._comparing.idle

    def _pause(self) -> None:
        if not self._pausing:
            self._pausing = True
            self._loop.call_later(_PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._pausing = False
        self._pump()

    def _conclude(self) -> None:
        """At a quiet moment: the join point, unless something was listed on demand meanwhile."""
        self._asked_for_quiet = False
        if self._closed:
            return
        if not self._nothing_left:
            self._soon()
            return
        self._joined = True
        self._report(Stage.SYNCING)
        self._forget()
        self._join_point()

    def _unclear(self, reason: str) -> None:
        """The peer's copy differs in what the list, or this node, cannot tell: the next join lists every directory."""
        if not self._closed:
            self._tell_unclear()
            self._drop(f"every directory has to be listed: {reason}")

    def _drop(self, reason: str) -> None:
        if not self._closed:
            self._stream.drop(reason)

    # Progress

    def _tick(self) -> None:
        if not self._closed and not self._joined:
            self._report()
            self._loop.call_later(_PROGRESS_S, self._tick)

    def _report(self, stage: Stage = Stage.COPYING) -> None:
        comparing, equalising = self._comparing, self._equalising
        found = self._listings.bytes_found + equalising.bytes_found
        self._progress(
            Progress(
                work="join",
                peer=self._stream.node,
                entries_done=self._listings.entries + equalising.looked_up,
                bytes_done=comparing.bytes_compared,
                bytes_sent=comparing.bytes_sent,
                bytes_total=found if self._has_all_listed and equalising.has_all else 0,
                elapsed_ms=int((self._loop.time() - self._began) * 1000),
                scope=self._scope,
                stage=stage,
                bytes_found=found,
                files_done=comparing.files_done,
                bytes_expected=self._estimate.bytes,
                entries_expected=self._estimate.entries,
            )
        )
