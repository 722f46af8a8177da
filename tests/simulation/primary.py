"""What a simulated replicator does as primary: ships first, completes when the shipped completions say so, and joins.

The rules are the replicator's own: a stream begins once for each Peer command, and not to a node that the record lists,
or that was lost past its join point, before a record without it; a write is applied here on its acknowledgement, in the
stream's order.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from manager.model import control as c
from replicator.core.completions import Completions, Gate
from tests.simulation.checkers import Write, require_named
from tests.simulation.clockwork import MS_NS
from tests.simulation.private import operation_on
from tests.simulation.resync import Resync, begin_alone
from tests.simulation.stream import Fsync, Stream
from tests.simulation.volume import BLOCKS

if TYPE_CHECKING:
    from tests.simulation.replicator import Replicator

PEER_TIMEOUT_NS = 2_000 * MS_NS
_PING_MS = 400
_RETRY_MS = 300

Item = Write | Fsync


class Primary:
    """One epoch of one process."""

    def __init__(self, process: "Replicator", completions: Completions[Item]) -> None:
        """It serves; nothing completes before a record is settled."""
        self.process, self.place, self.copy = process, process.place, process.copy
        self.node = process.node
        self.completions = completions
        self.streams: dict[str, Stream] = {}
        self.welcomed: dict[str, Stream] = {}
        self.connectors: dict[str, int] = {}
        self.wanted: set[str] = set()
        """Nodes to which the agent wants a stream that has not begun yet: each is asked for by a Peer of its own."""
        self.frozen_told = False
        self.resync = Resync(self, begin_alone(process))
        self.resync.keeper.on_written = self._written
        self.repairs = process.place.parts.repairs(self)
        self._applied: list[tuple[int, Callable[[], None]]] = []
        """What is to be done once everything up to a place is applied."""
        self._settling: deque[c.Settled] = deque()
        """Records that are settled: one after the other, for what has to be on the disk before."""

    def begin(self) -> None:
        """Pings."""
        self.process.later(100, 300, self._tick)

    def end(self) -> None:
        """It is primary no more."""
        for stream in [*self.streams.values(), *self.welcomed.values()]:
            stream.open_here = False
            self.resync.barriers.lost(stream)  # type: ignore[arg-type]
            self._notice_end(stream)
        self.streams, self.welcomed, self.connectors = {}, {}, {}
        self.completions.fence()

    @staticmethod
    def _notice_end(stream: Stream) -> None:
        stream.there.send(lambda: stream.secondary.stream_ended(stream))

    def standing(self) -> list[c.Event]:
        """What a new agent is told."""
        told: list[c.Event] = []
        for stream in self.streams.values():
            told += self._standing(stream)
        told += [c.PeerLost(n, "no stream") for n in sorted(self.completions.missing - set(self.streams))]
        return [*told, c.Frozen()] if self.frozen_told else told

    def _standing(self, stream: Stream) -> list[c.Event]:
        other = stream.secondary
        told: list[c.Event] = [c.PeerConnected(other.node, other.instance)]
        if stream.durable:
            told.append(c.PeerComplete(other.node, other.boot_id, other.instance, self.process.epoch))
        return told

    def command(self, command: c.Command) -> None:
        """What the agent wants of a primary."""
        match command:
            case c.Settled(epoch):
                if epoch == self.process.epoch:
                    self._settling.append(command)
                    if len(self._settling) == 1:
                        self._settle()
            case c.Peer(node, _, port):
                self.connectors[node] = port
                if node in self.streams:
                    for event in self._standing(self.streams[node]):
                        self.process.tell(event)
                    return
                self.wanted.add(node)
                self._connect(node)
                self.rest()
            case c.Forget(node):
                self.connectors.pop(node, None)
                self.wanted.discard(node)
                self.drop(node, "forgotten")
            case c.Freeze():
                self.completions.shut(Gate.FROZEN)
                self.frozen_told = False
                self.rest()
            case c.Thaw():
                self.completions.open(Gate.FROZEN)
                self.rest()
            case c.AskPromises(asked_ns):
                self._ask(asked_ns)
            case _:
                raise NotImplementedError(command)

    def _ask(self, asked_ns: int) -> None:
        """For promises: of every peer past its join point."""
        epoch = self.process.epoch
        for stream in self.streams.values():
            if stream.complete:
                stream.there.send(lambda s=stream: s.secondary.promise_asked(s, epoch, asked_ns))  # type: ignore[misc]

    # Writes

    def write(self, block: int) -> None:
        """The application writes. With no space on either node it is refused before it is sent."""
        if self.copy.full or any(s.secondary.copy.full for s in self.streams.values() if s.complete):
            return
        now_ns = self.place.clock.now_ns
        self._take(Write(next(self.place.numbers), block, self.node, self.process.epoch, now_ns))

    def fsync(self) -> None:
        """The application calls fsync."""
        self._take(Fsync(dict(self.place.promises.completed), self.process.epoch))

    def _take(self, item: Item) -> None:
        if self.completions.gated:
            self.completions.wait(item)
            if isinstance(item, Write) and self.resync.keeper.is_careful:
                self.resync.keeper.foresee(operation_on(item.block))
        elif self._passes(item):
            self._issue(item)

    def _passes(self, item: Item) -> bool:
        """Marks it; or it has to wait, before all others, until what it marks is on the disk."""
        keeper = self.resync.keeper
        if not isinstance(item, Write):
            return True
        if not keeper.is_careful:
            keeper.tracker.mark(operation_on(item.block))
            return True
        if keeper.passes(operation_on(item.block)):
            return True
        self.completions.wait_first(item)
        self.completions.shut(Gate.MARK)
        return False

    def _written(self) -> None:
        """What waited for the disk to know of it may be tried again."""
        self.completions.open(Gate.MARK)
        self.rest()

    def when_applied(self, callback: Callable[[], None]) -> None:
        """Once all that has been issued is applied here."""
        self._applied.append((self.completions.issued, callback))
        self.rest()

    def _issue(self, item: Item) -> None:
        place = self.completions.issue(item)
        for stream in self.streams.values():
            self._ship(stream, place, item)
        self._drain()

    def _ship(self, stream: Stream, place: int, item: Item) -> None:
        stream.unacknowledged.append(self.place.clock.now_ns)
        stream.there.send(lambda: stream.secondary.received(stream, place, item))
        if not stream.complete:
            most_ms = 200 if self.place.clock.chance(0.1) else 4
            self.process.later(0, most_ms, lambda: self._sent(stream, place))

    def _sent(self, stream: Stream, place: int) -> None:
        """The socket to a node that joins has taken it."""
        if stream.open_here and stream.began:
            self.completions.sent(stream.secondary.node, place)
            self._drain()

    def _drain(self) -> None:
        for item in self.completions.release():
            if isinstance(item, Write):
                if self.copy.full:
                    self.repairs.add(item)  # What was sent and cannot be applied here.
                    continue
                self._apply(item)
                self.place.promises.complete(item, self.place.clock.now_ns)
            else:
                self.copy.sync()
                self.place.promises.fsync(item.promised, item.epoch, self.node)
        self.rest()

    def _apply(self, write: Write) -> None:
        self.copy.cache[write.block] = write.number

    def rest(self) -> None:
        """What waits for everything being applied."""
        if not self.process.serves:
            return
        self.repairs.advance()
        quiet = self.completions.idle and not self.repairs.under_way
        if quiet and self.completions.is_shut(Gate.FROZEN) and not self.frozen_told:
            self.frozen_told = True
            self.process.later(0, 2, lambda: self.process.tell(c.Frozen()))
        if quiet:
            for node in list(self.welcomed):
                self._begin(node)
        while self._applied and self._applied[0][0] <= self.completions.released:
            self._applied.pop(0)[1]()
        while (item := self.completions.next_waiting()) is not None:
            if self._passes(item):
                self._issue(item)

    def _settle(self) -> None:
        """The record stands so. Of one that leaves a node out this disk knows before anything is released."""
        told = self._settling[0]
        takes_out = self.completions.takes_out(told.number, told.holders)
        durable = any(stream.durable for stream in self.streams.values())
        alone = not durable and (takes_out or self.resync.keeper.has_noted_base)
        if not (takes_out or alone):
            self._settled(told)
            return

        def note() -> None:
            if takes_out:
                # A lone primary is to notice a store that was restored from before (S8).
                self.process.note(epoch=self.process.epoch, revision=told.revision, store_id="")

        self.resync.when_settled_alone(note, alone=alone, then=lambda: self._settled(told))

    def _settled(self, told: c.Settled) -> None:
        self.completions.settled(told.number, [n for n in told.holders if n != self.node])
        for node in sorted(self.completions.missing - set(self.streams)):
            self.process.tell(c.PeerLost(node, "no stream to it stands"))
        if any(stream.durable and node in self.completions.holders for node, stream in self.streams.items()):
            self.resync.keeper.listed()
        self._settling.popleft()
        if self._settling:
            self._settle()
        self._drain()

    # Streams

    def _connect(self, node: str) -> None:
        port = self.connectors.get(node)
        if port is None or node in self.streams or node in self.welcomed or not self.process.serves:
            return
        other = self.place.ports.get((node, port))
        reached = self.place.network.reaches(self.node, node)
        if other is None or not reached or not other.welcomes(self.process):
            self.process.later(_RETRY_MS / 2, _RETRY_MS, lambda: self._connect(node))
            return
        stream = Stream(self.place, self.process, other)
        other.take_stream(stream)
        self.welcomed[node] = stream
        if stream.sets_aside:
            self.compare(stream)
        self.rest()

    def compare(self, stream: Stream) -> None:
        """One block after the other, before anything is copied: the secondary keeps what is its own (S12)."""
        block = stream.compared
        stream.compared += 1
        stream.unacknowledged.append(self.place.clock.now_ns)
        if block < BLOCKS:
            value = self.copy.cache[block]
            stream.there.send(lambda: stream.secondary.compared(stream, block, value))
        else:
            stream.there.send(lambda: stream.secondary.set_aside(stream))

    def _begin(self, node: str) -> None:
        """At a quiet moment: what the secondary lacks is copied block by block, while operations go on."""
        stream = self.welcomed[node]
        if stream.sets_aside:
            return
        required = node in self.completions.required or not self.completions.known
        if required or node not in self.wanted or self.completions.gated:
            return
        del self.welcomed[node]
        self.wanted.discard(node)
        self.streams[node] = stream
        stream.began = True
        self.completions.attach(node)
        self.process.tell(c.PeerConnected(node, stream.secondary.instance))
        blocks = self.resync.missing(stream)
        require_named(self.node, self.copy.cache, node, stream.secondary.copy.cache, blocks)
        self._copy(stream, blocks)

    def _copy(self, stream: Stream, blocks: list[int]) -> None:
        if not stream.open_here or not self.process.serves:
            return
        if not self._may_read() or self.completions.is_shut(Gate.FROZEN):
            # Quiet moments are made by a gate in the replicator; here they are waited for.
            self.process.later(1, 10, lambda: self._copy(stream, blocks))
            return
        if blocks:
            block, value = blocks[0], self.copy.cache[blocks[0]]
            stream.unacknowledged.append(self.place.clock.now_ns)
            self.resync.keeper.mark(operation_on(block))
            stream.there.send(lambda: stream.secondary.copied(stream, block, value))
            self.process.later(1, 30, lambda: self._copy(stream, blocks[1:]))
        elif self.completions.idle and not self.repairs.under_way:
            self._join(stream)
        else:
            self.process.later(1, 10, lambda: self._copy(stream, blocks))

    def _may_read(self) -> bool:
        """Nothing is under way on any block: what is shipped is not applied here yet."""
        return self.completions.idle and not self.repairs.under_way

    def _join(self, stream: Stream) -> None:
        """At a quiet moment, nothing is left to copy: from here on completions wait for it."""

        def joined() -> None:
            stream.durable = True
            self.process.tell(self._standing(stream)[1])

        stream.complete = True
        stream.unacknowledged.append(self.place.clock.now_ns)
        base, content = self.resync.join_point(stream, joined), dict(self.copy.cache)
        self.completions.join_point(stream.secondary.node)
        stream.there.send(lambda: stream.secondary.finished(stream, base, content))

    def acknowledged(self, stream: Stream, place: int) -> None:
        """The secondary has applied everything up to ``place`` (0: a frame that is no operation)."""
        if stream.unacknowledged:
            stream.unacknowledged.pop(0)
        if stream.open_here and place:
            self.completions.acknowledged(stream.secondary.node, place)
            self._drain()

    def made_durable(self, stream: Stream) -> None:
        """Everything up to the join point is on the secondary's disk."""
        if stream.open_here:
            self.resync.barriers.answered(stream, stream.finish_at)  # type: ignore[arg-type]

    def drop(self, node: str, reason: str) -> None:
        """The stream is given up; what it was required for is held by the completions."""
        stream = self.welcomed.pop(node, None) or self.streams.pop(node, None)
        if stream is None:
            return
        stream.open_here = False
        self._notice_end(stream)
        self.repairs.lost(stream)
        if stream.began:
            self.resync.barriers.lost(stream)  # type: ignore[arg-type]
            self.resync.keeper.lost()
            self.completions.lost(node)
            self.process.tell(c.PeerLost(node, reason))
            self._drain()
        self.process.later(_RETRY_MS / 2, _RETRY_MS, lambda: self._connect(node))

    def _tick(self) -> None:
        """Pings, and drops who is slow."""
        if not self.process.serves:
            return
        self.resync.barriers.tick()
        now_ns = self.place.clock.now_ns
        for node, stream in [*self.streams.items(), *self.welcomed.items()]:
            if not stream.unacknowledged:
                stream.unacknowledged.append(now_ns)
                stream.there.send(lambda s=stream: s.secondary.received(s, 0, None))  # type: ignore[misc]
            elif now_ns - stream.unacknowledged[0] > PEER_TIMEOUT_NS:
                self.drop(node, "slow")
        self.process.later(_PING_MS, _PING_MS, self._tick)
