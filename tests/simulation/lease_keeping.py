"""Keeps a simulated agent's one lease, and its registration, as the agent's lease keeper does (S5)."""

from typing import TYPE_CHECKING

from agent.core import events as e
from agent.core.lease import Sent, answers_again, deadline_ns, is_of_watched
from manager.model.codec import encode
from manager.model.keys import ClusterKeys
from manager.model.records import KnownNode, NodeRecord
from manager.store.api import LeaseExpired, Put, StorePoint, Txn
from tests.simulation.clockwork import MS_NS, SECOND_NS
from tests.simulation.storelink import Outcome, Renewed

if TYPE_CHECKING:
    from tests.simulation.agent import Agent

CLUSTER = ClusterKeys("sim")
MARGIN_NS = SECOND_NS
"""Taken off: what stopping takes, and clocks of other speed."""
RENEW_NS = 1_500 * MS_NS
_RETRY_MS = 100


class LeaseKeeping:
    """Grants, registers and renews while its agent lives."""

    def __init__(self, agent: "Agent") -> None:
        """Begins."""
        self._agent, self._ttl_s = agent, agent.node.ttl_s
        self.lease_id = 0
        self._registered = False
        self._deadline_ns = 0
        self._in_doubt = False
        self._attempt()

    def tell(self) -> None:
        """To a core that has just begun: what there is."""
        if self.lease_id and self._deadline_ns:
            self._agent.give(e.LeaseRenewed(self.lease_id, self._deadline_ns))

    def revoke(self) -> None:
        """End it, for the agent's clean end."""
        if self._agent.link.reaches and self.lease_id:
            self._agent.clock.etcd.expire(self.lease_id)
        self.lease_id = 0

    def _attempt(self) -> None:
        agent = self._agent
        etcd = agent.clock.etcd
        sent, began_ns = Sent(agent.node.clock.now_ns, agent.watch.point), agent.clock.now_ns
        if self._registered and self._in_doubt:
            agent.link.call(lambda: StorePoint(etcd.store_id, etcd.revision), lambda o: self._read(sent.watched, o))
        elif self.lease_id:
            self._in_doubt = True
            lease_id = self.lease_id
            agent.link.call(lambda: self._renew(lease_id), lambda o: self._renewed(lease_id, sent, began_ns, o))
        else:
            agent.link.call(lambda: etcd.grant_now(self._ttl_s), self._granted)

    def _read(self, watched: StorePoint, outcome: Outcome) -> None:
        if isinstance(outcome, StorePoint) and answers_again(watched, outcome):
            self._in_doubt = False
            self._attempt()
        else:
            self._failed()

    def _granted(self, outcome: Outcome) -> None:
        if isinstance(outcome, int):
            self.lease_id = outcome
            self._attempt()
        else:
            self._failed()

    def _renew(self, lease_id: int) -> Renewed | LeaseExpired:
        """Keep-alive, and this node's own key, in the store."""
        agent, etcd = self._agent, self._agent.clock.etcd
        name = agent.node.name
        try:
            ttl_s = etcd.keep_alive_now(lease_id)
            kv = etcd.get_now(CLUSTER.node(name))
            if self._registered and lease_id == self.lease_id and (kv is None or kv.lease != lease_id):
                return LeaseExpired("the node's own key is gone")
            if (kv is None or kv.lease != lease_id) and agent.alive:
                record = NodeRecord(name, (name,), "1", agent.node.kernel_boot_id, f"{name}{lease_id}", 0)
                known = KnownNode(name, (name,), agent.node.kernel_boot_id, "")
                puts = (Put(CLUSTER.node(name), encode(record), lease_id), Put(CLUSTER.known(name), encode(known)))
                etcd.commit_now(Txn(then=puts))
        except LeaseExpired as expired:
            return expired
        return Renewed(ttl_s, StorePoint(etcd.store_id, etcd.revision + 1))

    def _renewed(self, lease_id: int, sent: Sent, began_ns: int, outcome: Outcome) -> None:
        agent = self._agent
        if lease_id != self.lease_id:
            return
        if isinstance(outcome, LeaseExpired):
            self.lease_id, self._registered, self._deadline_ns = 0, False, 0
            agent.give(e.LeaseLost())
            self._again(_RETRY_MS)
        elif isinstance(outcome, Renewed) and is_of_watched(sent.watched, outcome.at):
            self._registered, self._in_doubt = True, False
            self._deadline_ns = max(self._deadline_ns, deadline_ns(sent.at_ns, outcome.ttl_s, MARGIN_NS))
            agent.watch.unrenewed = False
            agent.watch.judge()
            agent.give(e.LeaseRenewed(lease_id, self._deadline_ns))
            agent.keep_member()
            self._again((began_ns + RENEW_NS - agent.clock.now_ns) / MS_NS)
        else:
            self._failed()

    def _failed(self) -> None:
        self._agent.watch.unrenewed = True
        self._agent.watch.judge()
        self._again(_RETRY_MS)

    def _again(self, delay_ms: float) -> None:
        if self._agent.alive:
            self._agent.later(max(0.0, delay_ms), max(0.0, delay_ms), lambda a: a.lease._attempt())
