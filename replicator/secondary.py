"""The secondary's end of the stream: who may send it, when it begins and when it ends.

It decides which connection is the stream, tells the agent, and ends what is silent. How what comes is applied is
``replicator.applier``'s, what is copied the copier's, what is marked ``replicator.stream_tracking``'s, whom to follow
the agent's decision. One stream at a time.
"""

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from manager.model.asides import SettingAside
from manager.model.control import (
    Event,
    Failed,
    Follow,
    Following,
    Joined,
    Promise,
    PromiseAsked,
    StreamClosed,
    StreamLost,
)
from manager.model.records import DiskIdentity
from manager.model.replicator_spec import ReplicatorSpec
from manager.model.versions import STREAM
from manager.pki.credentials import Credentials
from replicator.applier import MAX_UNSENT, Applier, Copier, Keeper
from replicator.background import Background
from replicator.core.filesystem import Free
from replicator.core.tracking import Tracker
from replicator.disk.loss import is_broken
from replicator.disk.volume import Volume
from replicator.leftovers import Leftovers
from replicator.link import Link
from replicator.reception import Reception
from replicator.refusals import Refusals
from replicator.stream_tracking import Store, StreamTracking
from replicator.wire import messages
from replicator.wire.frames import FrameKind
from replicator.wire.messages import Hello, Refusal, Refused, Welcome

TICK_S: Final = 0.25
FREE_TICKS: Final = 4
"""The free space is measured and reported every so many ticks."""
SILENCE_S: Final = 1.0
"""How much longer than peer_timeout a primary may be silent, which pings five times within it."""
MOST_ASKED: Final = 16
"""Questions for a promise that are remembered: an agent that answers later answers the last ones."""


class Asides(Protocol):
    """What of this copy is to be set aside before a stream may change it (``replicator.asides``)."""

    @property
    def diverged(self) -> bool:
        """Whether something is."""
        ...

    def why_not(self) -> str:
        """Why no stream is taken for now; empty: one is."""
        ...

    def receive(self, link: Link, primary: str, epoch: int, refused: Callable[[str], None]) -> Keeper:
        """For a stream that was told of it. ``refused`` is called with a reason when it cannot be done."""
        ...


class Vouching(Protocol):
    """What the disks vouch for (``replicator.vouching``). All of it raises OSError."""

    def identity(self) -> DiskIdentity | None:
        """The lowest vouching; ``None``: one of them vouches for nothing."""
        ...

    def is_joining(self) -> bool:
        """Whether one of them is in the middle of a join."""
        ...


class Secondary:
    """Listens for the primary; takes one stream at a time.

    ``events`` gets Following, Joined, PromiseAsked, StreamLost, StreamClosed, and Failed after the StreamLost of a
    stream that this node could not apply or bring to its disk: its copy lacks something then, until it has joined anew.
    ``make_copier`` makes the copier of a stream that has just been welcomed. ``on_refused(address, reason)`` is for the
    log: once per address and reason.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        volumes: Sequence[Volume],
        spec: ReplicatorSpec,
        instance: str,
        background: Background,
        events: Callable[[Event], None],
        make_copier: Callable[[Link], Copier],
        on_refused: Callable[[str, str], None],
        tracker: Tracker,
        store: Store,
        asides: Asides,
        vouching: Vouching,
        leftovers: Leftovers,
        credentials: Credentials | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        """Nothing is opened before :meth:`listen`. Raises OSError when the free space cannot be told.

        ``store``: the list on this node's own disk, which a join voids. ``leftovers``: of joins that broke off, which
        may have to go before the next one. ``credentials``: ``None``: streams are plain.
        ``refusals``: where the operator sees who is turned away.
        """
        self._loop = loop
        self._volumes = volumes
        self._spec = spec
        self._instance = instance
        self._background = background
        self._events = events
        self._make_copier = make_copier
        self.tracker: Final = tracker
        """What the primary may lack: of use where this node becomes one, when no stream stands."""
        self._store = store
        self._asides = asides
        self._vouching = vouching
        self._leftovers = leftovers
        self._bases: tuple[str, ...] = ()
        """What the disks note of the joins that they came through."""
        self._reception = Reception(
            loop, self._judge, self._welcome, on_refused, spec.compression, credentials, refusals
        )
        self._primary = ""
        self._epoch = 0
        self._store_id = ""
        """Of the etcd whose epoch that is; empty: not known."""
        self._stream: _Stream | None = None
        self._free: list[Free] = [volume.free() for volume in volumes]
        self._measuring = False
        self._changes = 0
        """Of the streams that are over."""
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self.loss: Failed | None = None
        """What was in memory only may be gone: no stream is taken, until the agent ends this process."""
        self._totals: dict[str, int] = {"streams": 0, "frames_applied": 0}

    def listen(self) -> int:
        """Listens at the spec's address; returns the port. Until :meth:`follow` all are refused. Raises OSError."""
        port = self._reception.listen(self._spec.listen_host, self._spec.listen_port)
        self._timer = self._loop.call_later(TICK_S, self._tick)
        return port

    def follow(self, command: Follow, bases: tuple[str, ...] = ()) -> None:
        """Takes the stream of ``command.primary`` in exactly this epoch; a stream of another one is ended.

        ``bases`` are those that the disks note (``replicator.disk.base``), read for this command.

        The epoch is on this node's disk by now (S8). Answered by Following when the stream stands. An epoch lower
        than one that was followed is not followed again: then every stream is refused (S3).
        """
        stream = self._stream
        if stream is not None and (command.primary, command.epoch) != (self._primary, self._epoch):
            self._lose(stream, f"told to follow {command.primary} in epoch {command.epoch}")
        self._primary = command.primary if command.epoch >= self._epoch else ""
        self._epoch = max(self._epoch, command.epoch)
        self._store_id = command.store_id
        self._bases = bases
        self._reception.forget_refusals()
        for volume in self._volumes:
            volume.number_from(None)
        if self._stream is None:
            self._leftovers.look()

    def promise(self, command: Promise) -> None:
        """Answers the primary, if the question came on the stream that stands; else nothing is said."""
        stream = self._stream
        if stream is None or command.epoch != stream.link.epoch or command.asked_ns not in stream.asked:
            return
        stream.asked.remove(command.asked_ns)
        for_ms = min(command.for_ms, messages.MAX_PROMISE_MS)
        if for_ms > 0:
            stream.applier.promise(command.asked_ns, for_ms)

    def close_stream(self) -> None:
        """Applies what has come, ends the stream, takes none until :meth:`follow`; then StreamClosed (S3)."""
        self.stop_following()
        self._events(StreamClosed(self._epoch, *self._has_left()))

    def stop_following(self) -> None:
        """As :meth:`close_stream`, without the event: for another role."""
        self._primary = ""
        self._leftovers.stop()
        if self._stream is not None:
            self._stream.link.drain()
        if self._stream is not None:  # else it failed while it was drained, and was told as lost
            self._end(self._stream)

    def close(self) -> None:
        """Ends everything, the listening too."""
        self.stop_following()
        self._reception.close()
        if self._timer is not None:
            self._timer.cancel()

    @property
    def primary(self) -> str:
        """Whose stream is taken; empty: nobody's."""
        return self._primary

    @property
    def is_following(self) -> bool:
        """Whether a stream stands."""
        return self._stream is not None

    @property
    def changes(self) -> int:
        """How many frames of all streams changed something, or may have."""
        return self._changes + (self._stream.changes if self._stream is not None else 0)

    def stream_lost(self, primary: str, reason: str) -> StreamLost:
        """What is told where no stream of ``primary`` stands, with what such a one has left this copy as."""
        return StreamLost(primary, reason, *self._has_left())

    def _has_left(self) -> tuple[bool | None, DiskIdentity | None]:
        """Whether in the middle of a join, and what vouching for; ``None``: they cannot say so."""
        try:
            joining = self._vouching.is_joining()
        except OSError:
            return None, None
        try:
            return joining, self._vouching.identity()
        except OSError:
            return joining, None

    def counters(self) -> dict[str, int]:
        """For control.Status; see docs/PROTOCOL.md."""
        counters = dict(self._totals)
        if self._stream is not None:
            _add(counters, self._stream.counters())
        return counters | {"streams_refused": self._reception.turned_away}

    # The handshake

    def _judge(self, hello: Hello) -> Refused | None:
        """Why there can be no stream from who says ``hello``."""
        spec = self._spec
        if hello.agreed is None:
            return Refused(Refusal.VERSION, f"{hello.node} speaks {hello.speaks}, {spec.node} {STREAM}")
        if hello.cluster_id != spec.cluster_id:
            return Refused(Refusal.CLUSTER, f"{hello.cluster_id}, this node is of {spec.cluster_id}")
        if hello.module_id != spec.module_id:
            return Refused(Refusal.MODULE, f"{hello.module_id}, this is {spec.module_id}")
        if hello.epoch < self._epoch:
            return Refused(Refusal.EPOCH_PAST, f"{hello.epoch}, this node has seen {self._epoch}")
        if self.loss is not None:
            return Refused(Refusal.NOT_FOLLOWING, f"its agent is to start it anew: {self.loss.reason}")
        if not self._primary:
            return Refused(Refusal.NOT_FOLLOWING, "this node follows nobody")
        if hello.node != self._primary:
            return Refused(Refusal.OTHER_PRIMARY, f"this node follows {self._primary}, not {hello.node}")
        if hello.epoch > self._epoch:
            return Refused(Refusal.EPOCH_AHEAD, f"{hello.epoch}, this node was told of {self._epoch}")
        if hello.store_id != self._store_id and hello.store_id and self._store_id:
            return Refused(Refusal.NOT_FOLLOWING, f"epoch {hello.epoch} of etcd {hello.store_id}, not {self._store_id}")
        if hello.directories != len(self._volumes):
            return Refused(Refusal.DIRECTORIES, f"{hello.directories}, this node has {len(self._volumes)}")
        why_not = self._leftovers.why_not() or self._asides.why_not()
        return Refused(Refusal.NOT_FOLLOWING, why_not) if why_not else None

    def _welcome(self, link: Link, hello: Hello, address: str) -> None:
        """The stream stands; the one before is applied as far as it came, and closed, first."""
        if self._stream is not None:
            self._stream.link.drain()
            refused = self._judge(hello)  # it may have failed meanwhile, and have left something to be done before
            if refused is not None:
                self._reception.refuse(link, hello, address, refused)
                return
        if self._stream is not None:
            self._lose(self._stream, f"the primary connected anew from {address}")
        for volume in self._volumes:
            volume.forget_all()
        link.agree(hello.epoch)
        agreed, diverged = hello.agreed, self._asides.diverged
        assert agreed is not None, "was judged"
        stream = _Stream(self, link, diverged)
        copier = self._make_copier(link)
        stream.tracking = StreamTracking(
            self.tracker, self._store, self._volumes, self._background, stream.durable, stream.sync_failed
        )
        keeper = self._asides.receive(link, hello.node, hello.epoch, stream.refused) if diverged else None
        stream.applier = Applier(
            link,
            self._volumes,
            self._background,
            copier,
            stream.tracking,
            self._spec.acknowledge_disk,
            stream.failed,
            stream.refused,
            stream.was_asked,
            stream.joined,
            keeper,
        )
        link.on_lost = stream.lost
        self._stream = stream
        self._totals["streams"] += 1
        answer = Welcome(
            node=self._spec.node,
            boot_id=self._spec.boot_id,
            instance=self._instance,
            epoch=hello.epoch,
            limits=tuple(volume.limits for volume in self._volumes),
            free=tuple(self._free),
            bases=() if diverged or any(volume.memory_lost for volume in self._volumes) else self._bases,
            diverged=diverged,
            version=agreed,
        )
        link.send(FrameKind.WELCOME, 0, messages.encode_handshake(answer))
        self._events(Following(primary=hello.node, epoch=hello.epoch))
        if diverged:
            self._events(SettingAside(primary=hello.node, epoch=hello.epoch))

    # What it says

    def asked(self, stream: "_Stream", asked_ns: int) -> None:
        """The primary of that stream asks for a promise."""
        self._events(PromiseAsked(stream.primary, stream.link.epoch, asked_ns))

    def joined(self, stream: "_Stream") -> None:
        """The join of that stream is through, on the disks too. Raises OSError where they do not say so."""
        identity = self._vouching.identity()
        if identity is None:
            raise OSError(errno.EIO, "the disks came through a join, and vouch for nothing")
        self._events(Joined(stream.link.epoch, identity))

    # The end of a stream

    def fail(self, reason: str, memory_lost: bool) -> None:
        """This copy cannot go on, whether a stream stands or not; what was applied may be gone (``memory_lost``)."""
        if self._stream is not None:
            self._stream.applier.fail(reason, memory_lost)
            return
        failed = Failed(reason, memory_lost=memory_lost)
        self._distrust(failed)
        self._events(failed)

    def end_diverged(self, reason: str) -> None:
        """Ends a stream on which something is being set aside."""
        if self._stream is not None and self._stream.diverged and self._asides.diverged:
            self._lose(self._stream, reason)

    def lost(self, stream: "_Stream", reason: str, failure: Failed | None) -> None:
        """That stream is over, for a reason of its own."""
        if stream is self._stream:
            self._lose(stream, reason, failure)
            if stream.applier.lacks_room:
                self._leftovers.lacks_room()
            else:
                self._leftovers.look()

    def _lose(self, stream: "_Stream", reason: str, failure: Failed | None = None) -> None:
        self._end(stream)
        if failure is not None:
            self._distrust(failure)
        self._events(self.stream_lost(stream.primary, reason))
        if failure is not None:
            self._events(failure)

    def _distrust(self, failure: Failed) -> None:
        """Where its memory was lost this process takes no stream any more.

        It would be listed with the boot id that it was started with, which this node's agent, once it hears of the
        loss, or a new one that reads of it, takes for one from before: it would not pass for having what it joined for.
        """
        if failure.memory_lost:
            self.tracker.void()
            self.loss = failure

    def _end(self, stream: "_Stream") -> None:
        self._stream = None
        self._changes += stream.changes
        stream.applier.end()
        if stream.tracking.noted is not None:
            self._bases = stream.tracking.noted
        stream.link.finish()
        _add(self._totals, stream.counters())
        for volume in self._volumes:
            volume.forget_all()

    # Each quarter of a second

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        self._ticks += 1
        if self._ticks % FREE_TICKS == 0 and not self._measuring:
            self._measuring = True
            self._background.run(self._measure, self._measured, self._not_measured)
        if self._stream is not None:
            self._check_life(self._stream)

    def _check_life(self, stream: "_Stream") -> None:
        link = stream.link
        if link.unsent_bytes <= MAX_UNSENT // 2:
            link.resume_reading()
        limit = self._spec.peer_timeout_ms / 1000 + SILENCE_S
        if self._loop.time() - link.received_at <= limit:
            return
        link.drain()  # this process may have stood still itself, with what came waiting in the kernel
        if stream is self._stream and self._loop.time() - link.received_at > limit:
            self.lost(stream, f"nothing heard for {limit:.1f} s", None)

    def _measure(self) -> list[Free]:
        return [volume.free() for volume in self._volumes]

    def _measured(self, free: list[Free]) -> None:
        self._measuring = False
        self._free = free
        if self._stream is not None:
            self._stream.applier.report_free(free)

    def _not_measured(self, error: OSError) -> None:
        self._measuring = False
        if self._stream is not None:
            self._stream.applier.fail(f"the free space cannot be told: {error.strerror}", is_broken(error))


class _Stream:
    """One stream that stands."""

    applier: Applier
    tracking: StreamTracking

    def __init__(self, secondary: Secondary, link: Link, diverged: bool) -> None:
        self.primary: Final = secondary.primary
        self.link: Final = link
        self.diverged: Final = diverged
        """Whether something was to be set aside when it began."""
        self.asked: Final = deque[int](maxlen=MOST_ASKED)
        """The questions for a promise that are not answered, by the primary's clock."""
        self._secondary = secondary

    def was_asked(self, asked_ns: int) -> None:
        """For a promise."""
        self.asked.append(asked_ns)
        self._secondary.asked(self, asked_ns)

    def joined(self) -> None:
        """Its join is through. Raises as :meth:`Secondary.joined`."""
        self._secondary.joined(self)

    def lost(self, reason: str) -> None:
        """The connection is gone."""
        self._secondary.lost(self, reason, None)

    def failed(self, reason: str, memory_lost: bool) -> None:
        """It cannot be applied, or is not on the disk."""
        self._secondary.lost(self, reason, Failed(reason, memory_lost=memory_lost))

    def durable(self, sequence: int) -> None:
        """Everything up to that BARRIER is on the disks."""
        self.link.send_bare(FrameKind.BARRIER_DONE, sequence)

    def refused(self, reason: str) -> None:
        """What differs cannot be set aside, or the join is to begin anew; this copy is no worse than it was."""
        self.applier.refuse(reason)
        self._secondary.lost(self, reason, None)

    def sync_failed(self, error: OSError) -> None:
        """It is not."""
        self.applier.sync_failed(error)

    @property
    def changes(self) -> int:
        """How many frames changed something, or may have."""
        return self.applier.sequence - self.applier.pings

    def counters(self) -> dict[str, int]:
        """Of this stream."""
        return self.link.counters() | {"frames_applied": self.applier.sequence}


def _add(totals: dict[str, int], more: dict[str, int]) -> None:
    for name, count in more.items():
        totals[name] = totals.get(name, 0) + count
