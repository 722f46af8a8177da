"""What a lab's etcd has kept, before those judges of the simulation that count time (S8, S10). Pure.

It has every revision of the keys (``tests.support.etcd_events``), and between which moments each was made
(``tests.support.moments``): a loss counts from the earliest of them, and what may have come too early by the latest, so
that nothing is called wrong that was right.
"""

import json
from collections.abc import Collection, Iterable

from agent.core.limits import LATELY_NS, STABLE_NS
from manager.model.boots import parts
from manager.model.codec import decode
from manager.model.records import Holder, InsyncRecord
from manager.model.states import Run
from tests.simulation.checkers import Flapping, Violation
from tests.simulation.standing import Registrations, require_said
from tests.simulation.to_and_fro import ToAndFro
from tests.support.moments import Moments
from tests.support.record_history import Event, Json
from tests.support.store_rules import by_revision


def violations(
    events: Iterable[Event], module: str, nodes: Collection[str], moments: Moments, absent_ns: int
) -> list[str]:
    """What is wrong, in sentences; after the first of them nothing more is looked for.

    Args:
        events: beginning with the cluster's first.
        module: whose keys.
        nodes: those of the module.
        moments: of the revisions; what was there before the first answer may have been made at any time.
        absent_ns: how long no other listed node may have been registered before one that has lost its memory stands.
    """
    times = _Times(module, nodes, moments, absent_ns)
    for revision, together in by_revision(events):
        try:
            times.take(revision, together)
        except Violation as error:
            return [f"revision {revision}: {error}"]
    return []


class _Times:
    """The judges, and what they have to be told beside the record."""

    def __init__(self, module: str, nodes: Collection[str], moments: Moments, absent_ns: int) -> None:
        self._prefix = f"modules/{module}/"
        self._moments = moments
        self._absent_ns = absent_ns
        self._record: InsyncRecord | None = None
        self._flapping = Flapping(STABLE_NS, LATELY_NS)
        self._registrations = Registrations()
        self._to_and_fro = ToAndFro(len(nodes))
        self._agents: dict[str, object] = {}
        """Node to the instance of its agent."""
        self._boot_ids: dict[str, str] = {}
        """As each node has told it last, though it may be away now."""

    def take(self, revision: int, events: Iterable[Event]) -> None:
        """The next one."""
        before = self._record
        for event in events:
            kind, _, name = event.key.removeprefix(self._prefix).partition("/")
            if kind == "nodes":
                self._registered(name, event.value, self._moments.earliest_ns(revision))
            elif kind == "desired" and event.value is not None:
                self._to_and_fro.forget()
                (self._flapping.start if event.value["run"] == Run.STARTED else self._flapping.stop)([name])
            elif kind == "requests":
                self._to_and_fro.forget()
            elif kind == "members" and event.value is not None:
                self._lost_memory(name, str(event.value["boot_id"]))
            elif kind == "insync" and event.value is not None:
                self._record = decode(InsyncRecord, json.dumps(event.value))
        if self._record is not None and self._record != before:
            self._changed(before, self._record, revision)

    def _registered(self, node: str, value: Json | None, earliest_ns: int) -> None:
        self._registrations.note(node, earliest_ns, present=value is not None)
        if value is None:
            return
        if parts(self._boot_ids.get(node, ""))[0] != value["boot_id"]:
            self._boot_ids[node] = str(value["boot_id"])
        agent = value.get("agent_instance")
        if self._agents.get(node) != agent:
            self._agents[node] = agent
            self._to_and_fro.forget()
            if self._record is not None and self._record.last_primary == node:
                self._flapping.forget()

    def _lost_memory(self, node: str, boot_id: str) -> None:
        """Without a reboot, if it has: its registration has the kernel's boot id alone."""
        (kernel, losses), known = parts(boot_id), parts(self._boot_ids.get(node, ""))
        if kernel == known[0] and losses > known[1]:
            self._boot_ids[node] = boot_id

    def _changed(self, before: InsyncRecord | None, after: InsyncRecord, revision: int) -> None:
        earliest_ns, latest_ns = self._moments.earliest_ns(revision), self._moments.latest_ns(revision)
        lost = before is not None and before.nodes - after.nodes
        self._flapping.record(before, after, earliest_ns if lost else latest_ns)
        if before is not None and after.epoch > before.epoch:
            self._to_and_fro.promoted(after.because, latest_ns)
            self._promoted(before, after, latest_ns)

    def _promoted(self, before: InsyncRecord, after: InsyncRecord, latest_ns: int) -> None:
        node = after.last_primary
        was, now = before.holder(node), after.holder(node)
        others = [holder for holder in before.holders if holder.node != node]
        if was is None or now is None or was.boot_id == now.boot_id or not others:
            return
        require_said(node, after.because)
        self._registrations.judge(node, map(_name, filter(self._has_kept, others)), latest_ns, self._absent_ns)

    def _has_kept(self, holder: Holder) -> bool:
        """As far as it has told."""
        return self._boot_ids.get(holder.node) == holder.boot_id


def _name(holder: Holder) -> str:
    return holder.node
