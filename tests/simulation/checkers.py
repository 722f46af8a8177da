"""The promises, checked while a simulated cluster runs: P1 to P4 of docs/SAFETY.md, each by its own checker.

They look at what really happened (copies, completions, the store's keys), never at what an agent believes.
"""

from dataclasses import dataclass, field

from manager.model.codec import decode
from manager.model.records import InsyncRecord, PrimaryRecord
from manager.store.api import Changes
from tests.simulation.clockwork import Violation
from tests.simulation.volume import BLOCKS, Content, Copy


@dataclass(slots=True)
class Write:
    """One write of the application."""

    number: int
    block: int
    node: str
    epoch: int
    started_ns: int


@dataclass(slots=True)
class Promises:
    """What was promised, and to whom."""

    completed: Content = field(default_factory=lambda: dict.fromkeys(range(BLOCKS), 0))
    """Block to the newest write that was completed to the application."""
    fsynced: Content = field(default_factory=lambda: dict.fromkeys(range(BLOCKS), 0))
    served_ns: dict[int, int] = field(default_factory=dict)
    """Epoch to when its primary served first."""
    completions: int = 0
    promotions: int = 0
    legitimate_losses: int = 0
    applications: set[str] = field(default_factory=set)
    """The nodes on which the application runs."""
    clocks_doubted_until_ns: int = 0
    """The store let a lease go before its time: as if its clock were wrong. What rests on clocks may fail."""

    def complete(self, write: Write) -> None:
        """P3: no write that started after a newer primary served is completed."""
        for epoch, at_ns in self.served_ns.items():
            if epoch > write.epoch and write.started_ns > at_ns:
                raise Violation(
                    f"P3: write {write.number} of {write.node}, epoch {write.epoch}, started at {write.started_ns}, "
                    f"completed although epoch {epoch} served since {at_ns}"
                )
        self.completions += 1
        self.completed[write.block] = max(self.completed[write.block], write.number)

    def fsync(self, promised: Content) -> None:
        """An fsync that began when ``promised`` was complete has returned."""
        for block, number in promised.items():
            self.fsynced[block] = max(self.fsynced[block], number)

    def serve(self, node: str, epoch: int, copy: Copy, now_ns: int, *, kept_memory: bool) -> None:
        """P1, P2, P4: who is promoted has every completed write; after a loss of all memories, every fsynced one."""
        if epoch in self.served_ns:
            raise Violation(f"epoch {epoch} is served twice, now by {node}")
        self.promotions += 1
        self.served_ns[epoch] = now_ns
        promised, name = (self.completed, "P1/P4") if kept_memory else (self.fsynced, "P2")
        for block, number in promised.items():
            if copy.cache[block] < number:
                raise Violation(
                    f"{name}: {node} serves epoch {epoch} with write {copy.cache[block]} in block {block}, "
                    f"{number} was completed"
                )
        for block, number in self.completed.items():
            if copy.cache[block] < number:
                self.legitimate_losses += 1
                self.completed[block] = copy.cache[block]

    def application(self, node: str, now_ns: int, *, runs: bool) -> None:
        """With true clocks, never two applications at once (S5)."""
        if not runs:
            self.applications.discard(node)
            return
        self.applications.add(node)
        if len(self.applications) > 1 and now_ns > self.clocks_doubted_until_ns:
            raise Violation(f"S5: the application runs on {sorted(self.applications)}")


@dataclass(slots=True)
class StoreChecker:
    """What the two keys may become: only a listed node is promoted, epochs only rise, only a primary changes lists."""

    primary_key: str
    insync_key: str
    record: InsyncRecord | None = None
    primary: PrimaryRecord | None = None

    def on_changes(self, changes: Changes) -> None:
        """One revision."""
        was, holder = self.record, self.primary
        for event in changes.events:
            if event.key == self.insync_key and event.kv is not None:
                self.record = decode(InsyncRecord, event.kv.value)
            elif event.key == self.primary_key:
                self.primary = None if event.kv is None else decode(PrimaryRecord, event.kv.value)
        new = self.record
        if new is None or was is None or new == was:
            return
        if new.number != was.number + 1 or new.epoch not in (was.epoch, was.epoch + 1):
            raise Violation(f"the record went from {was} to {new}")
        if new.epoch > was.epoch and was.holder(new.last_primary) is None:
            raise Violation(f"P4: {new.last_primary} was promoted, the record listed {sorted(was.nodes)}")
        resumed = holder is None and new.holders == was.holders and new.released != new.epoch
        by = self.primary if resumed else holder
        if new.epoch == was.epoch and (by is None or by.epoch != new.epoch):
            raise Violation(f"S2: the record was changed without its primary: {holder}")
