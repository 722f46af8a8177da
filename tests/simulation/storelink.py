"""One agent's way to the store: every request may be late, lost, answered in vain, or executed long after."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from agent.core.commands import Commit
from agent.core.events import Event, TxnFailed, TxnSettled, TxnUnknown
from manager.model.codec import encode
from manager.model.keys import ModuleKeys
from manager.store.api import (
    CreateRevisionIs,
    KeyAbsent,
    LeaseExpired,
    Put,
    StorePoint,
    StoreUnreachable,
    Txn,
    TxnResult,
)
from tests.simulation.clockwork import SECOND_NS, Actor, Clockwork
from tests.simulation.network import STORE, Network

CALL_TIMEOUT_NS = SECOND_NS


@dataclass(frozen=True, slots=True)
class Renewed:
    """A lease was renewed, and the node's own key with it."""

    ttl_s: int
    at: StorePoint
    """The etcd that answers, at the revision of a put of that key. (None is made where it changes nothing.)"""


Outcome = StorePoint | TxnResult | Renewed | LeaseExpired | StoreUnreachable | int | None
"""``None``: unknown; a number: a lease's id, or what it has left, in seconds."""
Execute = Callable[[], Outcome]
Answer = Callable[[Outcome], None]


class StoreLink:
    """Requests out, answers in."""

    def __init__(self, clock: Clockwork, network: Network, node: str, faults: float, actor: Actor) -> None:
        """``faults``: the share of requests that something happens to; ``actor``: who is answered."""
        self._clock, self._network, self._node, self._faults = clock, network, node, faults
        self._actor = actor
        self.open = True
        self.late_ns = 0
        """The next transaction is executed so late, and its answer is lost; 0: it is not."""

    def calm(self) -> None:
        """Nothing happens to requests from now on."""
        self._faults = 0

    @property
    def reaches(self) -> bool:
        """Whether the store can be reached now, and answers."""
        return self._clock.etcd.up and self._network.reaches(self._node, STORE)

    def ask(self, txn: Txn, answer: Answer, meant: str = "") -> None:
        """Commit ``txn``, made by what the etcd ``meant`` has shown; one answer comes, within the call's timeout."""
        execute = lambda: self._commit(txn, meant)  # noqa: E731
        if self.late_ns and any(isinstance(guard, CreateRevisionIs | KeyAbsent) for guard in txn.guards):
            late_ns, self.late_ns = self.late_ns, 0
            self._clock.after(late_ns, lambda: self._execute_late(execute))
            self._reply(CALL_TIMEOUT_NS, None, answer)
            return
        self.call(execute, answer)

    def call(self, execute: Execute, answer: Answer) -> None:
        """Have the store do ``execute``."""
        clock = self._clock
        if not clock.etcd.up or not self._network.passes(self._node, STORE):
            taken = clock.etcd.takes and self._network.passes(self._node, STORE) and clock.chance(0.5)
            if taken:
                clock.etcd.wait(execute)
            refused = not taken and clock.chance(0.5)
            self._reply(CALL_TIMEOUT_NS, StoreUnreachable("no endpoint") if refused else None, answer)
        elif clock.chance(self._faults):
            self._trouble(execute, answer)
        else:
            clock.after(self._network.delay_ns(self._node, STORE), lambda: self._execute_and_reply(execute, answer))

    def _trouble(self, execute: Execute, answer: Answer) -> None:
        clock = self._clock
        kind = clock.random.choice(["request lost", "reply lost", "delayed", "slow"])
        if kind == "reply lost":
            clock.after(clock.between(0.5, 8), lambda: self._execute_late(execute))
        elif kind == "delayed":
            clock.after(clock.between(500, 25_000), lambda: self._execute_late(execute))
        elif kind == "slow":
            clock.after(clock.between(100, 900), lambda: self._execute_and_reply(execute, answer))
            return
        self._reply(CALL_TIMEOUT_NS, None, answer)

    def _execute_late(self, execute: Execute) -> None:
        if self._clock.etcd.up:
            execute()
        elif self._clock.etcd.takes:
            self._clock.etcd.wait(execute)

    def _commit(self, txn: Txn, meant: str) -> Outcome:
        etcd = self._clock.etcd
        etcd.meant = meant
        try:
            return etcd.commit_now(txn)
        except LeaseExpired as expired:
            return expired
        finally:
            etcd.meant = ""

    def _execute_and_reply(self, execute: Execute, answer: Answer) -> None:
        if not self._clock.etcd.up:
            self._execute_late(execute)
            self._reply(CALL_TIMEOUT_NS, None, answer)
            return
        outcome = execute()
        if self._network.passes(STORE, self._node):
            self._reply(self._network.delay_ns(STORE, self._node), outcome, answer)
        else:
            self._reply(CALL_TIMEOUT_NS, None, answer)

    def _reply(self, delay_ns: int, outcome: Outcome, answer: Answer) -> None:
        def come() -> None:
            if self.open:
                answer(outcome)

        self._clock.after(delay_ns, come, self._actor)


def commit(link: StoreLink, command: Commit, keys: ModuleKeys, give: Callable[[Event], None], meant: str = "") -> None:
    """Carry out the core's Commit, as the agent's runtime does; ``meant``: the id of the etcd that it goes by."""
    txn = command.txn
    if command.history is not None:
        record = replace(command.history, at="2026-01-01T00:00:00Z")
        txn = replace(txn, then=(*txn.then, Put(keys.history(record.epoch), encode(record))))

    def answer(outcome: Outcome) -> None:
        match outcome:
            case TxnResult(succeeded, revision, found, store_id):
                give(TxnSettled(command.tag, succeeded, revision, found, store_id))
            case None:
                give(TxnUnknown(command.tag))
            case failure:
                give(TxnFailed(command.tag, str(failure)))

    link.ask(txn, answer, meant)
