"""The promises, one checker each: P1 to P4 of docs/SAFETY.md, and what follows from its rules.

They look at what really happened (copies, completions, the store's keys), never at what an agent believes, and know no
simulation: times are nanoseconds of one true clock, a copy is a mapping from a block to the number of the write in it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from manager.model.reasons import Reason
from manager.model.records import InsyncRecord, PrimaryRecord
from manager.store.api import Changes
from tests.simulation.spoiling import understood

SECOND_NS = 1_000_000_000
Content = Mapping[int, int]


class Violation(AssertionError):
    """A promise was broken."""


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

    completed: dict[int, int] = field(default_factory=dict)
    """Block to the newest write that was completed to the application."""
    fsynced: dict[int, int] = field(default_factory=dict)
    served_ns: dict[int, int] = field(default_factory=dict)
    """Epoch to when its primary served first."""
    completions: int = 0
    completed_ns: int = 0
    """When a write was completed last."""
    longest_pause_ns: int = 0
    """Between two completed writes; to be set to 0 where a new count begins."""
    promotions: int = 0
    legitimate_losses: int = 0
    reads: int = 0
    joins: int = 0
    tracked_joins: int = 0
    """Those in which only what was tracked was copied."""
    forced_epoch: int = 0
    """The last one that an operator began with a copy which the record did not list (S12): 0: none."""
    served_by: dict[int, str] = field(default_factory=dict)
    """Epoch to its primary."""
    overruled: set[tuple[int, str]] = field(default_factory=set)
    """The epochs, with their primaries, that an operator has had a copy go on without: in another etcd he may begin one
    of the same number, or of a lower one."""
    given_up: set[tuple[int, int]] = field(default_factory=set)
    """The writes, as (block, number), that were completed and are not on the copy that went on."""
    on_complete: Callable[[], None] = lambda: None
    """Called after each completed write."""
    on_serve: Callable[[str], None] = lambda node: None

    def complete(self, write: Write, now_ns: int) -> None:
        """P3: no write that started after a newer primary served is completed: save where that one was forced."""
        if self._is_overruled(write.epoch, write.node):
            self.given_up.add((write.block, write.number))
            return
        for epoch, at_ns in self.served_ns.items():
            if epoch > write.epoch and write.started_ns > at_ns:
                raise Violation(
                    f"P3: write {write.number} of {write.node}, epoch {write.epoch}, started at {write.started_ns}, "
                    f"completed although epoch {epoch} served since {at_ns}"
                )
        self.completions += 1
        if self.completed_ns and now_ns - self.completed_ns > self.longest_pause_ns:
            self.longest_pause_ns = now_ns - self.completed_ns
        self.completed_ns = now_ns
        if write.number > self.completed.get(write.block, 0):
            self.completed[write.block] = write.number
        self.on_complete()

    def _is_overruled(self, epoch: int, node: str) -> bool:
        return epoch < self.forced_epoch or (epoch, node) in self.overruled

    def force(self, epoch: int, copy: Content, disk: Content) -> set[tuple[int, int]]:
        """An operator has that copy go on, whatever was completed. Returns what is given up by it, as ``given_up``."""
        self.forced_epoch = epoch
        self.overruled.update(self.served_by.items())
        self.served_ns = {before: at_ns for before, at_ns in self.served_ns.items() if before < epoch}
        self.served_by = {before: node for before, node in self.served_by.items() if before < epoch}
        given = {(block, number) for block, number in self.completed.items() if number > copy.get(block, 0)}
        self.given_up |= given
        for block, _ in given:
            self.completed[block] = copy.get(block, 0)
        self.given_up.difference_update(copy.items())
        for block, number in self.fsynced.items():
            self.fsynced[block] = min(number, disk.get(block, 0))
        return given

    def require_kept(self, node: str, copy: Content, asides: Iterable[Content]) -> None:
        """S12: before ``copy`` is made equal what was given up of it is set aside.

        A power loss in a join may bring back what was there before the block's own last write: that one was kept.

        Raises:
            Violation: something is not.
        """
        kept = {write for aside in asides for write in aside.items()} & self.given_up
        for block, number in copy.items():
            if (block, number) in self.given_up and not any(b == block and n >= number for b, n in kept):
                raise Violation(f"S12: {node} joins with write {number} in block {block}, which nobody else has kept")

    def fsync(self, promised: Content, epoch: int, node: str) -> None:
        """An fsync of that epoch, which began on ``node`` when ``promised`` was complete, has returned."""
        if self._is_overruled(epoch, node):
            return
        for block, number in promised.items():
            self.fsynced[block] = max(self.fsynced.get(block, 0), number)

    def serve(self, node: str, epoch: int, copy: Content, now_ns: int, *, kept_memory: bool) -> None:
        """P1, P2, P4: who is promoted has every completed write; without its memory, every fsynced one."""
        if epoch in self.served_ns:
            raise Violation(f"S1: epoch {epoch} is served twice, now by {node}")
        late = any(newer > epoch for newer in self.served_ns)
        self.served_ns[epoch], self.served_by[epoch] = now_ns, node
        self.overruled.discard((epoch, node))  # With a new disk it may come to a number that it has served before.
        if late:
            return  # As after its clock stood still: what it lacks was completed since, and it completes nothing.
        self.promotions += 1
        promised, name = (self.completed, "P1/P4") if kept_memory else (self.fsynced, "P2")
        require_all(name, f"{node} serves epoch {epoch}", copy, promised)
        for block, number in copy.items():
            # What it has beyond that counts as completed from now on: its application can read it.
            self.legitimate_losses += number < self.completed.get(block, 0)
            if number or block in self.completed:
                self.completed[block] = number
        self.on_serve(node)

    def read(self, node: str, how: str, copy: Content, before: Content) -> None:
        """S5: what was read is no older than what was completed ``before`` the read began."""
        self.reads += 1
        require_all("S5", f"a read {how} on {node}", copy, before)


def require_all(name: str, who: str, copy: Content, promised: Content) -> None:
    """``copy`` has every write that was ``promised``.

    Raises:
        Violation: it lacks one.
    """
    for block, number in promised.items():
        found = copy.get(block, 0)
        if found < number:
            raise Violation(f"{name}: {who} with write {found} in block {block}, {number} was completed")


@dataclass(slots=True)
class Applications:
    """With true clocks, the application never runs on two nodes at once, once what has to kill it had its time (S5)."""

    running: set[str] = field(default_factory=set)
    excused_until_ns: dict[str, int] = field(default_factory=dict)
    """Of a node on which nothing ran that could have killed it, until a second after that."""
    doubted_until_ns: int = 0
    """A clock was wrong by more than the margin: what rests on clocks may fail."""

    def check(self, now_ns: int) -> None:
        """To be asked whenever one has started, and whenever an excuse has ended.

        Raises:
            Violation: two run.
        """
        if len(self.running) < 2 or now_ns <= self.doubted_until_ns:
            return
        culpable = [n for n in self.running if now_ns >= self.excused_until_ns.get(n, 0)]
        if len(culpable) > 1:
            raise Violation(f"S5: the application runs on {sorted(culpable)}")


@dataclass(slots=True)
class StoreChecker:
    """What the two keys may become: only a listed node is promoted, epochs only rise, only a primary changes lists."""

    primary_key: str
    insync_key: str
    record: InsyncRecord | None = None
    primary: PrimaryRecord | None = None
    named: set[str] = field(default_factory=set)
    """The nodes whose data an operator, or the configuration, has named."""

    def restored(self, record: InsyncRecord | None, primary: PrimaryRecord | None) -> None:
        """The store went back to a backup."""
        self.record, self.primary = record, primary

    def on_changes(self, changes: Changes) -> None:
        """One revision.

        Raises:
            Violation: the keys became what no rule allows.
        """
        was, holder = self.record, self.primary
        for event in changes.events:
            if event.key == self.insync_key and event.kv is not None:
                self.record = understood(InsyncRecord, event.kv.value)
            elif event.key == self.primary_key:
                self.primary = None if event.kv is None else understood(PrimaryRecord, event.kv.value)
        new, now = self.record, self.primary
        if new is not None and was is None and new.last_primary not in self.named:
            raise Violation(f"S9: {new.last_primary} began by itself, named were {sorted(self.named)}")
        if new is not None and was is not None and new != was:
            if is_forced(was, new) and new.last_primary not in self.named:
                raise Violation(f"P4: {new.last_primary} was promoted, the record listed {sorted(was.nodes)}")
            _judge(was, holder, new, now)


def is_forced(was: InsyncRecord, new: InsyncRecord) -> bool:
    """An operator has had a copy go on that the record did not list, and the record says so (S12)."""
    begun = new.epoch > was.epoch and was.holder(new.last_primary) is None
    return begun and new.decided == new.epoch and new.because == Reason.FORCED_BY_OPERATOR


def _judge(was: InsyncRecord, holder: PrimaryRecord | None, new: InsyncRecord, now: PrimaryRecord | None) -> None:
    follows = new.epoch in (was.epoch, was.epoch + 1) or new.decided == new.epoch > was.epoch
    if new.number != was.number + 1 or not follows:
        raise Violation(f"S1: the record went from {was} to {new}")
    if new.epoch > was.epoch:
        if was.holder(new.last_primary) is None and not is_forced(was, new):
            raise Violation(f"P4: {new.last_primary} was promoted, the record listed {sorted(was.nodes)}")
        if now is None or (now.node, now.epoch) != (new.last_primary, new.epoch):
            raise Violation(f"S1: epoch {new.epoch} of {new.last_primary} began, and the primary key is {now}")
        # Elected where there is no primary, it is alone; where one has handed over to it, all stay listed.
        if new.nodes != (frozenset({new.last_primary}) if holder is None else was.nodes):
            raise Violation(f"S1: epoch {new.epoch} began with {sorted(new.nodes)} after {was}, the key was {holder}")
    elif holder is None:
        resumed = now is not None and (now.node, now.epoch) == (was.last_primary, was.epoch)
        if not resumed or new.holders != was.holders or was.released == was.epoch:
            raise Violation(f"S1: without a primary the record went from {was} to {new}, the primary key is {now}")
    elif holder.epoch != new.epoch:
        raise Violation(f"S2: the record was changed without its primary: {holder}")


_UNTIL_IT_SERVES = -1


@dataclass(slots=True)
class Copies:
    """A node in the record has every completed write, while it has kept the memory that it was listed with.

    The account of memories is the checker's own, whatever the record says of boots.
    """

    listed: frozenset[str] = frozenset()
    memory: dict[str, int] = field(default_factory=dict)
    """With which memory each listed node was listed; a number that rises with each loss."""

    def record(
        self, before: InsyncRecord | None, after: InsyncRecord, memories: Mapping[str, int], joined: Mapping[str, int]
    ) -> None:
        """The record has changed; ``memories``: each node's now; ``joined``: with which a node had everything.

        A change may be executed late, when what it lists has lost its memory since.
        """
        was = frozenset() if before is None else before.nodes
        promoted = after.last_primary if before is None or after.epoch > before.epoch else ""
        for node in after.nodes:
            if node == promoted and node in self.memory and not self.kept(node, memories):
                self.memory[node] = _UNTIL_IT_SERVES
            elif node == promoted:
                self.memory[node] = memories[node]
            elif node not in was:
                self.memory[node] = joined.get(node, memories[node])
        self.listed = after.nodes

    def served(self, node: str, memories: Mapping[str, int]) -> None:
        """A promoted node serves: what it has is what was completed from now on."""
        self.memory[node] = memories[node]

    def kept(self, node: str, memories: Mapping[str, int]) -> bool:
        """Whether it has kept what it was listed with."""
        return self.memory.get(node) == memories[node]

    def check(self, promised: Content, copies: Mapping[str, Content], memories: Mapping[str, int]) -> None:
        """To be asked when a write was completed, and when the record has changed.

        Raises:
            Violation: one lacks a completed write.
        """
        for node in self.listed:
            if self.memory.get(node) == memories[node]:
                require_all("S2", f"{node} is in the record", copies[node], promised)


def require_nothing_ahead(former: str, its: Content, node: str, copy: Content) -> None:
    """What a former primary has, the one that is promoted in its place has too: there is nothing to roll back (S4).

    Raises:
        Violation: the former one has what was never sent, or not first.
    """
    require_all("S4", f"{node}, promoted in the place of {former}, which has more on its disk,", copy, its)


def require_named(who: str, copy: Content, other: str, its: Content, named: Iterable[int]) -> None:
    """Wherever the copies differ when ``other`` joins, what ``who`` tracks of it names it.

    Raises:
        Violation: a block would not be copied.
    """
    known = frozenset(named)
    for block, number in copy.items():
        if its.get(block, 0) != number and block not in known:
            raise Violation(
                f"tracking: {other} joins with write {its.get(block, 0)} in block {block}, {who} has {number}, and its "
                f"list does not name it: {sorted(known)}"
            )


def require_same(who: str, copy: Content, other: str, its: Content) -> None:
    """At its join point the copy of ``other`` is what that of ``who`` was when it said so.

    Raises:
        Violation: it is not.
    """
    if dict(copy) != dict(its):
        raise Violation(f"tracking: {other} comes to its join point with {its}, {who} had {copy}")


@dataclass(slots=True)
class Flapping:
    """A node that one primary has listed and lost is listed by it again only once it has been stable (S10).

    For twice as long after each loss, up to a limit.
    """

    stable_ns: int
    most_ns: int
    epoch: int = 0
    added: set[str] = field(default_factory=set)
    """Listed by this primary itself, in this epoch."""
    lost_ns: dict[str, int] = field(default_factory=dict)
    losses: Counter[str] = field(default_factory=Counter)
    stopped: set[str] = field(default_factory=set)
    """By an operator: their loss is no flapping, also of one that is listed before it, or the primary, learns of it."""
    started: set[str] = field(default_factory=set)
    """Again, since: the next loss may still be of that."""

    def forget(self) -> None:
        """The primary's agent has begun anew: what it knew of losses is gone with it."""
        self.added.clear()
        self.lost_ns.clear()
        self.losses.clear()

    def stop(self, nodes: Iterable[str]) -> None:
        """An operator stops the module on ``nodes``."""
        self.stopped.update(nodes)

    def start(self, nodes: Iterable[str]) -> None:
        """An operator starts it (again)."""
        self.started |= self.stopped & set(nodes)
        self.stopped.difference_update(nodes)

    def record(self, before: InsyncRecord | None, after: InsyncRecord, now_ns: int) -> None:
        """The record has changed.

        Raises:
            Violation: a node is listed too early.
        """
        if before is None or after.epoch != self.epoch:
            self.epoch = after.epoch
            self.forget()
            return
        for node in before.nodes - after.nodes:
            if node in self.added and node not in self.stopped | self.started:
                self.lost_ns[node] = now_ns
                self.losses[node] += 1
            self.started.discard(node)
        for node in after.nodes - before.nodes:
            lost_ns = self.lost_ns.get(node)
            stable_ns = min(self.most_ns, self.stable_ns << max(0, self.losses[node] - 1))
            if lost_ns is not None and now_ns < lost_ns + stable_ns:
                raise Violation(f"S10: {node} is listed again {(now_ns - lost_ns) / SECOND_NS:.1f} s after its loss")
            self.added.add(node)


@dataclass(slots=True)
class Progress:
    """While a node that may stand is there, the module serves within a stated time."""

    bound_ns: int
    pause_ns: int
    """So much later where a primary that has nothing to serve may not offer its place at once."""
    since_ns: int | None = None
    """Since when one could have served, and none does; ``None``: not so."""
    paused: bool = False
    """A primary has paused meanwhile."""
    longest_ns: int = 0

    def look(self, now_ns: int, *, possible: bool, serves: bool, pauses: bool, who: str) -> None:
        """To be asked often; ``pauses``: a primary does after a hand-over that was not taken.

        Raises:
            Violation: for too long.
        """
        if serves or not possible:
            self.since_ns, self.paused = None, False
            return
        self.paused = self.paused or pauses
        if self.since_ns is None:
            self.since_ns = now_ns
        waited_ns = now_ns - self.since_ns
        self.longest_ns = max(self.longest_ns, waited_ns)
        if waited_ns > self.bound_ns + self.pause_ns * self.paused:
            raise Violation(f"progress: for {waited_ns / SECOND_NS:.0f} s nobody serves, although {who} could")
