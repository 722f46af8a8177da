"""The primary's streams: when one begins, when its peer is complete, when it is lost, and what the agent is told.

Each node goes from *wanted* (the agent asked) by *welcomed* (its replicator takes the stream) to *joining* and
*complete*, or is lost. The order of operations is ``replicator.primary``'s matter, connections ``replicator.peers``'s.

A peer whose copy went on by itself first sets aside what differs (``replicator.setting_aside``): its stream begins
after that. What a peer that joins lacks is told by the keeper of the dirty list (``replicator.dirty_keeper``). Its
join point is the first barrier (``replicator.barriers``): it is told as complete when both disks have everything up
to there.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from manager.model.control import Event, PeerComplete, PeerConnected, PeerLost, Promised
from replicator.barriers import BarrierOrder, Barriers
from replicator.core.bases import BASE_BYTES
from replicator.core.dirty import Dirty
from replicator.core.filesystem import Free, Limits
from replicator.dirty_keeper import DirtyKeeper
from replicator.fuse.context import Background
from replicator.joining import Joining
from replicator.order import Order
from replicator.peer import Peer, PeerOwner, PeerState
from replicator.peers import Note, Peers, PrimarySettings

JoinerFactory = Callable[[Peer, Dirty], Joining]
SetAside = Callable[[Peer, Callable[[], None]], None]
"""Has a peer set aside what differs, and calls the other when that is on its disks; nothing when it is lost before."""
_NO_STREAM: Final = "no stream to it stands"


@dataclass(frozen=True, slots=True)
class Hooks:
    """Whom a primary tells."""

    event: Callable[[Event], None]
    """The agent."""
    space: Callable[[int, Free | None, Limits | None], None]
    """The file system of this volume: what all peers together have free and can do."""
    note: Note
    """The log; not used on the data path."""
    disk_lost: Callable[[str], None]
    """The process: what this node's disk lost, perhaps when this primary is none any more."""


class StreamedOrder(Order, BarrierOrder, Protocol):
    """The primary, as far as this is concerned."""

    @property
    def keeper(self) -> DirtyKeeper:
        """Of the list of what the peer may lack."""
        ...

    def stand(self, peers: tuple[Peer, ...]) -> None:
        """These are sent the operations from now on; some may have become complete."""
        ...

    def changed(self, lost: Peer | None = None) -> None:
        """Who is required, or what stands, has changed; perhaps since ``lost`` is."""
        ...

    def drain(self) -> None:
        """Applies and completes what is released."""
        ...


class Streams(PeerOwner):
    """The streams of one primary. All methods are for the loop's thread."""

    def __init__(
        self,
        primary: StreamedOrder,
        loop: asyncio.AbstractEventLoop,
        settings: PrimarySettings,
        hooks: Hooks,
        make_joiner: JoinerFactory,
        set_aside: SetAside,
        background: Background,
    ) -> None:
        """Connects to nobody yet."""
        self._primary = primary
        self._completions = primary.completions
        self._drain = primary.drain
        self._epoch = settings.epoch
        self._hooks = hooks
        self._make_joiner = make_joiner
        self._set_aside = set_aside
        self._wanted: set[str] = set()
        """Nodes to which the agent wants a stream that has not begun yet."""
        self._welcomed: list[Peer] = []
        """Those whose stream has not begun yet."""
        self._closed = False
        self._keeper = primary.keeper
        keeper = primary.keeper
        self.barriers: Final = Barriers(
            loop, primary, keeper.tracker, background, keeper.note_barrier, hooks.note, hooks.disk_lost
        )
        self._peers = Peers(loop, primary.volumes, settings, self, hooks.note)

    # The agent's side

    def connect(self, node: str, host: str, port: int) -> None:
        """Keeps a connection to ``node`` at this endpoint, and begins a stream on it, once; tells of one that stands.

        After its loss the next stream begins when the agent asks again: so no Settled that leaves the node out, from
        before the agent knew of the loss, can come when that stream is past its join point.
        """
        self._peers.connect(node, host, port)
        for peer in self._primary.standing:
            if peer.node == node:
                for event in self._standing_of(peer):
                    self._hooks.event(event)
                return
        self._wanted.add(node)
        self.begin_welcomed()

    def forget(self, node: str) -> None:
        """Ends the stream to ``node`` and connects no more."""
        self._wanted.discard(node)
        self._peers.forget(node)

    def ask_promises(self, asked_ns: int) -> None:
        """Asks every peer past its join point not to stand (S5). No log, no task: it comes several times in a TTL."""
        for peer in self._primary.standing:
            if peer.state is PeerState.COMPLETE:
                peer.ask_promise(asked_ns)

    def close(self) -> None:
        """Ends all, and tells nobody."""
        self._closed = True
        self._peers.close()

    def tell_missing(self) -> None:
        """Tells of nodes that a record lists and that have no stream: it may have listed them after the loss."""
        for node in self._missing():
            self._hooks.event(PeerLost(node, _NO_STREAM))

    def outstanding(self) -> list[Event]:
        """What a new agent has to be told of the streams."""
        told = [event for peer in self._primary.standing for event in self._standing_of(peer)]
        return told + [PeerLost(node, _NO_STREAM) for node in self._missing()]

    def states(self) -> dict[str, str]:
        """Node to what Status says of it."""
        return dict.fromkeys(self._completions.missing, PeerState.LOST.value) | self._peers.states()

    def counters(self) -> dict[str, int]:
        """Of the connections of the streams that stand, together."""
        counted: dict[str, int] = {}
        for peer in self._primary.standing:
            for name, value in peer.counters().items():
                counted[name] = counted.get(name, 0) + value
        return counted

    def _missing(self) -> list[str]:
        return sorted(self._completions.missing - {peer.node for peer in self._primary.standing})

    def _standing_of(self, peer: Peer) -> list[Event]:
        told: list[Event] = [PeerConnected(peer.node, peer.instance)]
        if peer.durable:
            told.append(PeerComplete(peer.node, peer.boot_id, peer.instance, self._epoch))
        return told

    # Beginning, completing, losing

    def begin_welcomed(self) -> None:
        """Begins the streams that may begin, each at the next quiet moment.

        A node that the record still lists may be all that is left: its copy is not touched before it is out (S2).
        """
        if not self._completions.known:
            return
        may_begin = self._wanted - self._completions.required
        ready = [peer for peer in self._welcomed if peer.node in may_begin]
        self._welcomed = [peer for peer in self._welcomed if peer.node not in may_begin]
        for peer in ready:
            if peer.diverged:
                self._hooks.note("peer.diverged", node=peer.node, instance=peer.instance)
                self._set_aside(peer, partial(self._is_set_aside, peer))
            else:
                self._primary.when_quiet(partial(self._begin, peer))

    def _is_set_aside(self, peer: Peer) -> None:
        """What is its own is kept: its copy may be changed."""
        if peer.state is not PeerState.WELCOMED:
            return
        peer.diverged = False
        peer.bases = ()  # what it has done alone is on no list of this node
        self._hooks.note("peer.set_aside", node=peer.node)
        self._welcomed.append(peer)
        self.begin_welcomed()

    def _begin(self, peer: Peer) -> Iterator[None] | None:
        if peer.state is not PeerState.WELCOMED:
            return None  # lost while it waited for the moment
        if peer.node in self._completions.required:
            self._welcomed.append(peer)
            return None
        self._wanted.discard(peer.node)
        self._completions.attach(peer.node)
        missing = self._keeper.missing(peer.bases)
        joiner = self._make_joiner(peer, missing)
        peer.begin(self._completions.issued, joiner)
        self._primary.stand((*self._primary.standing, peer))
        self.space_changed(peer)
        lacks = "everything" if missing.everything else "what is tracked"
        self._hooks.note("peer.connected", node=peer.node, instance=peer.instance, lacks=lacks)
        self._hooks.event(PeerConnected(peer.node, peer.instance))
        return iter(joiner.start())

    def join_point(self, peer: Peer) -> None:
        """At a quiet moment: ``peer`` has all that was before. Completions and fsyncs wait for it from here on (S2)."""
        base = secrets.token_hex(BASE_BYTES)
        sequence = peer.finish(base)
        self._keeper.join_point(base)
        self._completions.join_point(peer.node)
        self._primary.stand(self._primary.standing)
        self._hooks.note("peer.joined", node=peer.node)
        self.barriers.join(peer, sequence, partial(self._keeper.note_base, base, partial(self._joined, peer)))

    def _joined(self, peer: Peer) -> None:
        """Everything up to the join point is on both disks."""
        if peer.state is not PeerState.COMPLETE:
            return  # lost meanwhile
        self._keeper.joined()
        peer.durable = True
        self._hooks.note("peer.completed", node=peer.node)
        self._hooks.event(PeerComplete(peer.node, peer.boot_id, peer.instance, self._epoch))

    def settled(self) -> None:
        """A record is settled."""
        if any(peer.durable and peer.node in self._completions.holders for peer in self._primary.standing):
            self._keeper.listed()

    def lost(self, peer: Peer, former: PeerState, reason: str) -> None:
        """See PeerOwner."""
        self._peers.lost(peer)
        if peer in self._welcomed:
            self._welcomed.remove(peer)
        if peer not in self._primary.standing:
            self._peers.not_connected(peer.node, reason)
            return
        self.barriers.lost(peer)
        self._keeper.lost()
        self._primary.stand(tuple(p for p in self._primary.standing if p is not peer))
        self._completions.lost(peer.node)
        if not self._closed:
            self._hooks.note("peer.lost", node=peer.node, state=former.value, reason=reason)
            self._hooks.event(PeerLost(peer.node, reason))
        self.space_changed(peer)
        self._primary.changed(peer)

    # What peers say

    def welcomed(self, peer: Peer) -> None:
        """See PeerOwner."""
        self._peers.watch(peer)
        self._welcomed.append(peer)
        self.begin_welcomed()

    def acknowledged(self, peer: Peer, place: int) -> None:
        """See PeerOwner."""
        self._completions.acknowledged(peer.node, place)
        self._drain()

    def sent(self, peer: Peer, place: int) -> None:
        """See PeerOwner."""
        self._completions.sent(peer.node, place)
        self._drain()

    def brought_to_disk(self, peer: Peer, sequence: int) -> None:
        """See PeerOwner."""
        self.barriers.answered(peer, sequence)

    def promised(self, peer: Peer, asked_ns: int, for_ms: int) -> None:
        """See PeerOwner."""
        self._hooks.event(Promised(peer.node, peer.instance, self._epoch, asked_ns, for_ms))

    def space_changed(self, _peer: Peer) -> None:
        """See PeerOwner."""
        standing = self._primary.standing
        for index, volume in enumerate(self._primary.volumes):
            if not standing:
                self._hooks.space(index, None, None)
                continue
            limits = volume.limits
            for peer in standing:
                limits = limits.common(peer.limits[index])
            free = [peer.free[index] for peer in standing]
            smallest = Free(bytes=min(f.bytes for f in free), inodes=min(f.inodes for f in free))
            self._hooks.space(index, smallest, limits)
