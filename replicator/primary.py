"""The primary: takes the operations of all its file systems, ships them, applies and completes them in order (S2, S4).

It is the :class:`replicator.core.issuing.Issuer` of one module, for one epoch. An operation goes to every peer whose
stream stands; what :class:`replicator.core.completions.Completions` releases is applied here, then completed. It
knows neither FUSE nor how a peer is brought in sync (``replicator.joining``), nor what the agent decides.

What is missing at a peer that joins is told by :func:`what_is_missing`: everything, until changes are tracked
(DESIGN.md section 5); there the tracking has its place, at :meth:`Primary.issue` and where operations are applied.
"""

import asyncio
import enum
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from manager.model.control import Event, Failed, Frozen, PeerComplete, PeerConnected, PeerLost, Settled
from manager.model.errors import MirrorfarmError
from replicator.connecting import Connector
from replicator.core.completions import Completions, Gate
from replicator.core.issuing import Issuer
from replicator.core.operations import Fsync, Operation
from replicator.disk.limits import Limits
from replicator.disk.volume import DivergenceError, Free, Volume
from replicator.fsyncing import Fsyncing
from replicator.fuse.context import Background
from replicator.joining import JoinerFactory
from replicator.peer import Peer, PeerState
from replicator.repair import Repairs, can_be_repaired
from replicator.wire import messages

TICKS_PER_TIMEOUT: Final = 20
"""How often in a peer_timeout the streams are looked at: a slow peer is found between 95 and 100 % of it."""
PINGS_PER_TIMEOUT: Final = 5

Done = Callable[[int], None]
Item = tuple[Operation, Done]
Note = Callable[..., Any]
"""Of the runtime's log: an event's name, and its values by keyword."""


class Missing(enum.Enum):
    """What a joining peer lacks."""

    EVERYTHING = "everything"
    """Nothing is known of it: a full compare."""


def what_is_missing(_peer: Peer) -> Missing:
    """What is to be compared and copied for ``_peer``. Changes are not tracked yet, so nothing is known of anybody."""
    return Missing.EVERYTHING


class Fence(Protocol):
    """The warden's flag."""

    fenced: bool
    """Nothing may be applied or completed any more; set by another thread."""


@dataclass(frozen=True, slots=True)
class PrimarySettings:
    """What a primary is told of itself."""

    cluster_id: str
    module_id: str
    node: str
    boot_id: str
    instance: str
    epoch: int
    peer_timeout_ms: int
    compression: bool


@dataclass(frozen=True, slots=True)
class Hooks:
    """Whom a primary tells."""

    event: Callable[[Event], None]
    """The agent."""
    space: Callable[[int, Free | None, Limits | None], None]
    """The file system of this volume: what all peers together have free and can do."""
    note: Note
    """The log; not used on the data path."""


class Primary(Issuer):
    """The issuer of one module, for one epoch. All methods are for the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        volumes: Sequence[Volume],
        settings: PrimarySettings,
        hooks: Hooks,
        background: Background,
        fence: Fence,
        make_joiner: JoinerFactory,
    ) -> None:
        """Nothing completes before the first :meth:`settled`: who has to have it is not known until then."""
        self.volumes: Final = tuple(volumes)
        self.epoch: Final = settings.epoch
        self.background: Final = background
        self.completions: Final = Completions[Item]()
        self._loop = loop
        self._settings = settings
        self._hooks = hooks
        self._fence = fence
        self._make_joiner = make_joiner
        self._apply = tuple(volume.apply for volume in volumes)
        self._connectors: dict[str, Connector] = {}
        self._peers: tuple[Peer, ...] = ()
        """Those that stand."""
        self._joining = False
        """Whether one of them is joining."""
        self._quiet: deque[Callable[[], None]] = deque()
        self._after: deque[tuple[int, Callable[[], None]]] = deque()
        self._draining = False
        self._shipping = False
        self._resting = False
        self._failed = False
        self._closed = False
        self._frozen_told = False
        self._fsyncs = Fsyncing(self)
        self._repairs = Repairs(self)
        self._operations = 0
        self._tick_s = settings.peer_timeout_ms / 1000 / TICKS_PER_TIMEOUT
        self._watches: dict[Peer, _Watch] = {}
        self._next_tick = loop.time() + self._tick_s
        self._timer = loop.call_at(self._next_tick, self._tick)

    # The issuer

    def issue(self, operation: Operation, done: Done) -> None:
        """See Issuer."""
        if self.completions.gated:
            self.completions.wait((operation, done))
        elif not self._joining or self._may_ship(operation, done):
            self._issue(operation, done)

    def _issue(self, operation: Operation, done: Done) -> None:
        completions = self.completions
        completions.issue((operation, done))
        self._shipping = True
        try:
            for peer in self._peers:
                peer.ship(operation)
        except (OSError, MirrorfarmError) as error:
            self.fail(f"an inode cannot be introduced to the peer: {error}")
        self._shipping = False
        if completions.limit > completions.released:
            self._drain()

    def fsync(self, operation: Fsync, done: Done) -> None:
        """See Issuer."""
        self._fsyncs.issue(operation, done)

    def forgotten(self, volume: int, inode: int) -> None:
        """See Issuer."""
        for peer in self._peers:
            peer.unbind(volume, inode)

    # Applying and completing

    def _drain(self) -> None:
        """Applies and completes what is released. When the module is fenced or has failed it never returns to it."""
        if self._draining or self._shipping:
            return
        self._draining = True
        fence, apply, completions = self._fence, self._apply, self.completions
        while items := completions.release():
            for operation, done in items:
                if fence.fenced or self._failed:
                    return
                try:
                    result = apply[operation.volume](operation)
                except OSError as error:
                    if self._peers:
                        self._failed_here(operation, done, error)
                        continue
                    result = -(error.errno or 5)
                except DivergenceError as error:
                    self.fail(f"the files here are not what they were: {error}")
                    return
                if fence.fenced:
                    return
                done(result)
            self._operations += len(items)
        self._draining = False
        if self._after or completions.gated:
            self.rest()

    def _failed_here(self, operation: Operation, done: Done, error: OSError) -> None:
        """The peers have applied it, or will."""
        if can_be_repaired(operation, error):
            self._repairs.add(operation, done, error)
        else:
            self.fail(f"{operation.kind.name} of inode {operation.inode:x} failed here: {error}")

    def fail(self, reason: str) -> None:
        """Nothing is applied or completed any more, and the agent is told: it resigns."""
        if not self._failed:
            self._failed = True
            self.completions.fence()
            self._hooks.event(Failed(reason))

    @property
    def stopped(self) -> bool:
        """Whether nothing may complete any more."""
        return self._failed or self._fence.fenced

    # Moments

    def when_quiet(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` on the loop when nothing is issued and not yet applied here.

        Until then what is issued waits. What the callback sends, and reads here, is of one moment of the stream. Keep
        it short: the application waits. Callbacks are called in the order asked, perhaps before this returns; never
        once the module is fenced or has failed.
        """
        self._quiet.append(callback)
        self.completions.shut(Gate.QUIET)
        self.rest()

    def when_applied(self, callback: Callable[[], None]) -> None:
        """Calls ``callback`` when all that has been issued until now is applied here, perhaps before this returns."""
        self._after.append((self.completions.issued, callback))
        self.rest()

    def rest(self) -> None:
        """Does what waits for a moment, if this is one."""
        if self._draining or self._resting or self.stopped:
            return
        self._resting = True
        completions = self.completions
        while True:
            while self._after and self._after[0][0] <= completions.released:
                self._after.popleft()[1]()
            if completions.idle and not completions.is_shut(Gate.REPAIR):
                if self._quiet:
                    self._quiet.popleft()()
                    continue
                self._tell_frozen()
            if not self._quiet:
                completions.open(Gate.QUIET)
            waiting = completions.next_waiting()
            if waiting is None:
                break
            if not self._joining or self._may_ship(*waiting):
                self._issue(*waiting)
        self._resting = False

    def _may_ship(self, operation: Operation, done: Done) -> bool:
        """Whether every joiner lets it pass; else it is issued at the next quiet moment, first of all."""
        joiners = [p.joiner for p in self._peers if p.joiner is not None and p.state is PeerState.JOINING]
        asking = [joiner for joiner in joiners if not joiner.may_ship(operation)]
        if not asking:
            return True

        def prepare() -> None:
            for joiner in asking:
                joiner.prepare(operation)
            self._issue(operation, done)

        self._quiet.appendleft(prepare)
        self.completions.shut(Gate.QUIET)
        self.rest()
        return False

    # The agent's side

    def settled(self, command: Settled) -> None:
        """The record stands so. One of another epoch says nothing of this primary."""
        if command.epoch != self.epoch:
            self._hooks.note("record.of_other_epoch", epoch=command.epoch, own_epoch=self.epoch)
            return
        self.completions.settled(command.number, [n for n in command.holders if n != self._settings.node])
        self._hooks.note("record.settled", number=command.number, holders=command.holders)
        for node in sorted(self.completions.missing):
            self._hooks.event(PeerLost(node, "no stream to it stands"))
        self._changed()

    def _changed(self) -> None:
        """Who is required, or what stands, has changed."""
        self._drain()
        self._fsyncs.changed()
        self._repairs.changed()
        self.rest()

    def freeze(self) -> None:
        """Takes no more changes; Frozen when all that was under way is applied."""
        self.completions.shut(Gate.FROZEN)
        self._frozen_told = False
        self.rest()

    def _tell_frozen(self) -> None:
        if self.frozen and not self._frozen_told:
            self._frozen_told = True
            self._hooks.event(Frozen())

    def thaw(self) -> None:
        """Takes changes again, those that waited first."""
        self.completions.open(Gate.FROZEN)
        self.rest()

    @property
    def frozen(self) -> bool:
        """Whether changes are taken."""
        return self.completions.is_shut(Gate.FROZEN)

    def connect(self, node: str, host: str, port: int) -> None:
        """Keeps a stream to ``node`` at this endpoint from now on; one to another endpoint of it is ended."""
        known = self._connectors.get(node)
        if known is not None:
            if known.endpoint == (host, port):
                return
            self._disconnect(node, "it is somewhere else now")
        connector = Connector(self._loop, node, host, port, self._make_peer, self._on_no_connection)
        self._connectors[node] = connector

    def forget(self, node: str) -> None:
        """Ends the stream to ``node`` and connects no more."""
        self._disconnect(node, "forgotten")

    def _disconnect(self, node: str, reason: str) -> None:
        connector = self._connectors.pop(node, None)
        peer = connector.stop() if connector is not None else None
        if peer is not None:
            peer.drop(reason)

    def close(self) -> None:
        """Ends all streams. What is under way never completes."""
        self.completions.fence()
        self._failed = self._closed = True
        self._timer.cancel()
        for node in list(self._connectors):
            self._disconnect(node, "closed")

    def outstanding(self) -> list[Event]:
        """What a new agent has to be told of the streams."""
        told: list[Event] = []
        for peer in self._peers:
            told.append(PeerConnected(peer.node, peer.instance))
            if peer.durable:
                told.append(PeerComplete(peer.node, peer.boot_id, peer.instance, self.epoch))
        told += [PeerLost(node, "no stream to it stands") for node in sorted(self.completions.missing)]
        if self.frozen and self._frozen_told:
            told.append(Frozen())
        return told

    def peers(self) -> dict[str, str]:
        """Node to what Status says of it."""
        states: dict[str, str] = {}
        for node, connector in self._connectors.items():
            peer = connector.peer
            states[node] = peer.state.value if peer is not None and peer.stands else "connecting"
        for node in self.completions.missing:
            states.setdefault(node, PeerState.LOST.value)
        return states

    def counters(self) -> dict[str, int]:
        """For Status; those of the connections are of the ones that stand."""
        counted = {
            "operations_completed": self._operations,
            "operations_under_way": self.completions.issued - self.completions.released,
            "fsyncs_under_way": self._fsyncs.under_way,
        }
        for peer in self._peers:
            counted["frames_unacknowledged"] = counted.get("frames_unacknowledged", 0) + peer.unacknowledged_frames
            for name, value in peer.counters().items():
                counted[name] = counted.get(name, 0) + value
        return counted

    # The peers' side (peer.PeerOwner)

    @property
    def standing(self) -> tuple[Peer, ...]:
        """The peers that are sent the operations."""
        return self._peers

    def join_point(self, peer: Peer) -> None:
        """At a quiet moment: ``peer`` has all that was before. Completions and fsyncs wait for it from here on (S2)."""
        peer.finish()
        self._joining = any(p.state is PeerState.JOINING for p in self._peers)
        self.completions.join_point(peer.node)
        self._hooks.note("peer.reached_join_point", node=peer.node)

    def _make_peer(self, sock: socket.socket, node: str) -> Peer:
        own = self._settings
        hello = messages.Hello(
            cluster_id=own.cluster_id,
            module_id=own.module_id,
            node=own.node,
            boot_id=own.boot_id,
            instance=own.instance,
            epoch=own.epoch,
            directories=len(self.volumes),
            limits=tuple(messages.VolumeLimits.of(volume.limits) for volume in self.volumes),
        )
        return Peer(self._loop, sock, node, hello, self.volumes, self, own.compression)

    def welcomed(self, peer: Peer) -> None:
        """See PeerOwner."""
        self._watches[peer] = _Watch()
        self.when_quiet(lambda: self._begin(peer))

    def _begin(self, peer: Peer) -> None:
        if peer.state is not PeerState.WELCOMED:
            return  # lost while it waited for the moment
        joiner = self._make_joiner(self, peer)
        self.completions.attach(peer.node)
        peer.begin(self.completions.issued, joiner)
        self._peers = (*self._peers, peer)
        self._joining = True
        self.space_changed(peer)
        self._hooks.note("peer.connected", node=peer.node, instance=peer.instance, missing=what_is_missing(peer).value)
        self._hooks.event(PeerConnected(peer.node, peer.instance))
        joiner.start()

    def refused(self, peer: Peer, reason: messages.Refusal, detail: str) -> None:
        """See PeerOwner."""
        self._on_no_connection(peer.node, f"refused: {reason.value}: {detail}")

    def acknowledged(self, peer: Peer, place: int) -> None:
        """See PeerOwner."""
        self.completions.acknowledged(peer.node, place)
        self._drain()

    def sent(self, peer: Peer, place: int) -> None:
        """See PeerOwner."""
        self.completions.sent(peer.node, place)
        self._drain()

    def made_durable(self, peer: Peer) -> None:
        """See PeerOwner."""
        self._hooks.note("peer.completed", node=peer.node)
        self._hooks.event(PeerComplete(peer.node, peer.boot_id, peer.instance, self.epoch))

    def space_changed(self, _peer: Peer) -> None:
        """See PeerOwner."""
        for index, volume in enumerate(self.volumes):
            if not self._peers:
                self._hooks.space(index, None, None)
                continue
            free = [peer.free[index] for peer in self._peers]
            limits = volume.limits
            for peer in self._peers:
                limits = limits.common(peer.limits[index])
            smallest = Free(bytes=min(f.bytes for f in free), inodes=min(f.inodes for f in free))
            self._hooks.space(index, smallest, limits)

    def lost(self, peer: Peer, former: PeerState, reason: str) -> None:
        """See PeerOwner."""
        self._watches.pop(peer, None)
        connector = self._connectors.get(peer.node)
        if connector is not None:
            connector.lost(peer)
        if peer not in self._peers:
            self._on_no_connection(peer.node, reason)
            return
        self._peers = tuple(p for p in self._peers if p is not peer)
        self._joining = any(p.state is PeerState.JOINING for p in self._peers)
        self.completions.lost(peer.node)
        if not self._closed:
            self._hooks.note("peer.lost", node=peer.node, state=former.value, reason=reason)
            self._hooks.event(PeerLost(peer.node, reason))
        self._repairs.lost(peer)
        self.space_changed(peer)
        self._changed()

    def _on_no_connection(self, node: str, why: str) -> None:
        connector = self._connectors.get(node)
        if connector is not None and connector.tell_once(why):
            self._hooks.note("peer.not_connected", node=node, reason=why)

    # Time

    def _tick(self) -> None:
        now = self._loop.time()
        late = now - self._next_tick > self._tick_s
        self._next_tick = now + self._tick_s
        self._timer = self._loop.call_at(self._next_tick, self._tick)
        timeout_s = self._settings.peer_timeout_ms / 1000
        for peer, watch in list(self._watches.items()):
            if now - peer.sent_at >= timeout_s / PINGS_PER_TIMEOUT:
                peer.ping()
            # Late: this process stood still, and what the peer has sent meanwhile is not read yet.
            if not late and watch.oldest_age_s(peer, now, self._tick_s) > timeout_s:
                peer.drop("slow: nothing was acknowledged for the peer timeout")


class _Watch:
    """When what is not acknowledged was sent, at the earliest."""

    __slots__ = ("_sent",)

    def __init__(self) -> None:
        self._sent: deque[tuple[float, int]] = deque()

    def oldest_age_s(self, peer: Peer, now: float, tick_s: float) -> float:
        """To be called each tick: how long ago the oldest unacknowledged frame can have been sent."""
        sent = self._sent
        while sent and sent[0][1] <= peer.acknowledged_sequence:
            sent.popleft()
        if peer.sequence > peer.acknowledged_sequence and (not sent or sent[-1][1] < peer.sequence):
            sent.append((now - tick_s, peer.sequence))
        return now + tick_s - sent[0][0] if sent else 0.0
