"""The replicators of a simulated cluster: what they promise to their agents, without files and sockets.

Completions are held and released by the shipped object (``replicator.core.completions``). The rest follows the
replicator's own rules: an acknowledgement means applied; a joining copy vouches for nothing; the epoch is on the disk
before it is used; a stream is taken of the followed primary's epoch only; the warden fences at the deadline that was
told last, whatever its agent does. What a primary does is in ``primary``.
"""

from collections.abc import Callable
from dataclasses import replace

from manager.model import control as c
from manager.model.asides import SetAside, SettingAside
from manager.model.boots import parts
from manager.model.records import DiskIdentity
from tests.simulation.checkers import Violation, Write, require_same
from tests.simulation.clockwork import MS_NS, Actor, LocalClock
from tests.simulation.primary import PEER_TIMEOUT_NS, Primary
from tests.simulation.private import Threads, operation_on
from tests.simulation.resync import keep_list, tracker_of
from tests.simulation.stream import Fsync, Place, Stream
from tests.simulation.volume import Content, Copy

Tell = Callable[[c.Event], None]
_LISTEN_MS = 1_000
_WARDEN_MS = 200
"""The longest that the warden sleeps: a clock that has jumped is noticed within it."""


class Replicator:
    """One process."""

    def __init__(self, place: Place, node: str, boot_id: str, copy: Copy, clock: LocalClock) -> None:
        """It listens, and plays no part."""
        self.place, self.node, self.boot_id, self.copy, self.clock = place, node, boot_id, copy, clock
        self.actor = Actor()
        self.tell: Tell = lambda event: None
        """To the agent that is connected."""
        self.instance = f"{node}{next(place.numbers)}"
        self.port = 10_000 + next(place.numbers)
        self.role, self.epoch = "idle", 0
        self.etcd = ""
        """Of whose epoch that is, by its id."""
        self.alive = True
        self.deadline_ns = 0
        """By this machine's clock."""
        self.primary: Primary | None = None
        self.followed = ""
        self.failure: c.Failed | None = None
        self.joined = False
        """It has come through a join."""
        self.incoming: Stream | None = None
        self.tracks = place.tracks
        self.threads: list[Threads] = []
        self.background = Threads(self)
        """Of the secondary."""
        self.tracker = tracker_of(self)
        """What a primary that this node follows may lack."""
        self.on_death: Callable[[], None] = lambda: None
        """The warden's doing: the application ends with the mounts."""
        self.on_serving: Callable[[int], None] = lambda epoch: None
        """Told of each promotion, for the checkers."""
        place.ports[node, self.port] = self

    # Life

    def hello(self) -> list[c.Event]:
        """What a new agent is told first."""
        copy, vouched = self.copy, self.copy.vouches()
        noted = 0 if copy.identity is None or copy.owner != self.node else copy.identity.epoch
        hello = c.Hello(
            1, self.instance, self.port, self.role, self.epoch, vouched,
            foreign=f"it is of {copy.owner}" if copy.identity is not None and copy.owner != self.node else "",
            diverged=copy.diverged and not copy.joining,
            seen_epoch=noted if vouched is None and not copy.joining else 0,
            joining_epoch=noted if copy.joining else None,
        )  # fmt: skip
        told: list[c.Event] = [hello]
        if self.primary is not None:
            told += self.primary.standing()
        return told if self.failure is None else [*told, self.failure]

    def die(self) -> None:
        """The process is gone; the page cache stays."""
        self.alive = False
        self.place.ports.pop((self.node, self.port), None)
        for threads in self.threads:
            threads.die()
        self._play_no_part()
        self.on_death()

    def quit(self) -> None:
        """It ends in order."""
        if not self.actor.frozen:
            self.leave_role()
        self.die()

    def leave_role(self) -> None:
        """In order: what the other one may lack is on the disk after it."""
        primary, role = self.primary, self.role
        self._play_no_part()
        if primary is not None:
            primary.resync.end()
        elif role == "secondary":
            keep_list(self, self.tracker)

    def _play_no_part(self) -> None:
        if self.primary is not None:
            self.primary.end()
            self.primary = None
        if self.incoming is not None:
            self._close_incoming()
        self.role = "idle"

    def later(self, least_ms: float, most_ms: float, action: Callable[[], None]) -> None:
        """Do it, if this process plays the same part then."""
        epoch, role = self.epoch, self.role

        def run() -> None:
            if self.alive and self.epoch == epoch and self.role == role:
                action()

        self.place.clock.after(self.place.clock.between(least_ms, most_ms), run, self.actor)

    def fail(self, reason: str, *, memory_lost: bool = False) -> None:
        """It cannot go on: nothing more completes, and the agent hears of it."""
        if self.primary is not None:
            self.primary.completions.fence()
        if self.incoming is not None:
            self._close_incoming()
        if memory_lost:
            self.joined = False
            self.tracker.void()
            if self.primary is not None:
                self.primary.resync.barriers.disk_lost()
        self.failure = c.Failed(reason, memory_lost=memory_lost)
        self.tell(self.failure)

    # Commands

    def command(self, command: c.Command) -> None:
        """What the agent wants."""
        match command:
            case c.Lease(deadline_ns):
                self.deadline_ns = deadline_ns
            case c.Serve():
                self.later(5, 200, lambda: self._serve(command))
            case c.Follow():
                self._follow(command)
            case c.CloseStream():
                self.close_stream()
            case c.Promise(epoch, asked_ns, for_ms):
                self._promise(epoch, asked_ns, for_ms)
            case _:
                if self.primary is not None:
                    self.primary.command(command)

    def close_stream(self) -> None:
        """Take no more of it, nor another one until Follow; what came is applied already."""
        self.followed = ""
        self._close_incoming()
        self.later(0, 5, lambda: self.tell(c.StreamClosed(self.epoch, self.copy.joining, self.copy.vouches())))

    def _serve(self, command: c.Serve) -> None:
        now_ns = self.clock.now_ns
        seen = 0 if self.copy.identity is None else self.copy.identity.epoch
        refused = self.primary is not None or self.deadline_ns <= now_ns or command.epoch <= seen
        lost = self.failure is not None and self.failure.memory_lost
        if refused or lost or self.copy.joining:
            self.tell(c.Refused("Serve", f"{self.role}, {self.deadline_ns - now_ns} ns, {command.epoch} after {seen}"))
            return
        self.leave_role()
        self.note(command.epoch, command.revision, command.store_id, promotion=True)
        self.copy.diverged = False
        self.role, self.epoch, self.etcd = "primary", command.epoch, command.store_id
        self.primary = self.place.parts.primary(self, self.place.parts.completions())
        self._watch_deadline()
        self.primary.begin()
        self.on_serving(command.epoch)
        self.tell(c.Serving(command.epoch))

    def note(self, epoch: int, revision: int, store_id: str, *, promotion: bool = False) -> None:
        """In the disk's identity, at once on the disk. Of another store, or at a ``promotion``, the revision is new."""
        known = self.copy.identity
        if known is not None:
            epoch, store_id = max(epoch, known.epoch), store_id or known.store_id
            same = known.store_id in ("", store_id) and not promotion
            revision = max(revision, known.revision) if same else revision
        whole = epoch if promotion else 0 if known is None else known.whole_epoch
        self.copy.identity = DiskIdentity("cluster", "module", epoch, revision, store_id, whole)

    # The warden

    def _watch_deadline(self) -> None:
        left_ns = self.deadline_ns - self.clock.now_ns
        if left_ns <= 0:
            self.fence()
            return
        wait_ns = min(self.clock.truly(left_ns), _WARDEN_MS * MS_NS)
        self.later(wait_ns / MS_NS, wait_ns / MS_NS, self._watch_deadline)

    def fence(self) -> None:
        """At the deadline nothing is left that serves."""
        if self.primary is None:
            return
        self.place.note(f"{self.node} fenced")
        self.primary.completions.fence()
        self.on_death()
        self.tell(c.Fenced("the lease's deadline has passed"))
        self.leave_role()

    @property
    def distrusts(self) -> bool:
        """What its page cache shows may not be on the disk: its memory was lost since the last boot.

        Until this process has come through a join, which was of everything then.
        """
        return parts(self.boot_id)[1] > 0 and not self.joined

    @property
    def serves(self) -> bool:
        """Whether the application can write here."""
        return self.alive and self.primary is not None and not self.primary.completions.fenced

    # Secondary

    def _follow(self, command: c.Follow) -> None:
        seen = 0 if self.copy.identity is None else self.copy.identity.epoch
        if command.epoch < seen:
            self.tell(c.Refused("Follow", f"{command.epoch} after {seen}"))
            return
        same = self.role == "secondary" and (self.epoch, self.followed) == (command.epoch, command.primary)
        if self.role == "primary":
            self.leave_role()
        former = self.incoming
        if not same:
            self._play_no_part()
            self.on_death()
        # Before the epoch, by which it would pass for one that has followed all along.
        self.copy.diverged = self.copy.diverged or command.diverged
        self.copy.joining = self.copy.joining or self.copy.identity is None
        self.note(command.epoch, command.revision, command.store_id)
        self.role, self.epoch, self.followed = "secondary", command.epoch, command.primary
        self.etcd = command.store_id
        if former is not None and not same:
            self._lost(former, f"told to follow {command.primary}")

    def welcomes(self, primary: "Replicator") -> bool:
        """Whether it takes a stream of this primary."""
        taken = self.alive and self.role == "secondary" and not self.actor.frozen
        taken = taken and not (self.failure is not None and self.failure.memory_lost)
        same = self.etcd == primary.etcd or "" in (self.etcd, primary.etcd)
        return taken and same and self.epoch == primary.epoch and self.followed == primary.node

    def take_stream(self, stream: Stream) -> None:
        """The one before, if there is one, is ended."""
        before = self.incoming
        if before is not None:
            self._close_incoming()
            self._lost(before, "the primary connected anew")
        self.incoming = stream
        stream.found_joining = self.copy.joining
        stream.bases = () if self.distrusts else self.copy.bases

        def durable(sequence: int) -> None:
            stream.back.send(lambda: stream.primary.barrier_done(stream, sequence))

        stream.tracking = self.place.parts.follower(self, durable)
        self.tell(c.Following(stream.primary.node, self.epoch))
        stream.sets_aside = self.copy.diverged
        if stream.sets_aside:
            self.tell(SettingAside(stream.primary.node, self.epoch))
        self.later(_LISTEN_MS, _LISTEN_MS, lambda: self._listen(stream))

    def _listen(self, stream: Stream) -> None:
        """Nothing for longer than the peer's timeout: the stream is lost."""
        if self.incoming is not stream:
            return
        if self.place.clock.now_ns - stream.there.last_heard_ns > PEER_TIMEOUT_NS + _LISTEN_MS * MS_NS:
            self._close_incoming()
            self._lost(stream, "silent")
            return
        self.later(_LISTEN_MS, _LISTEN_MS, lambda: self._listen(stream))

    def _close_incoming(self) -> None:
        stream, self.incoming = self.incoming, None
        if stream is not None:
            stream.open_there = False
            if stream.tracking is not None:
                stream.tracking.end()
            stream.back.send(lambda: stream.primary.stream_lost(stream))

    def stream_ended(self, stream: Stream) -> None:
        """The primary's end is closed, and all that it sent has come."""
        if self.alive and self.incoming is stream:
            stream.open_there = False
            self.incoming = None
            if stream.tracking is not None:
                stream.tracking.end()
            self._lost(stream, "closed by the other end")

    def _lost(self, stream: Stream, reason: str) -> None:
        self.tell(c.StreamLost(stream.primary.node, reason, self.copy.joining, self.copy.vouches()))

    def compared(self, stream: Stream, block: int, value: int) -> None:
        """What is in a block of the primary's: this copy's own is kept, if it is another, before the next is asked."""
        if self.alive and stream.open_there:
            if self.copy.cache[block] != value:
                stream.own[block] = self.copy.cache[block]
            self.acknowledge(stream, 0)
            stream.back.send(lambda: stream.primary.was_compared(stream))

    def set_aside(self, stream: Stream) -> None:
        """All was compared: what was kept is on the disk; from now on the copy is changed, and vouches for nothing."""
        if not self.alive or not stream.open_there:
            return
        if self.copy.full:
            self.fail("No space left on device")
            return
        self.copy.asides.append(dict(stream.own))
        self._judge_touch(stream)
        self.copy.joining, self.copy.diverged = True, False
        self.acknowledge(stream, 0)
        stream.back.send(lambda: stream.primary.was_set_aside(stream))
        self.tell(SetAside(stream.primary.node, 0, 0, 0))

    def received(self, stream: Stream, place: int, item: Write | Fsync | None) -> None:
        """An operation, at its place in the stream: applied, then acknowledged."""
        if not self.alive or not stream.open_there:
            return
        if isinstance(item, Write):
            if self.copy.full:
                self.fail("No space left on device")
                return
            self._touch(stream, item.block)
            self.copy.cache[item.block] = item.number
        elif isinstance(item, Fsync):
            self.copy.sync()
        self.acknowledge(stream, place)

    def acknowledge(self, stream: Stream, place: int) -> None:
        """Everything up to ``place`` is applied."""
        stream.back.send(lambda: stream.primary.acknowledged(stream, place))

    def _touch(self, stream: Stream, block: int | None = None) -> None:
        """The copy is about to be changed: it vouches for nothing until the end of the join. ``block`` is marked."""
        if stream.tracking is None:
            return
        if not stream.touched:
            self._judge_touch(stream)
            stream.touched = self.copy.joining = True
            stream.tracking.begin()
        if block is not None and not stream.tracking.mark(operation_on(block)):
            raise Violation("tracking: a secondary's mark waits")

    def _judge_touch(self, stream: Stream) -> None:
        """What was given up is kept here before it is changed.

        One may have been in the middle of a join when another one was named: nothing that it has is its own. What it
        had was judged when that join began.
        """
        copy = self.copy
        if not stream.found_joining or stream.compared:
            self.place.promises.require_kept(self.node, copy.cache, [*copy.asides, *copy.saved])

    def copied(self, stream: Stream, block: int, value: int) -> None:
        """A block of the primary's."""
        if not self.alive or not stream.open_there:
            return
        if self.copy.full:
            self.fail("No space left on device")
            return
        self._touch(stream, block)
        self.copy.cache[block] = value
        self.acknowledge(stream, 0)

    def repaired(self, stream: Stream, block: int, value: int) -> None:
        """What the primary has, where a write failed there."""
        if not self.alive or not stream.open_there:
            return
        if self.copy.full:
            self.fail("No space left on device")
            return
        self._touch(stream, block)
        self.copy.cache[block] = value
        self.acknowledge(stream, 0)
        stream.back.send(lambda: stream.primary.was_repaired(stream))

    def finished(self, stream: Stream, base: str, expected: Content) -> None:
        """Nothing is left to copy, and the copies are the same now: all is put on the disk, step by step."""
        if not self.alive or not stream.open_there or stream.tracking is None:
            return
        require_same(stream.primary.node, expected, self.node, self.copy.cache)
        self._touch(stream)
        note = stream.tracking.finish(stream.finish_at, base, 0)
        self._bring_to_disk(stream, [self._sync_whole, note, self._vouch_again])

    def _bring_to_disk(self, stream: Stream, steps: list[Callable[[], None]]) -> None:
        def work() -> None:
            if stream.open_there:
                steps[0]()

        def done(_: None) -> None:
            if not stream.open_there:
                return
            if steps[1:]:
                self._bring_to_disk(stream, steps[1:])
                return
            self.joined = True
            vouched = self.copy.vouches()
            assert vouched is not None, "it came through a join"
            self.tell(c.Joined(self.epoch, vouched))
            self.acknowledge(stream, 0)
            stream.back.send(lambda: stream.primary.made_durable(stream))

        self.background.run(work, done, lambda error: self.fail(str(error)))

    def _sync_whole(self) -> None:
        self.copy.sync()
        self.place.whole[self.instance] = self.copy.memories

    def _vouch_again(self) -> None:
        identity = self.copy.identity
        self.copy.identity = identity and replace(identity, whole_epoch=identity.epoch)
        self.copy.joining = False

    def barrier(self, stream: Stream, sequence: int) -> None:
        """What came before is to be on the disk."""
        if self.alive and stream.open_there and stream.tracking is not None:
            stream.tracking.barrier(sequence)
            self.acknowledge(stream, 0)

    def forget(self, stream: Stream, sequence: int) -> None:
        """Both disks have what was before."""
        if self.alive and stream.open_there and stream.tracking is not None:
            stream.tracking.forget(sequence)
            self.acknowledge(stream, 0)

    def promise_asked(self, stream: Stream, epoch: int, asked_ns: int) -> None:
        """The primary asks this node not to stand (S5): the agent answers."""
        if self.alive and self.incoming is stream and stream.open_there:
            self.tell(c.PromiseAsked(stream.primary.node, epoch, asked_ns))

    def _promise(self, epoch: int, asked_ns: int, for_ms: int) -> None:
        """The agent's answer, over the stream that stands, if that is of this epoch."""
        stream = self.incoming
        if stream is not None and stream.open_there and self.epoch == epoch:
            stream.back.send(lambda: stream.primary.promised(stream, epoch, asked_ns, for_ms))

    # What the primary's end of a stream is told

    def acknowledged(self, stream: Stream, place: int) -> None:
        """See :meth:`Primary.acknowledged`."""
        if self.serves and self.primary is not None:
            self.primary.acknowledged(stream, place)

    def made_durable(self, stream: Stream) -> None:
        """See :meth:`Primary.made_durable`."""
        if self.serves and self.primary is not None:
            self.primary.made_durable(stream)

    def barrier_done(self, stream: Stream, sequence: int) -> None:
        """The secondary's disk has what was before that barrier."""
        if self.serves and self.primary is not None and stream.open_here:
            self.primary.resync.barriers.answered(stream, sequence)  # type: ignore[arg-type]

    def was_compared(self, stream: Stream) -> None:
        """The secondary has kept its own of the block that was compared."""
        if self.serves and self.primary is not None and stream.open_here:
            self.primary.compare(stream)

    def was_set_aside(self, stream: Stream) -> None:
        """The secondary has kept all that is its own."""
        if self.serves and self.primary is not None and stream.open_here:
            stream.sets_aside = False
            self.primary.rest()

    def was_repaired(self, stream: Stream) -> None:
        """The secondary has what is here."""
        if self.serves and self.primary is not None and stream.open_here:
            self.primary.repairs.acknowledged(stream)

    def stream_lost(self, stream: Stream) -> None:
        """The secondary's end is closed."""
        if self.serves and self.primary is not None and stream.open_here:
            self.primary.drop(stream.secondary.node, "closed by the other end")

    def promised(self, stream: Stream, epoch: int, asked_ns: int, for_ms: int) -> None:
        """The secondary's promise has come."""
        if self.serves and stream.open_here and epoch == self.epoch:
            other = stream.secondary
            self.tell(c.Promised(other.node, other.instance, epoch, asked_ns, for_ms))
