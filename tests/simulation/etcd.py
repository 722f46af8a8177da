"""The store of a simulation: the fake etcd, and what may happen to the whole of it.

It decides what etcd decides. Gone or frozen it answers nobody; back, its leases have their whole time again (a new
leader gives it to them), or are over. Restored from a backup, or rebuilt, it is another store, with another id and an
older state, or none.
"""

from collections.abc import Callable

from manager.store.api import KeyValue
from manager.store.fake import NS_PER_S, FakeEtcd


class SimulatedEtcd(FakeEtcd):
    """A whole etcd cluster."""

    def __init__(self) -> None:
        """Up, empty."""
        super().__init__()
        self.up = True
        self.takes = False
        """It is frozen: what is sent to it waits in its sockets, and is executed when it is thawed."""
        self.store_id = "store1"
        self.restores = 0
        """How often it was restored: each breaks every watch."""
        self.gone_ns = 0
        """Since when it does not answer, or has not the last time."""
        self._waiting: list[Callable[[], object]] = []
        self._backup: tuple[dict[str, KeyValue], int] | None = None
        self.quiet_until_ns = 0
        """No lease ends before: renewing one, a new leader and a restore only make its end later."""
        self.meant = ""
        """While a transaction is executed: the id of the etcd by which it was made; empty: nobody has said."""

    @property
    def is_not_meant(self) -> bool:
        """What is executed just now was made by what another one had shown."""
        return self.meant not in ("", self.store_id)

    def next_event_ns(self) -> int | None:
        """When a lease ends; nothing happens while it is gone."""
        if not self.up or not self._leases:
            return None
        self.quiet_until_ns = min([lease.deadline_ns for lease in self._leases.values()])
        return self.quiet_until_ns

    def advance_to(self, now_ns: int) -> None:
        """Nothing ends before :meth:`next_event_ns`."""
        if now_ns >= self.quiet_until_ns:
            at_ns = self.next_event_ns()
            if at_ns is not None and at_ns <= now_ns:
                super().advance_to(now_ns)
                return
        if now_ns > self._now_ns:
            self._now_ns = now_ns

    def grant_now(self, ttl_s: int) -> int:
        """See :class:`FakeEtcd`."""
        lease_id = super().grant_now(ttl_s)
        self.quiet_until_ns = min(self.quiet_until_ns, self._leases[lease_id].deadline_ns)
        return lease_id

    def go(self, *, frozen: bool) -> None:
        """No member answers, or too few do."""
        if self.up:
            self.gone_ns = self._now_ns
        self.up, self.takes = False, frozen

    def wait(self, execute: Callable[[], object]) -> None:
        """A request that is in a frozen member's socket."""
        self._waiting.append(execute)

    def come_back(self, *, leases: bool) -> None:
        """It answers again; ``leases``: they have their whole time again, else all are over."""
        if self.up:
            return
        self.up = True
        for lease_id, lease in list(self._leases.items()):
            lease.deadline_ns = self._now_ns + lease.ttl_s * NS_PER_S
            if not leases:
                self.expire(lease_id)
        waiting, self._waiting = self._waiting, []
        for execute in waiting:
            execute()

    def back_up(self) -> None:
        """Take a backup of every key."""
        self._backup = (dict(self._kvs), self._revision)

    def restore(self) -> None:
        """As a new cluster with the backup's keys, revision and leases, which have their whole time.

        Raises:
            ValueError: there is no backup.
        """
        if self._backup is None:
            raise ValueError("there is no backup to restore")
        kvs, self._revision = self._backup
        for lease in self._leases.values():
            lease.keys.clear()
        self._kvs = {key: kv for key, kv in kvs.items() if not kv.lease or kv.lease in self._leases}
        for key, kv in self._kvs.items():
            if kv.lease:
                self._leases[kv.lease].keys.add(key)
        for lease in self._leases.values():
            lease.deadline_ns = self._now_ns + lease.ttl_s * NS_PER_S
        self._begin_anew()

    def rebuild(self) -> None:
        """As a new cluster, without a key."""
        self._kvs, self._revision = {}, 1
        self._leases.clear()
        self._begin_anew()

    @property
    def has_backup(self) -> bool:
        """Whether one was taken."""
        return self._backup is not None

    def _begin_anew(self) -> None:
        self._waiting.clear()
        self.restores += 1
        self.store_id = f"store{self.restores + 1}"
