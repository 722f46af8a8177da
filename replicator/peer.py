"""One connection of the primary to a peer, from the handshake to its end: what is sent, what is acknowledged.

Every frame has the next sequence of this connection, whatever it is. Inodes are introduced (BIND) before their first
use. A Peer does not know who else is there, nor what follows from an acknowledgement: it tells its
:class:`PeerOwner`.
"""

import asyncio
import enum
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from manager.model.errors import PeerProtocolError
from manager.model.ids import ROOT_INODE
from replicator.core.filesystem import Free, Limits
from replicator.core.operations import Bind, Create, Fsync, Link, Operation, Rename, Rmdir, Unbind, Unlink, Write
from replicator.disk.volume import Volume
from replicator.joining import Asking, Joining
from replicator.link import Connection as SomeSocket
from replicator.link import Link as Connection
from replicator.wire import messages
from replicator.wire.frames import COPY_ANSWERS, FrameKind

_ACK: Final = int(FrameKind.ACK)
_ON_DISK: Final = (FrameKind.DURABLE, FrameKind.BARRIER_DONE)


class PeerState(enum.Enum):
    """How far a connection is."""

    GREETING = "greeting"
    """Hello is sent."""
    WELCOMED = "welcomed"
    """The peer takes the stream, which begins at the next quiet moment."""
    JOINING = "joining"
    """It is sent all operations, and what it lacks."""
    COMPLETE = "complete"
    """Past its join point: completions wait for it."""
    LOST = "lost"


class PeerOwner(Protocol):
    """Who is told of what happens on the connection. All calls are on the loop."""

    def welcomed(self, peer: "Peer") -> None:
        """The peer takes the stream: :meth:`Peer.begin` is expected at a quiet moment."""
        ...

    def acknowledged(self, peer: "Peer", place: int) -> None:
        """The peer has applied all operations up to this place in the order."""
        ...

    def sent(self, peer: "Peer", place: int) -> None:
        """While joining: the socket has taken all operations up to this place; perhaps from within ship."""
        ...

    def brought_to_disk(self, peer: "Peer", sequence: int) -> None:
        """All up to that FINISH or BARRIER is on the peer's disks."""
        ...

    def promised(self, peer: "Peer", asked_ns: int, for_ms: int) -> None:
        """The peer, past its join point, does not stand for ``for_ms`` from when it was asked."""
        ...

    def space_changed(self, peer: "Peer") -> None:
        """``peer.free`` has new numbers."""
        ...

    def lost(self, peer: "Peer", former: PeerState, reason: str) -> None:
        """The connection is gone; nothing is told any more."""
        ...


class Peer:
    """A connection to one node."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: SomeSocket,
        node: str,
        hello: messages.Hello,
        volumes: Sequence[Volume],
        owner: PeerOwner,
        compression: bool,
    ) -> None:
        """Takes over ``sock``, connected, and says hello."""
        self.node = node
        self.state = PeerState.GREETING
        self.boot_id = ""
        self.instance = ""
        self.bases: tuple[str, ...] = ()
        """Which joins its copy came through, the last one first."""
        self.diverged = False
        """Its copy went on by itself: what differs is to be set aside before anything of it is changed."""
        self.limits: tuple[Limits, ...] = ()
        self.free: tuple[Free, ...] = ()
        self.joiner: Joining | None = None
        self.sequence = 0
        """Of the last frame sent."""
        self.acknowledged_sequence = 0
        self.began_at: Final = loop.time()
        self._hello = hello
        self._volumes = volumes
        self._owner = owner
        self._bound: list[set[int]] = [{ROOT_INODE} for _ in volumes]
        self._offset = 0
        """The place of an operation is its sequence and this: less by one for each frame that has no place."""
        self._unplaced: deque[int] = deque()
        """The sequences of the frames without a place, in order, that are not acknowledged."""
        self._acknowledged_offset = 0
        self._begun_at = sys.maxsize
        """The sequence after which the operations begin."""
        self._complete = False
        self._awaited: deque[tuple[int, Callable[[], None]]] = deque()
        self._fsyncs: dict[int, tuple[float, Callable[[int], None]]] = {}
        """By sequence, in order: when it was sent, and who is told."""
        self._asking: Asking | None = None
        self._barriers: deque[int] = deque()
        """The sequences of the FINISH and BARRIER frames that are not answered."""
        self._asked_ns = 0
        """When it was last asked for a promise; 0: never."""
        self.durable = False
        """All up to the join point is on its disks, and on this node's: told by the owner."""
        self._link = Connection(loop, sock, hello.epoch, self._on_greeting, self._on_lost, compression=compression)
        self._send_operation = self._link.send_operation
        self.together: Final = self._link.together
        self._link.send(FrameKind.HELLO, 0, messages.encode_handshake(hello))

    @property
    def unsent_bytes(self) -> int:
        """What waits here for room in the socket."""
        return self._link.unsent_bytes

    @property
    def unacknowledged_frames(self) -> int:
        """How many frames were sent and are not acknowledged yet."""
        return self.sequence - self.acknowledged_sequence

    @property
    def heard_at(self) -> float:
        """When something last came from it, in the loop's time."""
        return self._link.received_at

    @property
    def sent_at(self) -> float:
        """When something was last sent, in the loop's time."""
        return self._link.sent_at

    @property
    def fsync_sent_at(self) -> float | None:
        """When the oldest fsync that is not answered was sent, in the loop's time."""
        return next(iter(self._fsyncs.values()))[0] if self._fsyncs else None

    @property
    def stands(self) -> bool:
        """Whether it is sent the operations."""
        return self.state in (PeerState.JOINING, PeerState.COMPLETE)

    def counters(self) -> dict[str, int]:
        """Of the connection, see Link."""
        return self._link.counters()

    # The owner's side

    def begin(self, place: int, joiner: Joining) -> None:
        """The stream begins after ``place``, at a quiet moment, with the peer joining by ``joiner``."""
        self.state = PeerState.JOINING
        self._offset = place - self.sequence
        self._unplaced.clear()
        self._begun_at = self.sequence
        self._acknowledged_offset = self._offset
        self.joiner = joiner

    def ship(self, operation: Operation) -> None:
        """Sends an operation that was issued; its acknowledgement counts for completions.

        Raises OSError or DivergenceError when an inode cannot be introduced.
        """
        if operation.__class__ is not Write:
            if self.never_hears_of(operation):
                self._ship_nothing()
                return
            self._introduce(operation)
        elif operation.inode not in self._bound[operation.volume]:
            if self.never_hears_of(operation):
                self._ship_nothing()
                return
            self._bind(operation.volume, operation.inode)
        self.sequence = sequence = self.sequence + 1
        if self._complete:
            self._send_operation(sequence, operation)
            return
        place = sequence + self._offset
        self._send_operation(sequence, operation, lambda: self._sent(place))

    def never_hears_of(self, operation: Operation) -> bool:
        """Its inode lost its last name while the operation waited at the gate, before this stream began.

        So the inode is this node's alone.
        """
        if operation.inode in self._bound[operation.volume]:
            return False
        inode = self._volumes[operation.volume].table.get(operation.inode)
        return inode is not None and inode.unlinked

    def _ship_nothing(self) -> None:
        """Keeps the operation's place in the order."""
        self.sequence = sequence = self.sequence + 1
        self._link.send(FrameKind.PING, sequence)
        if not self._complete:
            self._sent(sequence + self._offset)

    def send(self, kind: FrameKind, *parts: bytes | memoryview, acknowledged: Callable[[], None] | None = None) -> int:
        """Sends a frame in the stream's order; returns its sequence. The parts must not change until acknowledged.

        ``acknowledged`` is called when the peer has applied it and all before; never when the stream is lost first.
        """
        sequence = self._next_unplaced(acknowledged)
        self._link.send(kind, sequence, *parts)
        return sequence

    def _next_unplaced(self, acknowledged: Callable[[], None] | None = None) -> int:
        """The sequence of a frame that is no operation of the order."""
        self.sequence += 1
        self._offset -= 1
        self._unplaced.append(self.sequence)
        if acknowledged is not None:
            self._awaited.append((self.sequence, acknowledged))
        return self.sequence

    def ship_to(self, operation: Operation, acknowledged: Callable[[], None] | None = None) -> int:
        """Sends an operation to this peer alone, not to be applied here: a block of a copy, a repair.

        Its inodes are bound first. As :meth:`send` otherwise. Raises OSError (ENOENT) when one has no name left,
        (ESTALE) when it is not live here; whoever made it live by a look-up calls ``Primary.forgotten`` for what
        ``Volume.release`` says is dropped.
        """
        self._introduce(operation)
        sequence = self._next_unplaced(acknowledged)
        self._send_operation(sequence, operation)
        return sequence

    def introduce(self, volume: int, inode: int) -> None:
        """Has the inode bound, for a frame that names it. Raises OSError as :meth:`ship_to`."""
        self._bind(volume, inode)

    def is_introduced(self, volume: int, inode: int) -> bool:
        """Whether it is bound."""
        return inode in self._bound[volume]

    def sync(self, operation: Fsync, done: Callable[[int], None]) -> None:
        """Ships an fsync; ``done`` gets 0 or a positive errno, or nothing when the stream is lost. Raises OSError."""
        self._fsyncs[self.ship_to(operation)] = (self._link.sent_at, done)

    def unbind(self, volume: int, inode: int) -> None:
        """Nothing more is sent on the inode until it is bound again."""
        bound = self._bound[volume]
        if inode in bound:
            bound.remove(inode)
            self._send_operation(self._next_unplaced(), Unbind(volume, inode))

    def finish(self, base: str) -> int:
        """The join point, which makes ``base``: the peer is to bring everything to its disks. The frame's sequence."""
        self.state = PeerState.COMPLETE
        self._complete = True
        return self._send_barrier(FrameKind.FINISH, messages.encode_finish(base))

    def barrier(self) -> int:
        """The peer, past its join point, is to bring everything to its disks; the frame's sequence."""
        return self._send_barrier(FrameKind.BARRIER)

    def _send_barrier(self, kind: FrameKind, body: bytes = b"") -> int:
        sequence = self.send(kind, body)
        self._barriers.append(sequence)
        return sequence

    def forget(self, sequence: int) -> None:
        """Everything up to that FINISH or BARRIER is on both nodes' disks."""
        self.send(FrameKind.FORGET, messages.encode_forget(sequence))

    def ping(self) -> None:
        """Something to be acknowledged; only once the peer has welcomed us."""
        self.send(FrameKind.PING)

    def ask_by(self, asking: Asking) -> None:
        """Has ``asking`` get the VERIFY_ANSWERs that come from now on, and told when the stream is lost."""
        self._asking = asking

    def ask_promise(self, asked_ns: int) -> None:
        """Asks it not to stand (S5), past whatever waits for room in the socket; only past its join point."""
        self._asked_ns = max(self._asked_ns, asked_ns)
        self._link.send_aside(FrameKind.PROMISE_ASK, messages.encode_promise_ask(asked_ns))

    def drop(self, reason: str) -> None:
        """Closes the connection: the owner is told before this returns."""
        if self.state is not PeerState.LOST:
            self._link.close()
            self._on_lost(reason)

    # Introducing

    def _introduce(self, operation: Operation) -> None:
        volume = operation.volume
        if operation.__class__ in (Create, Unlink, Rmdir, Link, Rename):
            assert isinstance(operation, Create | Unlink | Rmdir | Link | Rename)
            self._bind(volume, operation.parent)
            if isinstance(operation, Create):
                self._bound[volume].add(operation.inode)
                return
            if isinstance(operation, Rename):
                self._bind(volume, operation.new_parent)
                if operation.replaced:
                    self._bind(volume, operation.replaced)
        if operation.__class__ is not Bind and operation.__class__ is not Unbind:
            self._bind(volume, operation.inode)

    def _bind(self, volume: int, inode: int) -> None:
        bound = self._bound[volume]
        if inode in bound:
            return
        files = self._volumes[volume]
        for bind in files.ancestry(files.inode(inode)):
            if bind.inode not in bound:
                bound.add(bind.inode)
                self._send_operation(self._next_unplaced(), bind)

    # The link's side

    def _sent(self, place: int) -> None:
        if self.state is PeerState.JOINING:
            self._owner.sent(self, place)

    def _on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        """Once welcomed. An acknowledgement of operations is the hot path."""
        if kind == _ACK:
            if not self.acknowledged_sequence <= sequence <= self.sequence:
                raise PeerProtocolError(f"acknowledges {sequence} of {self.sequence}")
            self.acknowledged_sequence = sequence
            unplaced = self._unplaced
            while unplaced and unplaced[0] <= sequence:
                unplaced.popleft()
                self._acknowledged_offset -= 1
            if sequence >= self._begun_at:
                self._owner.acknowledged(self, sequence + self._acknowledged_offset)
            awaited = self._awaited
            while awaited and awaited[0][0] <= sequence:
                awaited.popleft()[1]()
        elif kind == FrameKind.FSYNCED and sequence in self._fsyncs:
            self._fsyncs.pop(sequence)[1](messages.decode_fsynced(body))
        elif kind == FrameKind.FREE:
            self._on_free(body)
        elif kind == FrameKind.PROMISE:
            self._on_promise(body)
        elif kind == FrameKind.FAILED:
            raise PeerProtocolError(f"the peer cannot go on: {messages.decode_failed(body)}")
        elif kind in _ON_DISK and self._barriers and sequence == self._barriers[0]:
            self._barriers.popleft()
            self._owner.brought_to_disk(self, sequence)
        elif kind == FrameKind.VERIFY_ANSWER and self._asking is not None and 0 < sequence <= self.sequence:
            self._asking.answered(sequence, body)
        elif kind in COPY_ANSWERS and self.joiner is not None and 0 < sequence <= self.sequence:
            self.joiner.answered(FrameKind(kind), sequence, body)
        else:
            raise PeerProtocolError(f"frame of kind {kind} for sequence {sequence} was not expected")

    def _on_greeting(self, kind: int, _sequence: int, body: memoryview) -> None:
        if kind == FrameKind.REFUSED:
            refused = messages.decode_refused(body)
            self.drop(f"refused: {refused.reason.value}: {refused.detail}")
            return
        if kind != FrameKind.WELCOME:
            raise PeerProtocolError(f"frame of kind {kind} instead of a welcome")
        welcome = messages.decode_welcome(body)
        if welcome.version not in self._hello.speaks or welcome.epoch != self._hello.epoch:
            raise PeerProtocolError(f"a welcome of version {welcome.version}, epoch {welcome.epoch}")
        if welcome.node != self.node:
            raise PeerProtocolError(f"node {welcome.node} answers where {self.node} was expected")
        if len(welcome.limits) != len(self._volumes):
            raise PeerProtocolError(f"{len(welcome.limits)} directories instead of {len(self._volumes)}")
        self.boot_id, self.instance = welcome.boot_id, welcome.instance
        self.bases = welcome.bases
        self.diverged = welcome.diverged
        self.limits = welcome.limits
        self.free = welcome.free
        self._link.agree(welcome.epoch)
        self._link.on_frame = self._on_frame
        self.state = PeerState.WELCOMED
        self._owner.welcomed(self)

    def _on_free(self, body: memoryview) -> None:
        free = tuple(messages.decode_free(body))
        if len(free) != len(self._volumes):
            raise PeerProtocolError(f"FREE of {len(free)} directories")
        self.free = free
        if self.stands:
            self._owner.space_changed(self)

    def _on_promise(self, body: memoryview) -> None:
        asked_ns, for_ms = messages.decode_promise(body)
        if asked_ns > self._asked_ns:
            raise PeerProtocolError(f"a promise for {asked_ns}, which was not asked")
        self._owner.promised(self, asked_ns, for_ms)

    def _on_lost(self, reason: str) -> None:
        former, self.state = self.state, PeerState.LOST
        self._fsyncs.clear()
        self._awaited.clear()
        joiner, self.joiner = self.joiner, None
        asking, self._asking = self._asking, None
        for told in (joiner, asking):
            if told is not None:
                told.lost()
        self._owner.lost(self, former, reason)
