"""The primary: takes the operations of all its file systems, ships them, applies and completes them in order (S2, S4).

It is the :class:`replicator.core.issuing.Issuer` of one module, for one epoch. An operation goes to every peer whose
stream stands; what :class:`replicator.core.completions.Completions` releases is applied here, then completed. It
knows neither FUSE nor how a peer is brought in sync (``replicator.joining``), nor what the agent decides.

What is missing at a peer that joins is told by :func:`what_is_missing`: everything, until changes are tracked
(DESIGN.md section 5); there the tracking has its place, at :meth:`Primary.issue` and where operations are applied.
"""

import asyncio
import enum
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from manager.model.control import Event, Failed, Frozen, PeerComplete, PeerConnected, PeerLost, Settled
from manager.model.errors import MirrorfarmError
from replicator.core.completions import Completions, Gate
from replicator.core.issuing import Issuer
from replicator.core.operations import Fsync, Operation
from replicator.disk.limits import Limits
from replicator.disk.volume import DivergenceError, Free, Volume
from replicator.fsyncing import Fsyncing
from replicator.fuse.context import Background
from replicator.joining import JoinerFactory
from replicator.peer import Peer, PeerState
from replicator.peers import Note, Peers, PrimarySettings
from replicator.repair import Repairs, can_be_repaired

Done = Callable[[int], None]
Item = tuple[Operation, Done]


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
        self._node = settings.node
        self._hooks = hooks
        self._fence = fence
        self._make_joiner = make_joiner
        self._apply = tuple(volume.apply for volume in volumes)
        self._peers: tuple[Peer, ...] = ()
        """Those that stand."""
        self._welcomed: list[Peer] = []
        """Those whose stream has not begun yet."""
        self._wanted: set[str] = set()
        """Nodes to which the agent wants a stream that has not begun yet."""
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
        self.peers: Final = Peers(loop, self.volumes, settings, self, hooks.note)
        """Whom to have a stream to."""

    # The issuer

    def issue(self, operation: Operation, done: Done) -> None:
        """See Issuer."""
        completions = self.completions
        if completions.gated:
            completions.wait((operation, done))
            return
        if self._joining:
            if self._may_ship(operation, done):
                self._issue(operation, done)
            return
        completions.issue((operation, done))
        try:
            for peer in self._peers:
                peer.ship(operation)
        except (OSError, MirrorfarmError) as error:
            self.fail(f"an inode cannot be introduced to the peer: {error}")
        if completions.limit > completions.released:
            self._drain()

    def _issue(self, operation: Operation, done: Done) -> None:
        """As :meth:`issue` at an open gate; a joining peer's socket may tell at once that it has taken it."""
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
        self.completions.settled(command.number, [n for n in command.holders if n != self._node])
        self._hooks.note("record.settled", number=command.number, holders=command.holders)
        self._tell_missing()
        self._changed()
        self._begin_welcomed()

    def _tell_missing(self) -> None:
        """The agent knows of a loss only from us, and may have listed the node since."""
        standing = {peer.node for peer in self._peers}
        for node in sorted(self.completions.missing - standing):
            self._hooks.event(PeerLost(node, "no stream to it stands"))

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

    def close(self) -> None:
        """Ends all streams. What is under way never completes."""
        self.completions.fence()
        self._failed = self._closed = True
        self.peers.close()

    def outstanding(self) -> list[Event]:
        """What a new agent has to be told of the streams."""
        told: list[Event] = []
        for peer in self._peers:
            told += self._standing_of(peer)
        standing = {peer.node for peer in self._peers}
        told += [PeerLost(node, "no stream to it stands") for node in sorted(self.completions.missing - standing)]
        if self.frozen and self._frozen_told:
            told.append(Frozen())
        return told

    def connect(self, node: str, host: str, port: int) -> None:
        """Keeps a connection to ``node`` at this endpoint, and begins a stream on it, once; tells of one that stands.

        After its loss the next stream begins when the agent asks again: so no Settled that leaves the node out, from
        before the agent knew of the loss, can come when that stream is past its join point.
        """
        self._wanted.add(node)
        self.peers.connect(node, host, port)
        self._begin_welcomed()
        for peer in self._peers:
            if peer.node == node:
                for event in self._standing_of(peer):
                    self._hooks.event(event)

    def _standing_of(self, peer: Peer) -> list[Event]:
        told: list[Event] = [PeerConnected(peer.node, peer.instance)]
        if peer.durable:
            told.append(PeerComplete(peer.node, peer.boot_id, peer.instance, self.epoch))
        return told

    def states(self) -> dict[str, str]:
        """Node to what Status says of it."""
        return dict.fromkeys(self.completions.missing, PeerState.LOST.value) | self.peers.states()

    def counters(self) -> dict[str, int]:
        """For Status; those of the connections are of the ones that stand."""
        counted = {
            "operations_completed": self._operations,
            "operations_under_way": self.completions.issued - self.completions.released,
            "fsyncs_under_way": self._fsyncs.under_way,
            "repairs": self._repairs.count,
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

    def welcomed(self, peer: Peer) -> None:
        """See PeerOwner."""
        self.peers.watch(peer)
        self._welcomed.append(peer)
        self._begin_welcomed()

    def _begin_welcomed(self) -> None:
        """A node that the record still lists may be all that is left: its copy is not touched before it is out (S2)."""
        if not self.completions.known:
            return
        may_begin = self._wanted - self.completions.required
        ready = [peer for peer in self._welcomed if peer.node in may_begin]
        self._welcomed = [peer for peer in self._welcomed if peer.node not in may_begin]
        for peer in ready:
            self.when_quiet(partial(self._begin, peer))

    def _begin(self, peer: Peer) -> None:
        if peer.state is not PeerState.WELCOMED:
            return  # lost while it waited for the moment
        joiner = self._make_joiner(self, peer)
        self._wanted.discard(peer.node)
        self.completions.attach(peer.node)
        peer.begin(self.completions.issued, joiner)
        self._peers = (*self._peers, peer)
        self._joining = True
        self.space_changed(peer)
        self._hooks.note("peer.connected", node=peer.node, instance=peer.instance, missing=what_is_missing(peer).value)
        self._hooks.event(PeerConnected(peer.node, peer.instance))
        joiner.start()

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
        self.peers.lost(peer)
        if peer in self._welcomed:
            self._welcomed.remove(peer)
        if peer not in self._peers:
            self.peers.not_connected(peer.node, reason)
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
