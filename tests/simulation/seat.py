"""What an operator does to a simulated cluster by etcd alone: his wishes, switches, the configuration, his requests.

And what he spoils there, and puts right again.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.core import forcing
from manager.model.codec import decode, encode
from manager.model.records import FAILOVER, OFF, DesiredRecord, ModuleConfigRecord, RequestRecord
from manager.model.states import Run
from manager.store.api import Put, Txn
from tests.simulation.checkers import Flapping, StoreChecker, Violation
from tests.simulation.clockwork import Clockwork
from tests.simulation.plan import Plan
from tests.simulation.spoiling import spoiled, understood, unspoiled
from tests.simulation.to_and_fro import ToAndFro
from tests.simulation.views import KEYS
from tests.simulation.words import Words

if TYPE_CHECKING:
    import itertools

    from tests.simulation.machine import Machine


class Seat:
    """Of the cluster that has it, whose parts these are."""

    plan: Plan
    clock: Clockwork
    nodes: "dict[str, Machine]"
    flapping: Flapping
    to_and_fro: ToAndFro
    store: StoreChecker
    words: Words
    _requests: "itertools.count[int]"

    def put(self, key: str, value: str) -> None:
        """Into the store, at once."""
        self.clock.etcd.commit_now(Txn(then=(Put(key, value),)))

    def want(self, run: Run, *nodes: str) -> None:
        """``mirrorfarm start`` or ``stop``."""
        nodes = nodes or self.plan.nodes
        (self.flapping.start if run is Run.STARTED else self.flapping.stop)(nodes)
        self._desire(nodes, lambda desired: replace(desired, run=run))

    def maintain(self, *, on: bool) -> None:
        """``mirrorfarm maintenance``: of all nodes at once."""
        switches = {FAILOVER: OFF} if on else {}
        self._desire(self.plan.nodes, lambda desired: replace(desired, switches=switches))

    def _desire(self, nodes: Iterable[str], change: Callable[[DesiredRecord], DesiredRecord]) -> None:
        self.to_and_fro.forget()
        changes = tuple(Put(KEYS.desired(node), encode(change(self._desired(node)))) for node in nodes)
        self.clock.etcd.commit_now(Txn(then=changes))

    def _desired(self, node: str) -> DesiredRecord:
        kv = self.clock.etcd.get_now(KEYS.desired(node))
        return DesiredRecord(Run.STOPPED) if kv is None else understood(DesiredRecord, kv.value)

    def wants(self, node: str) -> bool:
        """Whether the operator wants it to run there."""
        return self._desired(node).run is Run.STARTED

    def configure(self, failover: str) -> None:
        """``mirrorfarm module apply``: the next generation, which a node runs by once it was stopped there."""
        kv = self.clock.etcd.get_now(KEYS.config)
        generation = 1 if kv is None else understood(ModuleConfigRecord, kv.value).generation + 1
        self.put(KEYS.config, encode(ModuleConfigRecord("module", generation, failover, {}, "", "")))

    def spoil(self, name: str, *, bare: bool = False) -> None:
        """A key of the module gets a value that is not understood; ``bare``: and loses its lease.

        What was wanted last goes on being so; but an agent that has begun since takes it for stopped.
        """
        kv = self.clock.etcd.get_now(KEYS.prefix + name)
        if kv is not None:
            self.flapping.stop(self._wishes_of(KEYS.prefix + name))
            self.clock.etcd.commit_now(Txn(then=(Put(KEYS.prefix + name, spoiled(kv.value), 0 if bare else kv.lease),)))

    def mend(self, name: str = "") -> None:
        """It gets the value back that it had; an empty name: each one that is not understood does."""
        for key, kv in self.clock.etcd.range_now(KEYS.prefix + name).kvs.items():
            if unspoiled(kv.value) != kv.value and name in ("", key.removeprefix(KEYS.prefix)):
                self.flapping.start(self._wishes_of(key))
                self.clock.etcd.commit_now(Txn(then=(Put(key, unspoiled(kv.value), kv.lease),)))

    def _wishes_of(self, key: str) -> list[str]:
        """The node of which ``key`` says what is wanted; none, if it is another key."""
        return [node for node in self.plan.nodes if key == KEYS.desired(node)]

    def _is_spoiled(self, *keys: str) -> bool:
        found = [self.clock.etcd.get_now(key) for key in keys]
        return any(kv is not None and unspoiled(kv.value) != kv.value for kv in found)

    def failover_is_off(self, node: str) -> bool:
        """By what ``node`` runs by, or for maintenance."""
        maintained = any(self._desired(n).switches.get(FAILOVER) == OFF for n in self.plan.nodes)
        return maintained or self.nodes[node].config.failover == "off"

    def request(self, action: str, node: str, accept: str = "", **arguments: str) -> str:
        """``mirrorfarm prim``, ``swap`` or ``restart``."""
        request_id = f"r{next(self._requests):04}"
        self.to_and_fro.forget()
        if action == "prim":
            self.store.named.add(node)
            self.words.ask(request_id, accept)
        arguments |= {forcing.ACCEPT: accept} if accept else {}
        self.put(KEYS.request(request_id), encode(RequestRecord(request_id, action, node, "", "", arguments)))
        return request_id

    def withdraw(self, request_id: str) -> None:
        """Whoever asked does not wait any longer."""
        kv = self.clock.etcd.get_now(KEYS.request(request_id))
        if kv is not None and self.clock.etcd.up:
            self.put(KEYS.request(request_id), encode(replace(decode(RequestRecord, kv.value), status="failed")))

    def requests(self, since: int = 0) -> list[RequestRecord]:
        """Those that the store has, the oldest first; asked, or answered, after that revision."""
        kvs = self.clock.etcd.range_now(KEYS.prefix + "requests/").kvs
        return [decode(RequestRecord, kvs[key].value) for key in sorted(kvs) if kvs[key].mod_revision > since]

    def requests_since_record(self) -> list[RequestRecord]:
        """Those of after the in-sync record was written."""
        record = self.clock.etcd.get_now(KEYS.insync)
        return self.requests(0 if record is None else record.mod_revision)

    def answer(self, request_id: str) -> RequestRecord:
        """How it stands."""
        kv = self.clock.etcd.get_now(KEYS.request(request_id))
        if kv is None:
            raise Violation(f"request {request_id} is gone")
        return decode(RequestRecord, kv.value)
