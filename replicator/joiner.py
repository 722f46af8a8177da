"""Brings a peer in sync by a full compare while the application runs: the primary's side.

Which directories the peer knows of is decided here: one is listed at a quiet moment, the whole of it at once, and
before any operation is shipped that needs it (:meth:`FullJoiner.may_ship`). From then on the peer's copy of its names
and attributes follows the stream. The content of its files is compared after that, block by block, and what differs
is sent as ordinary writes to that peer alone (``replicator.comparing``). When nothing is left the primary is told of
the join point. Nothing is remembered of a join that broke off: the next one begins again.

The application goes first: lists are made for a few milliseconds at a time, and little is handed to the socket ahead.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from manager.model.control import Progress
from manager.model.errors import MirrorfarmError, PeerProtocolError
from manager.model.ids import ROOT_INODE
from replicator.comparing import Comparing, Goal
from replicator.copy_ports import Background, Host, Loop, Order, Stream
from replicator.core.operations import Create, Link, Operation, Rename, Rmdir, Unlink, Write
from replicator.disk.listing import list_directory
from replicator.disk.volume import Inode, Volume
from replicator.steady import SteadyReader
from replicator.verifying import Verifier
from replicator.wire.copying import encode_entry, encode_listing
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


class FullJoiner:
    """Of one peer; see ``replicator.joining.Joiner``."""

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
    ) -> None:
        """``join_point`` is called at a quiet moment, when nothing is left to copy; ``progress`` each second."""
        self._loop = loop
        self._order = order
        self._stream = stream
        self._volumes = tuple(volumes)
        self._host = host
        self._join_point = join_point
        self._progress = progress
        self._reader = SteadyReader(loop, order, volumes, background)
        goal = Goal(stream, self._reader, volumes, self._within_reach, host.release, self._drop, self._soon)
        self._comparing = Comparing(goal)
        self._listed: set[tuple[int, int]] = set()
        self._reached: dict[tuple[int, int], Inode] = {}
        """Live inodes that an operation was let pass on: the peer has them bound."""
        self._waiting: deque[tuple[int, Inode]] = deque()
        """Directories to be listed, held."""
        self._pinned: list[tuple[int, Inode]] = []
        self._compared: set[tuple[int, int]] = set()
        """Inodes with several names whose content is seen to."""
        self._underway_bytes = 0
        """Of listings that the peer has not worked off."""
        self._entries = 0
        self._bytes_found = 0
        self._asked_for_quiet = False
        self._scheduled = False
        self._pausing = False
        self._verifier: Verifier | None = None
        self._joined = False
        self._closed = False
        self._began = loop.time()

    # What the primary calls

    def start(self) -> Iterator[None]:
        """At the quiet moment in which the stream begins."""
        try:
            for volume in self._volumes:
                yield from self._list(volume, volume.table[ROOT_INODE])
        except (OSError, MirrorfarmError) as error:
            self._drop(f"a directory cannot be listed: {error}")
            return
        if self._closed:
            return
        self._loop.call_later(_PROGRESS_S, self._tick)
        self._soon()

    def may_ship(self, operation: Operation) -> bool:
        """Whether all is listed that ``operation`` needs at the peer; counts it."""
        self._reader.note(operation)
        if self._joined or self._closed:
            return True
        key = (operation.volume, operation.inode)
        if operation.__class__ is Write:
            reached = self._reached.get(key)
            if reached is not None and self._volumes[operation.volume].table.get(operation.inode) is reached:
                return True
        try:
            if self._needed(operation):
                return False
        except (OSError, MirrorfarmError) as error:
            self._drop(f"what {operation.kind.name} needs cannot be told: {error}")
            return True
        self._passes(operation)
        return True

    def prepare(self, operation: Operation) -> Iterator[None]:
        """At a quiet moment: lists what ``operation`` needs."""
        if self._closed:
            return
        volume = self._volumes[operation.volume]
        try:
            for directory in self._needed(operation):
                yield from self._list(volume, directory)
        except (OSError, MirrorfarmError) as error:
            self._drop(f"what {operation.kind.name} needs cannot be listed: {error}")
            return
        if not self._closed:
            self._passes(operation)

    def answered(self, kind: FrameKind, sequence: int, body: memoryview) -> None:
        """An answer of the peer. Raises PeerProtocolError."""
        if kind is FrameKind.WANT:
            self._comparing.answered(sequence, body)
        elif kind is FrameKind.LISTED:
            return  # every file is compared, whatever the peer had
        elif kind is FrameKind.VERIFY_ANSWER and self._verifier is not None:
            self._verifier.answered(sequence, body)
        else:
            raise PeerProtocolError(f"an answer of kind {kind.name} that was not asked for")

    def verify(self, verifier: Verifier) -> None:
        """Has ``verifier`` get the answers that come from now on, and told when the stream is lost."""
        self._verifier = verifier

    def lost(self) -> None:
        """The stream is gone."""
        if self._closed:
            return
        self._closed = True
        self._reader.close()
        if self._verifier is not None:
            self._verifier.lost()
        # Not from within: the primary is in the middle of taking the peer out, and a release may issue something.
        self._loop.call_soon(self._release_all)

    def _release_all(self) -> None:
        self._comparing.close()
        for volume, inode in [*self._waiting, *self._pinned]:
            self._host.release(volume, inode)
        self._waiting.clear()
        self._pinned.clear()
        self._reached.clear()

    # What has to be listed

    def _needed(self, operation: Operation) -> list[Inode]:
        """Directories to be listed before ``operation`` is shipped, in that order."""
        volume = self._volumes[operation.volume]
        needed: dict[Inode, None] = {}
        for inode, itself in self._named(volume, operation):
            needed |= dict.fromkeys(self._unlisted(volume, inode, itself))
        return list(needed)

    def _unlisted(self, volume: Volume, inode: Inode, itself: bool) -> list[Inode]:
        """The directories by which the inode is introduced, and ``itself`` if asked, that are not listed yet."""
        if inode.unlinked:
            return []  # removed by an operation that was shipped: the peer knows it
        chain = [bind.parent for bind in volume.ancestry(inode)]
        if itself:
            chain.append(inode.id)
        return [volume.table[directory] for directory in chain if (volume.index, directory) not in self._listed]

    def _within_reach(self, index: int, inode: Inode, then: Callable[[], None]) -> bool:
        """Whether ``inode`` can be introduced now; if not what is lacking is listed, and ``then`` called."""
        volume = self._volumes[index]

        def reach() -> Iterator[None]:
            if self._closed:
                return
            try:
                for directory in self._unlisted(volume, inode, False):
                    yield from self._list(volume, directory)
            except (OSError, MirrorfarmError) as error:
                self._drop(f"a directory cannot be listed: {error}")
                return
            if not self._closed:
                then()

        try:
            if not self._unlisted(volume, inode, False):
                return True
        except (OSError, MirrorfarmError) as error:
            self._drop(f"inode {inode.id:x} cannot be found: {error}")
            return False
        self._order.when_quiet(reach)
        return False

    def _named(self, volume: Volume, operation: Operation) -> list[tuple[Inode, bool]]:
        """The inodes that an operation names, and whether a directory among them has to be listed itself."""
        table = volume.table
        if isinstance(operation, Create):
            return [(table[operation.parent], True)]
        named = [(table[operation.inode], isinstance(operation, Rmdir))]
        if isinstance(operation, Unlink | Rmdir | Link | Rename):
            named.append((table[operation.parent], True))
        if isinstance(operation, Rename):
            named.append((table[operation.new_parent], True))
            if operation.replaced:
                replaced = table[operation.replaced]
                named.append((replaced, replaced.is_directory))
        return named

    def _passes(self, operation: Operation) -> None:
        key = (operation.volume, operation.inode)
        if isinstance(operation, Create):
            self._listed.add(key)  # a new directory is empty on both sides
        elif isinstance(operation, Write):
            self._reached[key] = self._volumes[operation.volume].table[operation.inode]

    # Listing

    def _list(self, volume: Volume, directory: Inode) -> Iterator[None]:
        """At a quiet moment, its parent is listed; the moment lasts to the end. Raises OSError, DivergenceError."""
        key = (volume.index, directory.id)
        if key in self._listed:
            return
        surveyed = yield from list_directory(volume, directory, lambda _inode: False)
        if self._closed:  # the peer was lost meanwhile
            for inode in surveyed.held:
                self._host.release(volume.index, inode)
            return
        self._listed.add(key)
        self._waiting += [(volume.index, inode) for inode in surveyed.directories]
        self._pinned += [(volume.index, inode) for inode in surveyed.pinned]
        several = {entry.attributes.inode for entry in surveyed.entries if entry.attributes.nlink > 1}
        for inode, size in surveyed.files:
            again = (volume.index, inode.id) in self._compared
            if inode.id in several:
                self._compared.add((volume.index, inode.id))
            if again:
                self._host.release(volume.index, inode)
            else:
                self._comparing.add(volume.index, inode, size)
                self._bytes_found += size
        self._entries += len(surveyed.entries)
        try:
            entries = [encode_entry(entry) for entry in surveyed.entries]
            bodies = encode_listing(volume.index, surveyed.path, surveyed.own, entries)
        except ValueError as error:
            raise MirrorfarmError(str(error)) from None
        for body in bodies:
            self._underway_bytes += len(body)
            self._stream.send(FrameKind.LISTING, body, acknowledged=partial(self._listed_there, len(body)))

    def _listed_there(self, count: int) -> None:
        self._underway_bytes -= count
        if not self._closed:
            self._soon()

    def _list_some(self) -> Iterator[None]:
        """At a quiet moment: the next directories, for a while."""
        until = self._loop.time() + _SLICE_S
        while self._waiting and not self._closed:
            index, directory = self._waiting.pop()
            try:
                if not directory.unlinked:
                    yield from self._list(self._volumes[index], directory)
            except (OSError, MirrorfarmError) as error:
                self._drop(f"a directory cannot be listed: {error}")
                return
            finally:
                self._host.release(index, directory)
            if self._loop.time() > until or self._comparing.waiting > _ENOUGH_FILES:
                break
            if self._underway_bytes >= _MOST_UNDERWAY:
                break
        self._asked_for_quiet = False
        self._soon()

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
        if self._waiting and self._comparing.waiting <= _ENOUGH_FILES and self._underway_bytes < _MOST_UNDERWAY:
            self._asked_for_quiet = True
            self._order.when_quiet(self._list_some)
        elif self._nothing_left:
            self._asked_for_quiet = True
            self._order.when_quiet(self._conclude)

    @property
    def _nothing_left(self) -> bool:
        """Nor is anything on its way: completions that wait for the peer are not to wait for that."""
        return not self._waiting and self._comparing.idle and not self._underway_bytes

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
        self._report()
        for volume, inode in self._pinned:
            self._host.release(volume, inode)
        self._pinned.clear()
        self._reached.clear()
        self._listed.clear()
        self._compared.clear()
        self._join_point()

    def _drop(self, reason: str) -> None:
        if not self._closed:
            self._stream.drop(reason)

    # Progress

    def _tick(self) -> None:
        if not self._closed and not self._joined:
            self._report()
            self._loop.call_later(_PROGRESS_S, self._tick)

    def _report(self) -> None:
        comparing = self._comparing
        self._progress(
            Progress(
                work="join",
                peer=self._stream.node,
                entries_done=self._entries,
                bytes_done=comparing.bytes_compared,
                bytes_sent=comparing.bytes_sent,
                bytes_total=0 if self._waiting else self._bytes_found,
                elapsed_ms=int((self._loop.time() - self._began) * 1000),
            )
        )
