"""One agent's way to the store: every request may be late, lost, answered in vain, or executed long after."""

from collections.abc import Callable
from dataclasses import replace

from agent.core.commands import Commit
from agent.core.events import Event, StoreHeard, StoreSilent, TxnFailed, TxnSettled, TxnUnknown
from manager.model.codec import encode
from manager.model.keys import ModuleKeys
from manager.store.api import Changes, KeyValue, LeaseExpired, Put, StoreUnreachable, Txn, TxnResult
from tests.simulation.clockwork import MS_NS, SECOND_NS, Clockwork
from tests.simulation.network import STORE, Network

CALL_TIMEOUT_NS = SECOND_NS
Outcome = TxnResult | LeaseExpired | StoreUnreachable | None
"""``None``: unknown."""


class StoreLink:
    """Requests out, answers in, and a watch."""

    def __init__(self, clock: Clockwork, network: Network, node: str, faults: float) -> None:
        """``faults``: the share of requests that something happens to."""
        self._clock, self._network, self._node, self._faults = clock, network, node, faults
        self.open = True

    def calm(self) -> None:
        """Nothing happens to requests from now on."""
        self._faults = 0

    @property
    def reaches(self) -> bool:
        """Whether the store can be reached now."""
        return self._network.reaches(self._node, STORE)

    def ask(self, txn: Txn, answer: Callable[[Outcome], None]) -> None:
        """Commit ``txn``; one answer comes, within the call's timeout."""
        clock = self._clock
        if not self.reaches:
            self._reply(CALL_TIMEOUT_NS, StoreUnreachable("no endpoint") if clock.chance(0.5) else None, answer)
        elif clock.chance(self._faults):
            self._trouble(txn, answer)
        else:
            clock.after(clock.between(0.5, 8), lambda: self._execute_and_reply(txn, answer))

    def _trouble(self, txn: Txn, answer: Callable[[Outcome], None]) -> None:
        clock = self._clock
        kind = clock.random.choice(["request lost", "reply lost", "delayed", "slow"])
        if kind == "reply lost":
            clock.after(clock.between(0.5, 8), lambda: self._execute_only(txn))
        elif kind == "delayed":
            clock.after(clock.between(500, 25_000), lambda: self._execute_only(txn))
        elif kind == "slow":
            clock.after(clock.between(100, 900), lambda: self._execute_and_reply(txn, answer))
            return
        self._reply(CALL_TIMEOUT_NS, None, answer)

    def _execute_only(self, txn: Txn) -> None:
        self._execute(txn)

    def _execute(self, txn: Txn) -> Outcome:
        try:
            return self._clock.etcd.commit_now(txn)
        except LeaseExpired as expired:
            return expired

    def _execute_and_reply(self, txn: Txn, answer: Callable[[Outcome], None]) -> None:
        outcome = self._execute(txn)
        if self.reaches:
            self._reply(self._clock.between(0.5, 5), outcome, answer)
        else:
            self._reply(CALL_TIMEOUT_NS, None, answer)

    def _reply(self, delay_ns: int, outcome: Outcome, answer: Callable[[Outcome], None]) -> None:
        def come() -> None:
            if self.open:
                answer(outcome)

        self._clock.after(delay_ns, come)


def commit(link: StoreLink, command: Commit, keys: ModuleKeys, give: Callable[[Event], None]) -> None:
    """Carry out the core's Commit, as the agent's runtime does."""
    txn = command.txn
    if command.history is not None:
        record = replace(command.history, at="2026-01-01T00:00:00Z")
        txn = replace(txn, then=(*txn.then, Put(keys.history(record.epoch), encode(record))))

    def answer(outcome: Outcome) -> None:
        match outcome:
            case TxnResult(succeeded, revision, found):
                give(TxnSettled(command.tag, succeeded, revision, found))
            case None:
                give(TxnUnknown(command.tag))
            case failure:
                give(TxnFailed(command.tag, str(failure)))

    link.ask(txn, answer)


class Watch:
    """Follows every key: all changes of one revision at once, in order, late; a snapshot after a break."""

    def __init__(
        self, clock: Clockwork, link: StoreLink, show: Callable[[dict[str, KeyValue], int], None],
        give: Callable[[Event], None],
    ) -> None:  # fmt: skip
        """``show``: is given all keys as they stood at a revision."""
        self._clock, self._link, self._show, self._give = clock, link, show, give
        self.kvs: dict[str, KeyValue] = {}
        self.revision = 0
        self._not_before_ns = 0
        self._silent = True
        self._end = clock.etcd.subscribe(self._changed)
        self._look()

    def close(self) -> None:
        """No more."""
        self._end()

    def _look(self) -> None:
        """Each half second: whether the stream is up, and a new snapshot when it was not."""
        if not self._link.open:
            return
        if not self._link.reaches:
            if not self._silent:
                self._silent = True
                self._give(StoreSilent())
        elif self._silent:
            self._silent = False
            snapshot = self._clock.etcd.range_now("/")
            self._not_before_ns = 0
            self._later(lambda: self._snapshot(dict(snapshot.kvs), snapshot.revision))
        self._clock.after(500 * MS_NS, self._look)

    def _later(self, action: Callable[[], None]) -> None:
        at_ns = max(self._not_before_ns, self._clock.now_ns + self._clock.between(0.5, 20))
        self._not_before_ns = at_ns

        def come() -> None:
            if self._link.open:
                action()

        self._clock.after(at_ns - self._clock.now_ns, come)

    def _snapshot(self, kvs: dict[str, KeyValue], revision: int) -> None:
        if revision >= self.revision:
            self.kvs, self.revision = kvs, revision
            self._give(StoreHeard())
            self._show(self.kvs, revision)

    def _changed(self, changes: Changes) -> None:
        if not self._silent:
            self._later(lambda: self._take(changes))

    def _take(self, changes: Changes) -> None:
        if self._silent or changes.revision <= self.revision:
            return
        if not self._link.reaches:
            self._silent = True  # What is missed now comes with the next snapshot.
            self._give(StoreSilent())
            return
        for event in changes.events:
            if event.kv is None:
                self.kvs.pop(event.key, None)
            else:
                self.kvs[event.key] = event.kv
        self.revision = changes.revision
        self._show(self.kvs, changes.revision)
