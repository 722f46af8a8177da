"""The replicators of a simulated cluster: what they promise to their agents, without files and sockets.

Completions are held and released by the shipped object (``replicator.core.completions``). The rest follows the
replicator's own rules: peer first; a stream to a node that the record lists, or that was lost past its join point,
does not begin before a record without it; a joining copy vouches for nothing; the epoch is on the disk before it is
used; the warden fences at the deadline, whatever its agent does.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from manager.model import control as c
from manager.model.records import DiskIdentity
from replicator.core.completions import Completions, Gate
from tests.simulation.checkers import Promises, Write
from tests.simulation.clockwork import MS_NS, Clockwork
from tests.simulation.network import Channel, Network
from tests.simulation.volume import BLOCKS, Content, Copy

PEER_TIMEOUT_NS = 2_000 * MS_NS
_PING_NS = 400 * MS_NS
_RETRY_NS = 300 * MS_NS


@dataclass(slots=True)
class Fsync:
    """One fsync of the application."""

    promised: Content
    epoch: int


@dataclass(slots=True)
class Place:
    """What everyone of this simulation shares."""

    clock: Clockwork
    network: Network
    promises: Promises
    ports: dict[tuple[str, int], "Replicator"]
    numbers: "itertools.count[int]"


class Stream:
    """A primary's connection to one secondary."""

    def __init__(self, place: Place, primary: "Replicator", secondary: "Replicator") -> None:
        """It was welcomed."""
        self.primary, self.secondary = primary, secondary
        self.there = Channel(place.clock, place.network, primary.node, secondary.node)
        self.back = Channel(place.clock, place.network, secondary.node, primary.node)
        self.open_here = self.open_there = True
        """At the primary's end; at the secondary's."""
        self.began = self.complete = self.durable = False
        self.unacknowledged: list[int] = []
        """When each frame that is not acknowledged was sent."""


class Replicator:
    """One process."""

    def __init__(self, place: Place, node: str, boot_id: str, copy: Copy, tell: Callable[[c.Event], None]) -> None:
        """``tell``: to the agent that is connected."""
        self.place, self.node, self.boot_id, self.copy = place, node, boot_id, copy
        self.tell = tell
        self.instance = f"{node}{next(place.numbers)}"
        self.port = 10_000 + next(place.numbers)
        self.role, self.epoch = "idle", 0
        self.alive = True
        self.deadline_ns = 0
        self.completions: Completions[Write | Fsync] = Completions()
        self.streams: dict[str, Stream] = {}
        self.welcomed: dict[str, Stream] = {}
        self.connectors: dict[str, int] = {}
        self.followed = ""
        self.incoming: Stream | None = None
        self.frozen_told = False
        self.on_death: Callable[[], None] = lambda: None
        """The warden's doing: the application and its addresses end with the mounts."""
        place.ports[node, self.port] = self

    # Life

    def hello(self) -> list[c.Event]:
        """What a new agent is told first."""
        told: list[c.Event] = [
            c.Hello(1, self.instance, self.port, self.role, self.epoch, self.copy.vouches()),
        ]
        if self.role == "primary":
            for stream in self.streams.values():
                told += self._standing(stream)
            told += [c.PeerLost(n, "no stream") for n in sorted(self.completions.missing - set(self.streams))]
            if self.frozen_told:
                told.append(c.Frozen())
        return told

    def die(self) -> None:
        """The process is gone; the page cache stays."""
        self.alive = False
        self.place.ports.pop((self.node, self.port), None)
        self._end_role()
        self.on_death()

    def _end_role(self) -> None:
        for stream in [*self.streams.values(), *self.welcomed.values()]:
            stream.open_here = False
            self._notice_end(stream.secondary, stream)
        self.streams, self.welcomed, self.connectors = {}, {}, {}
        if self.incoming is not None:
            self._close_incoming()
        self.completions.fence()
        self.role = "idle"

    def _notice_end(self, secondary: "Replicator", stream: Stream) -> None:
        stream.there.send(lambda: secondary.stream_ended(stream))

    def _later(self, least_ms: float, most_ms: float, action: Callable[[], None]) -> None:
        epoch, role = self.epoch, self.role

        def run() -> None:
            if self.alive and (self.epoch, self.role) == (epoch, role):
                action()

        self.place.clock.after(self.place.clock.between(least_ms, most_ms), run)

    # Commands

    def command(self, command: c.Command) -> None:
        """What the agent wants."""
        match command:
            case c.Lease(deadline_ns):
                self.deadline_ns = deadline_ns
            case c.Serve():
                self._later(5, 200, lambda: self._serve(command))
            case c.Follow():
                self._follow(command)
            case c.AskPromises():
                pass  # Nobody promises here yet.
            case c.CloseStream():
                self._close_incoming()
                self._later(0, 5, lambda: self.tell(c.StreamClosed(self.epoch)))
            case c.Settled() | c.Peer() | c.Forget() | c.Thaw() if self.role != "primary":
                pass
            case c.Settled(epoch, number, _, holders):
                if epoch == self.epoch:
                    self._settled(number, holders)
            case c.Peer(node, _, port):
                self.connectors[node] = port
                if node in self.streams:
                    for event in self._standing(self.streams[node]):
                        self.tell(event)
                self._connect(node)
            case c.Forget(node):
                self.connectors.pop(node, None)
                self._drop(node, "forgotten")
            case c.Freeze():
                self.completions.shut(Gate.FROZEN)
                self.frozen_told = False
                self._rest()
            case c.Thaw():
                self.completions.open(Gate.FROZEN)
                self._rest()
            case _:
                raise NotImplementedError(command)

    # Primary

    def _serve(self, command: c.Serve) -> None:
        now_ns = self.place.clock.now_ns
        seen = 0 if self.copy.identity is None else self.copy.identity.epoch
        if self.role == "primary" or self.deadline_ns <= now_ns or command.epoch <= seen:
            self.tell(c.Refused("Serve", f"{self.role}, {self.deadline_ns - now_ns} ns, {command.epoch} after {seen}"))
            return
        self._end_role()
        self._note(command.epoch, command.revision)
        self.role, self.epoch = "primary", command.epoch
        self.completions, self.frozen_told = Completions(), False
        self._watch_deadline()
        self._later(100, 300, self._tick)
        self.on_serving(command.epoch)
        self.tell(c.Serving(command.epoch))

    on_serving: Callable[[int], None]
    """Told of each promotion, for the checkers."""

    def _note(self, epoch: int, revision: int) -> None:
        known = self.copy.identity
        if known is not None:
            epoch, revision = max(epoch, known.epoch), max(revision, known.revision)
        self.copy.identity = DiskIdentity("cluster", "module", epoch, revision)

    def _watch_deadline(self) -> None:
        def look() -> None:
            if self.place.clock.now_ns >= self.deadline_ns:
                self.completions.fence()
                self.on_death()
                self.tell(c.Fenced("the lease's deadline has passed"))
                self._end_role()
            else:
                self._watch_deadline()

        epoch = self.epoch

        def due() -> None:
            if self.alive and self.role == "primary" and self.epoch == epoch and not self.completions.fenced:
                look()

        self.place.clock.after(self.deadline_ns - self.place.clock.now_ns, due)

    @property
    def serves(self) -> bool:
        """Whether the application can write here."""
        return self.alive and self.role == "primary" and not self.completions.fenced

    def write(self, block: int) -> None:
        """The application writes."""
        now_ns = self.place.clock.now_ns
        self._take(Write(next(self.place.numbers), block, self.node, self.epoch, now_ns))

    def fsync(self) -> None:
        """The application calls fsync."""
        self._take(Fsync(dict(self.place.promises.completed), self.epoch))

    def _take(self, item: Write | Fsync) -> None:
        if self.completions.gated:
            self.completions.wait(item)
        else:
            self._issue(item)

    def _issue(self, item: Write | Fsync) -> None:
        place = self.completions.issue(item)
        for stream in self.streams.values():
            self._ship(stream, place, item)
        self._drain()

    def _ship(self, stream: Stream, place: int, item: Write | Fsync) -> None:
        stream.unacknowledged.append(self.place.clock.now_ns)
        stream.there.send(lambda: stream.secondary.received(stream, place, item))
        if not stream.complete:
            self.completions.sent(stream.secondary.node, place)

    def _drain(self) -> None:
        for item in self.completions.release():
            if isinstance(item, Write):
                self.copy.cache[item.block] = item.number
                self.place.promises.complete(item)
            else:
                self.copy.sync()
                self.place.promises.fsync(item.promised)
        self._rest()

    def _rest(self) -> None:
        """What waits for everything being applied."""
        if not self.serves:
            return
        if self.completions.idle and self.completions.is_shut(Gate.FROZEN) and not self.frozen_told:
            self.frozen_told = True
            self._later(0, 2, lambda: self.tell(c.Frozen()))
        if self.completions.idle:
            for node in list(self.welcomed):
                self._begin(node)
        while (item := self.completions.next_waiting()) is not None:
            self._issue(item)

    def _settled(self, number: int, holders: tuple[str, ...]) -> None:
        self.completions.settled(number, [n for n in holders if n != self.node])
        for node in sorted(self.completions.missing - set(self.streams)):
            self.tell(c.PeerLost(node, "no stream to it stands"))
        self._drain()

    def _connect(self, node: str) -> None:
        port = self.connectors.get(node)
        if port is None or node in self.streams or node in self.welcomed or not self.serves:
            return
        other = self.place.ports.get((node, port))
        reached = self.place.network.reaches(self.node, node)
        if other is None or not reached or not other.welcomes(self):
            self._later(_RETRY_NS / MS_NS / 2, _RETRY_NS / MS_NS, lambda: self._connect(node))
            return
        stream = Stream(self.place, self, other)
        other.take_stream(stream)
        self.welcomed[node] = stream
        self._rest()

    def _begin(self, node: str) -> None:
        """At a quiet moment: what the secondary lacks is copied block by block, while operations go on."""
        stream = self.welcomed[node]
        if not self.completions.known or node in self.completions.required or self.completions.gated:
            return
        del self.welcomed[node]
        self.streams[node] = stream
        stream.began = True
        self.completions.attach(node)
        self.tell(c.PeerConnected(node, stream.secondary.instance))
        self._copy(stream, 0)

    def _copy(self, stream: Stream, block: int) -> None:
        if not stream.open_here or not self.serves:
            return
        if not self.completions.idle or self.completions.is_shut(Gate.FROZEN):
            # Quiet moments are made by a gate in the replicator; here they are waited for.
            self._later(1, 10, lambda: self._copy(stream, block))
            return
        stream.unacknowledged.append(self.place.clock.now_ns)
        if block < BLOCKS:
            value = self.copy.cache[block]
            stream.there.send(lambda: stream.secondary.copied(stream, block, value))
            self._later(1, 30, lambda: self._copy(stream, block + 1))
            return
        stream.complete = True
        self.completions.join_point(stream.secondary.node)
        stream.there.send(lambda: stream.secondary.finished(stream))

    def acknowledged(self, stream: Stream, place: int) -> None:
        """The secondary has applied everything up to ``place`` (0: a frame that is no operation)."""
        if stream.unacknowledged:
            stream.unacknowledged.pop(0)
        if stream.open_here and self.serves and place:
            self.completions.acknowledged(stream.secondary.node, place)
            self._drain()

    def made_durable(self, stream: Stream) -> None:
        """Everything up to the join point is on the secondary's disk."""
        if stream.open_here and self.serves:
            stream.durable = True
            self.tell(self._standing(stream)[1])

    def _standing(self, stream: Stream) -> list[c.Event]:
        other = stream.secondary
        told: list[c.Event] = [c.PeerConnected(other.node, other.instance)]
        if stream.durable:
            told.append(c.PeerComplete(other.node, other.boot_id, other.instance, self.epoch))
        return told

    def stream_lost(self, stream: Stream) -> None:
        """The secondary's end is closed."""
        if stream.open_here and self.serves:
            self._drop(stream.secondary.node, "closed by the other end")

    def _drop(self, node: str, reason: str) -> None:
        stream = self.welcomed.pop(node, None) or self.streams.pop(node, None)
        if stream is None:
            return
        stream.open_here = False
        self._notice_end(stream.secondary, stream)
        if stream.began:
            self.completions.lost(node)
            self.tell(c.PeerLost(node, reason))
            self._drain()
        self._later(_RETRY_NS / MS_NS / 2, _RETRY_NS / MS_NS, lambda: self._connect(node))

    def _tick(self) -> None:
        """Pings, and drops who is slow."""
        if not self.serves:
            return
        now_ns = self.place.clock.now_ns
        for node, stream in [*self.streams.items(), *self.welcomed.items()]:
            if not stream.unacknowledged:
                stream.unacknowledged.append(now_ns)
                stream.there.send(lambda s=stream: s.secondary.received(s, 0, None))  # type: ignore[misc]
            elif now_ns - stream.unacknowledged[0] > PEER_TIMEOUT_NS:
                self._drop(node, "slow")
        self._later(_PING_NS / MS_NS, _PING_NS / MS_NS, self._tick)

    # Secondary

    def _follow(self, command: c.Follow) -> None:
        seen = 0 if self.copy.identity is None else self.copy.identity.epoch
        if command.epoch < seen:
            self.tell(c.Refused("Follow", f"{command.epoch} after {seen}"))
            return
        same = self.role == "secondary" and (self.epoch, self.followed) == (command.epoch, command.primary)
        if not same:
            self._end_role()
            self.on_death()
        self._note(command.epoch, command.revision)
        self.role, self.epoch, self.followed = "secondary", command.epoch, command.primary

    def welcomes(self, primary: "Replicator") -> bool:
        """Whether it takes a stream of this primary."""
        return self.alive and self.role == "secondary" and self.epoch == primary.epoch and self.followed == primary.node

    def take_stream(self, stream: Stream) -> None:
        """The one before, if there is one, is ended."""
        if self.incoming is not None:
            self._close_incoming()
        self.incoming = stream
        self.tell(c.Following(stream.primary.node, self.epoch))
        self._later(1_000, 1_000, lambda: self._listen(stream))

    def _listen(self, stream: Stream) -> None:
        """Nothing for longer than the peer's timeout: the stream is lost."""
        if self.incoming is not stream:
            return
        if self.place.clock.now_ns - stream.there.last_heard_ns > PEER_TIMEOUT_NS + 1_000 * MS_NS:
            self._close_incoming()
            self.tell(c.StreamLost(stream.primary.node, "silent"))
            return
        self._later(1_000, 1_000, lambda: self._listen(stream))

    def _close_incoming(self) -> None:
        stream, self.incoming = self.incoming, None
        if stream is not None:
            stream.open_there = False
            stream.back.send(lambda: stream.primary.stream_lost(stream))

    def stream_ended(self, stream: Stream) -> None:
        """The primary's end is closed, and all that it sent has come."""
        if self.alive and self.incoming is stream:
            stream.open_there = False
            self.incoming = None
            self.tell(c.StreamLost(stream.primary.node, "closed by the other end"))

    def received(self, stream: Stream, place: int, item: Write | Fsync | None) -> None:
        """An operation, at its place in the stream."""
        if not self.alive or not stream.open_there:
            return
        if isinstance(item, Write):
            self.copy.cache[item.block] = item.number
        elif isinstance(item, Fsync):
            self.copy.sync()
        stream.back.send(lambda: stream.primary.acknowledged(stream, place))

    def copied(self, stream: Stream, block: int, value: int) -> None:
        """A block of the primary's; the copy vouches for nothing until the end."""
        if self.alive and stream.open_there:
            self.copy.joining = True
            self.copy.cache[block] = value
            stream.back.send(lambda: stream.primary.acknowledged(stream, 0))

    def finished(self, stream: Stream) -> None:
        """Nothing is left to copy: all is put on the disk."""
        if self.alive and stream.open_there:
            self.copy.sync()
            self.copy.joining = False
            stream.back.send(lambda: stream.primary.acknowledged(stream, 0))
            stream.back.send(lambda: stream.primary.made_durable(stream))
