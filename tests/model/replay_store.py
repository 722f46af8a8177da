"""The store of a replay: etcd as it is when a module was applied and started, and what is on its way there."""

from collections.abc import Iterable
from typing import Final

from agent.core import commands as k
from agent.core.events import Tag
from manager.model.codec import decode, encode
from manager.model.records import ClusterIdentity, DesiredRecord, InsyncRecord, ModuleConfigRecord, RequestRecord
from manager.model.states import Run
from manager.store.api import Delete, LeaseExpired, Put, Txn
from tests.model.replay_agent import CLUSTER, KEYS
from tests.model.replay_compare import holds
from tests.model.replay_words import Stricter, record_in
from tests.simulation.etcd import SimulatedEtcd

PATIENCE_S: Final = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""A core has waits of its own; in the model a node acts at any time."""


class ReplayStore:
    """Of one replay."""

    def __init__(self, nodes: Iterable[str]) -> None:
        self.etcd = SimulatedEtcd()
        self._put(CLUSTER.identity, encode(ClusterIdentity("cluster", "")))
        self._put(KEYS.config, encode(ModuleConfigRecord("module", 1, "", {}, "", "")))
        for node in nodes:
            self._put(KEYS.desired(node), encode(DesiredRecord(Run.STARTED)))
        self.late: list[tuple[str, str, Txn]] = []
        """Node, kind, and the transaction that is on its way."""

    def _put(self, key: str, value: str) -> None:
        self.etcd.commit_now(Txn(then=(Put(key, value),)))

    def delete(self, key: str) -> None:
        """Nothing happens where it is not there."""
        self.etcd.commit_now(Txn(then=(Delete(key),)))

    def request(self, action: str, node: str) -> None:
        """An operator's."""
        request_id = f"r{self.etcd.revision:06}"
        self._put(KEYS.request(request_id), encode(RequestRecord(request_id, action, node, "", "")))

    def still_late(self, under_way: set[tuple[str, str]]) -> None:
        """Of what is on its way only that is left; by node and kind."""
        self.late = [late for late in self.late if late[:2] in under_way]

    def take_late(self, node: str, kind: str) -> Txn:
        """It has arrived."""
        at = next(i for i, late in enumerate(self.late) if late[:2] == (node, kind))
        return self.late.pop(at)[2]

    @property
    def is_any_late_by_this_record(self) -> bool:
        """Something is on its way that was made by the record as it stands."""
        guards = [guard for _, _, txn in self.late for guard in txn.guards if guard.key == KEYS.insync]
        return any(holds(self.etcd, guard) for guard in guards)

    def executes(self, txn: Txn) -> bool:
        """Whether its guards hold; then it is done.

        Raises:
            Stricter: the key would hang on nothing.
        """
        try:
            return self.etcd.commit_now(txn).succeeded
        except LeaseExpired:
            raise Stricter("the key would hang on a lease that has ended") from None

    def would_take(self, commit: k.Commit) -> bool:
        """Its guards hold now."""
        return all(holds(self.etcd, guard) for guard in commit.txn.guards)

    def would_change(self, commit: k.Commit) -> bool:
        """It would be taken, and is a promotion, or lists others than now."""
        if not self.would_take(commit):
            return False
        now = self.etcd.get_now(KEYS.insync)
        return (
            commit.tag is not Tag.RECORD
            or now is None
            or decode(InsyncRecord, now.value).nodes != record_in(commit).nodes
        )
