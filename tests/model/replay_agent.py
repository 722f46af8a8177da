"""One node of a replay: the shipped agent core, with hands that do at once what it asks for.

It is told of facts when the model's node acts on them. A transaction that it offers is left open for the replay to
look at: :meth:`Agent.settle`, :meth:`Agent.unknown` and :meth:`Agent.fail` answer it.
"""

import copy
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Self

from agent.core import commands as k
from agent.core import events as e
from agent.core.mirror import Rule, initial, step_by
from agent.core.settings import SECOND_NS, Settings
from agent.core.state import Link, MirrorState, Rep
from agent.core.view import decode_view
from manager.model import control as c
from manager.model.codec import decode, encode
from manager.model.keys import ClusterKeys
from manager.model.records import DiskIdentity, MemberRecord, NodeRecord, RequestRecord
from manager.store.api import Delete, LeaseExpired, Put, Txn
from manager.store.fake import FakeEtcd

CLUSTER: Final = ClusterKeys("model")
KEYS: Final = CLUSTER.module("m")
NODES: Final = ("a", "b")
_PATIENT_S: Final = 40.0
"""Longer than all that a core waits for by itself before it stands, or withdraws an offer."""
FAR_NS: Final = 1_000_000 * SECOND_NS
"""Time is not what is replayed: leases last until a step ends them."""


class Clock:
    """CLOCK_BOOTTIME."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * SECOND_NS

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now_ns += round(seconds * SECOND_NS)


def settings_of(node: str, boot: int, nodes: tuple[str, ...] = NODES) -> Settings:
    """Of one node's agent, since its ``boot``-th start, from 1."""
    return Settings(CLUSTER, "m", node, nodes, f"{node}-boot-{boot}", "cluster", "module", f"host-{node}")


class Agent:
    """The agent of one node, from its start to its end."""

    def __init__(
        self,
        etcd: FakeEtcd,
        settings: Settings,
        clock: Clock,
        process: int,
        disk: DiskIdentity | None,
        rules: tuple[Rule, ...],
    ) -> None:
        """``process`` counts from 1; ``disk`` is what the disk vouches for."""
        self.etcd, self.node, self.boot_id, self.disk = etcd, settings.node, settings.boot_id, disk
        self.clock = clock
        self.state: MirrorState = initial(settings)
        self.instance = f"{self.node}{process}"
        self.rules = rules
        self.commit: k.Commit | None = None
        self.lease = 0
        self.facts: list[c.Event] = []
        """What its replicator has said, and it has not been told yet."""
        self.killed = False
        self.proves = False
        """Whether the other node answers its questions for promises."""
        self.settled: list[c.Settled] = []
        """What its replicator was told of the record, and has not looked at."""
        self._lost_lease = False
        self._is_shadow = False
        self._told_to_follow: c.Follow | None = None
        self._seen = 0
        """The revision of what it saw last."""
        self.register()

    @property
    def now_ns(self) -> int:
        """By its clock."""
        return self.clock.now_ns

    @property
    def other(self) -> str:
        """The other node."""
        return NODES[1 - NODES.index(self.node)]

    def register(self) -> None:
        """A lease of its own, and its registration."""
        self.lease = self.etcd.grant_now(1_000_000)
        self.write_registration()

    def write_registration(self) -> None:
        """On the lease that it has."""
        record = NodeRecord(self.node, (), "1", self.boot_id, "", 1)
        self.etcd.commit_now(Txn(then=(Put(CLUSTER.node(self.node), encode(record), self.lease),)))

    def reach(self) -> None:
        """It reaches etcd, where its lease may have ended: it has another one then, of which its core is told later."""
        if not self.has_lease:
            self._lost_lease = True
            self.register()

    @property
    def has_lease(self) -> bool:
        """Its lease has not ended."""
        return self.lease in self.etcd.leases

    # What it is told

    def learn(self, *, seconds: float = 0.0, of_store: bool = True) -> None:
        """Time passes; then all that its replicator has said, and the store as it stands."""
        self.clock.wait(seconds)
        for fact in self.facts:
            self.give(e.ReplicatorSaid(fact))
        self.facts.clear()
        if of_store:
            self.reach()
            if self._lost_lease:
                self._lost_lease = False
                self.give(e.LeaseLost())
            self.see()
            self.give(e.LeaseRenewed(self.lease, self.now_ns + FAR_NS))
        self.give(e.Tick())

    def wait(self, seconds: float) -> None:
        """Time passes, and nothing else."""
        self.clock.wait(seconds)
        self.give(e.Tick())

    def see(self) -> None:
        """The watch shows the store as it stands, which answers."""
        seen, self._seen = self._seen, self.etcd.revision
        self.give(self._sight(seen))
        self.give(e.StoreHeard())

    def _sight(self, seen: int) -> e.Event:
        """What the watch of one tells that has seen the store at this revision."""
        kvs = self.etcd.range_now(CLUSTER.prefix)
        view = decode_view(CLUSTER, "m", kvs.kvs, kvs.revision, kvs.store_id)
        return e.StoreWentBack(view) if kvs.revision < seen else e.Observed(view)

    def shadow(self) -> Self:
        """Another one that knows the same, and changes nothing: what it would do."""
        other = copy.copy(self)
        other._is_shadow, other.facts, other.settled = True, list(self.facts), []
        other.clock = Clock()
        other.clock.now_ns = self.now_ns
        return other

    def prospects(self) -> Iterator[Self]:
        """Shadows that have heard all that there is to hear and offer something: at once, and once they have waited."""
        knowing = self.shadow()
        for seconds in (0.0, _PATIENT_S):
            knowing.learn(seconds=seconds)
            if knowing.commit is not None:
                yield knowing
                knowing.fail()

    def give(self, event: e.Event) -> None:
        """One event; and what follows from it, as far as this node's own hands reach."""
        queue: deque[e.Event] = deque([event])
        while queue:
            self.state, commands = step_by(self.rules, self.state, queue.popleft(), self.now_ns)
            for command in commands:
                answer = self._do(command)
                if answer is not None:
                    queue.append(answer)

    # Its answers

    def settle(self) -> bool:
        """The open transaction is executed and answered; whether its guards held."""
        commit = self._taken()
        result = self.etcd.commit_now(commit.txn)
        self.give(e.TxnSettled(commit.tag, result.succeeded, result.revision, result.found, result.store_id))
        return result.succeeded

    def unknown(self) -> Txn:
        """No answer comes; the transaction, which may be executed at any time."""
        commit = self._taken()
        self.give(e.TxnUnknown(commit.tag))
        return commit.txn

    def fail(self) -> None:
        """It was not executed and never will be."""
        if self.commit is not None:
            self.give(e.TxnFailed(self._taken().tag, "not in this replay"))

    def _taken(self) -> k.Commit:
        assert self.commit is not None, "no transaction is under way"
        commit, self.commit = self.commit, None
        return commit

    # Its hands

    def _do(self, command: k.Command) -> e.Event | None:
        match command:
            case k.Commit():
                assert self.commit is None, "two transactions at once"
                self.commit = command
            case k.PublishMember(record):
                self._publish(record)
            case k.Tell(told):
                return self._tell(told)
            case k.AnswerRequest():
                self._answer(command)
            case k.KillEverything():
                self.killed = True
                self.facts.clear()
                return self._ended(e.Killed())
            case k.StopReplicator():
                return self._ended(e.ReplicatorStopped())
            case k.StartReplicator():
                return e.ReplicatorSaid(c.Hello(1, self.instance, 7, "idle", 0, self.disk))
            case _:
                return _ANSWERS.get(type(command))
        return None

    def _ended(self, event: e.Event) -> e.Event:
        """The replicator's process is gone; the next one is another."""
        self.instance += "'"
        return event

    def _tell(self, told: c.Command) -> e.Event | None:
        match told:
            case c.Serve(epoch):
                self.disk = _noted(told)
                return e.ReplicatorSaid(c.Serving(epoch))
            case c.Follow():
                self._told_to_follow = told
            case c.Settled():
                self.settled.append(told)
            case c.CloseStream():
                return e.ReplicatorSaid(c.StreamClosed(self.state.follow_epoch, joining=False, identity=None))
            case c.Freeze():
                return e.ReplicatorSaid(c.Frozen())
            case c.AskPromises(asked_ns) if self.proves:
                peer = self.state.peers.get(self.other)
                instance = "" if peer is None else peer.instance
                promised = c.Promised(self.other, instance, self.state.epoch, asked_ns, 8_000)
                return e.ReplicatorSaid(promised)
        return None

    def _answer(self, answer: k.AnswerRequest) -> None:
        key = KEYS.request(answer.request_id)
        kv = self.etcd.get_now(key)
        if kv is None or self._is_shadow:
            return
        record = replace(decode(RequestRecord, kv.value), status=answer.status)
        self.etcd.commit_now(Txn(then=(Put(key, encode(record)),)))

    def _publish(self, record: MemberRecord | None) -> None:
        if self._is_shadow:
            return
        key = KEYS.member(self.node)
        change = Delete(key) if record is None else Put(key, encode(record), self.lease)
        try:
            self.etcd.commit_now(Txn(then=(change,)))
        except LeaseExpired:
            return  # It is written again with the next lease.

    # The streams

    @property
    def follows(self) -> int:
        """The epoch whose stream it takes; 0: none."""
        return self.state.follow_epoch if self.state.rep is Rep.FOLLOWING else 0

    def was_told_of_peer(self) -> bool:
        """Its replicator is to connect to the other node's."""
        peer = self.state.peers.get(self.other)
        return peer is not None and peer.link is not Link.LOST

    def takes_stream(self) -> None:
        """The primary's stream stands."""
        assert self._told_to_follow is not None
        self.disk = _noted(self._told_to_follow)
        self.give(e.ReplicatorSaid(c.Following(self.state.follow_primary, self.follows)))

    def comes_through(self) -> None:
        """That stream's join is through."""
        assert self.disk is not None
        self.disk = replace(self.disk, whole_epoch=self.disk.epoch)
        self.facts.append(c.Joined(self.disk.epoch, self.disk))


def _noted(told: c.Serve | c.Follow) -> DiskIdentity:
    return DiskIdentity("cluster", "module", told.epoch, told.revision, told.store_id)


_ANSWERS: Final[dict[type, e.Event]] = {
    k.Prepare: e.Prepared(),
    k.Finish: e.Finished(),
    k.StartApplication: e.ApplicationStarted(),
    k.AdoptApplication: e.ApplicationStarted(),
    k.StopApplication: e.ApplicationStopped(),
    k.AddAddresses: e.AddressesAdded(),
    k.DropAddresses: e.AddressesDropped(),
}
