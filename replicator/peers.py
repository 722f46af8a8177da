"""The connections that a primary keeps: to whom, and that they are alive.

It connects, says hello, pings, and drops a peer that acknowledges nothing for the peer timeout (S2). What a
connection carries, and what follows from its loss, is the owner's matter.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from manager.pki.credentials import Credentials
from replicator.connecting import Connector
from replicator.disk.volume import Volume
from replicator.link import Connection
from replicator.peer import Peer, PeerOwner, PeerState
from replicator.refusals import Refusals, by_of
from replicator.wire import messages
from replicator.wire.frames import OLDEST_VERSION

TICKS_PER_TIMEOUT: Final = 20
"""How often in a peer timeout the connections are looked at: a slow peer is found between 95 and 100 % of it."""
PINGS_PER_TIMEOUT: Final = 5
FSYNC_TIMEOUTS: Final = 12
"""Peer timeouts that an fsync may take there: a disk may have much to write, and one that hangs never answers."""

Note = Callable[..., Any]
"""Of the runtime's log: an event's name, and its values by keyword."""


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
    credentials: Credentials | None = None
    """What it shows its peers; ``None``: it speaks to them in plain."""
    refusals: Refusals = field(default_factory=Refusals)
    """With whom it has no stream, for people."""
    store_id: str = ""
    """Of the etcd cluster in which the epoch was begun; empty: not known."""


class Peers:
    """The connections of one primary. All methods are for the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        volumes: Sequence[Volume],
        settings: PrimarySettings,
        owner: PeerOwner,
        note: Note,
    ) -> None:
        """Connects to nobody yet."""
        self._loop = loop
        self._volumes = volumes
        self._settings = settings
        self._owner = owner
        self._note = note
        self._connectors: dict[str, Connector] = {}
        self._watches: dict[Peer, _Watch] = {}
        self._timeout_s = settings.peer_timeout_ms / 1000
        self._tick_s = self._timeout_s / TICKS_PER_TIMEOUT
        self._next_tick = loop.time() + self._tick_s
        self._timer = loop.call_at(self._next_tick, self._tick)

    def connect(self, node: str, host: str, port: int) -> None:
        """Keeps a stream to ``node`` at this endpoint from now on; one to another endpoint of it is ended."""
        known = self._connectors.get(node)
        if known is not None:
            if known.endpoint == (host, port):
                return
            self._disconnect(node, "it is somewhere else now")
        self._connectors[node] = Connector(
            self._loop, node, host, port, self._make_peer, self._failed, self._settings.credentials
        )

    def forget(self, node: str) -> None:
        """Ends the stream to ``node`` and connects no more."""
        self._disconnect(node, "forgotten")

    def close(self) -> None:
        """Ends all."""
        self._timer.cancel()
        for node in list(self._connectors):
            self._disconnect(node, "closed")
            self._settings.refusals.clear(node=node)

    def states(self) -> dict[str, str]:
        """Node to ``connecting``, ``joining`` or ``complete`` (on its disks too)."""
        states = {}
        for node, connector in self._connectors.items():
            peer = connector.peer
            states[node] = _word(peer)
        return states

    def watch(self, peer: Peer) -> None:
        """It has welcomed us: pings it, and drops it when it is slow."""
        self._watches[peer] = _Watch()
        self._settings.refusals.clear(node=peer.node)

    def lost(self, peer: Peer) -> None:
        """That connection is gone; another is tried for, unless it was ended here."""
        self._watches.pop(peer, None)
        connector = self._connectors.get(peer.node)
        if connector is not None:
            connector.lost(peer)

    def not_connected(self, node: str, why: str) -> None:
        """A connection ended before its stream began: for people."""
        connector = self._connectors.get(node)
        if connector is not None:
            self._settings.refusals.note_words(node, _where(connector), why)
            self._tell(connector, why)

    def _failed(self, node: str, why: str, kind: str) -> None:
        """There is no connection to begin with."""
        connector = self._connectors.get(node)
        if connector is not None:
            self._settings.refusals.note(_where(connector), kind, why, by_of(kind), node)
            self._tell(connector, why)

    def _tell(self, connector: Connector, why: str) -> None:
        """For the log: each reason once in a row, not at each attempt."""
        if connector.tell_once(why):
            self._note("peer.not_connected", node=connector.node, reason=why)

    def _disconnect(self, node: str, reason: str) -> None:
        connector = self._connectors.pop(node, None)
        peer = connector.stop() if connector is not None else None
        if peer is not None:
            peer.drop(reason)

    def _make_peer(self, sock: Connection, node: str) -> Peer:
        own = self._settings
        hello = messages.Hello(
            cluster_id=own.cluster_id,
            module_id=own.module_id,
            node=own.node,
            boot_id=own.boot_id,
            instance=own.instance,
            epoch=own.epoch,
            directories=len(self._volumes),
            limits=tuple(volume.limits for volume in self._volumes),
            oldest_version=OLDEST_VERSION,
            store_id=own.store_id,
        )
        return Peer(self._loop, sock, node, hello, self._volumes, self._owner, own.compression)

    def _tick(self) -> None:
        now = self._loop.time()
        late = now - self._next_tick > self._tick_s
        self._next_tick = now + self._tick_s
        self._timer = self._loop.call_at(self._next_tick, self._tick)
        for connector in list(self._connectors.values()):
            greeted = connector.peer
            if greeted is not None and greeted.state is PeerState.GREETING and now - greeted.began_at > self._timeout_s:
                greeted.drop("it does not answer the greeting")
        for peer, watch in list(self._watches.items()):
            if now - peer.sent_at >= self._timeout_s / PINGS_PER_TIMEOUT:
                peer.ping()
            # Late: this process stood still, and what the peer has sent meanwhile is not read yet.
            # Nobody waits for one that joins, and a listing may keep it busy: it is enough that it gets on.
            age_s, stalled_s = watch.oldest_age_s(peer, now, self._tick_s), watch.stalled_s(peer, now)
            if peer.unacknowledged_frames:
                # One that died with nothing under way has missed a ping since, which was sent the later for it.
                age_s = max(age_s, now + self._tick_s - peer.heard_at)
            if not late and (age_s if peer.state is PeerState.COMPLETE else stalled_s) > self._timeout_s:
                peer.drop("slow: nothing was acknowledged for the peer timeout")
                continue
            fsync_sent_at = peer.fsync_sent_at
            if not late and fsync_sent_at is not None and now - fsync_sent_at > FSYNC_TIMEOUTS * self._timeout_s:
                peer.drop(f"slow: an fsync was not answered for {FSYNC_TIMEOUTS} peer timeouts")


def _where(connector: Connector) -> str:
    host, port = connector.endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _word(peer: Peer | None) -> str:
    if peer is None or not peer.stands:
        return "connecting"
    return "complete" if peer.durable else "joining"


class _Watch:
    """When what is not acknowledged was sent, at the earliest."""

    __slots__ = ("_acknowledged", "_moved_at", "_sent")

    def __init__(self) -> None:
        self._sent: deque[tuple[float, int]] = deque()
        self._acknowledged = -1
        self._moved_at = 0.0

    def stalled_s(self, peer: Peer, now: float) -> float:
        """To be called each tick: for how long nothing was acknowledged of what is to be."""
        if peer.acknowledged_sequence != self._acknowledged or peer.sequence == peer.acknowledged_sequence:
            self._acknowledged = peer.acknowledged_sequence
            self._moved_at = now
        return now - self._moved_at

    def oldest_age_s(self, peer: Peer, now: float, tick_s: float) -> float:
        """To be called each tick: how old the oldest unacknowledged frame may be when the next one comes."""
        sent = self._sent
        while sent and sent[0][1] <= peer.acknowledged_sequence:
            sent.popleft()
        if peer.sequence > peer.acknowledged_sequence and (not sent or sent[-1][1] < peer.sequence):
            sent.append((now - tick_s, peer.sequence))
        return now + tick_s - sent[0][0] if sent else 0.0
