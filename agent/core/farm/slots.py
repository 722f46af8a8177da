"""Which node serves which slot next: from the last table, who lives, and the weights. Pure.

:func:`next_table` says where each slot is to go, :func:`advance` takes those on their way one step further. Each gives
the table that it was given if there is nothing to change, else a new one with the next number, in which all is done
that can be done at once. They know neither addresses nor rules nor the store, and not how it was found out who lives.

A slot moves between two living nodes by three tables: *coming*, *leaving*, settled (``manager.model.farm``). On its way
it is not moved a second time, but for this:

- A party dies. What the owner of a slot had goes to the node that was to have it, or goes back to the node that has
  connections there still; a slot that is left without any goes at once to a node below its quota.
- The node that it goes to may have none any more: then the move is given up, or turned back. Else what begins would go
  to a drained node for as long as the former owner has a connection there, and that may be for days. If the former
  owner may have none either, it goes on: a slot has room for two nodes, not for three.

**Weight 0 means: what is open stays, nothing begins.** This is so for the last node too. When no living node has a
weight above 0 the slots leave their owners to nobody: an operator who drains a node is about to work on it, and must
not find connections that began since, because another node has died. Who wants a node to serve when no other one lives
puts it into the last group of the chain. Such a slot needs no phase *coming*, as nobody has to make ready for it. Once
a node may serve again, the slot is its former owner's until the new one is ready.
"""

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass

from manager.model.errors import InvariantViolated
from manager.model.farm import MOST_NODES, NOBODY, SLOTS, SlotTable


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that lives and is ready, or was a moment ago."""

    weight: int
    """Its share beside the others' weights; 0: nothing new begins there."""
    away: bool = False
    """Its agent is, for a moment: what it has it keeps, it is given nothing, and nothing is balanced meanwhile."""


def next_table(
    last: SlotTable, members: Mapping[str, Candidate], groups: tuple[tuple[str, ...], ...], nodes: tuple[str, ...]
) -> SlotTable:
    """The table that follows ``last`` when ``members`` live and are ready; ``last`` itself if it needs no change.

    ``groups`` is the chain: the first group with a member of a weight above 0 serves, and no other. ``nodes`` are all
    that the farm has now, to which the digits are changed; a node that is not among them counts as dead. The shares
    are within one slot of the weights once all has settled, and of such tables it is one with the fewest moves. So a
    lost node moves its own slots alone, but where its slots cannot bring all others within one slot of their weights.
    While the agent of a member is away only what nobody has is given away, if it can be to a node that is there.

    Raises:
        InvariantViolated: there are more nodes than a table can have.
    """
    if len(nodes) > MOST_NODES:
        raise InvariantViolated(f"a farm of {len(nodes)} nodes")
    draft = _Draft(last, nodes, members)
    serving = {draft.digits[node]: weight for node, weight in _serving(members, groups, nodes).items()}
    draft.give_up(serving)
    if not serving:
        draft.close()
    elif any(member.away for member in members.values()):
        present = {node: member for node, member in members.items() if not member.away}
        takers = {draft.digits[node]: weight for node, weight in _serving(present, groups, nodes).items()}
        draft.give(takers or serving)
    else:
        draft.share(serving)
    return draft.table()


def advance(
    table: SlotTable,
    director: str,
    members: Collection[str],
    loaded: Mapping[str, int],
    busy: Mapping[str, Set[int]],
    *,
    is_patient: bool = False,
) -> SlotTable:
    """``table`` with every step that slots on their way can take; ``table`` itself if there is none.

    No step is taken before all ``members`` and the director have loaded this very table, not only the parties: clients
    still send to a former director, which shares by its own table. Nobody is ever forced out of a slot.

    Args:
        table: The present one.
        director: Which node receives for the address.
        members: The nodes that live and are ready, by which ``next_table`` has made ``table``.
        loaded: Node to the number of the table that its kernel's rules are made of.
        busy: Node to those slots that it leaves and has connections in, as it has counted them *after* it loaded the
            table of ``loaded``; a node that is not in it has not counted since.
        is_patient: That some slots have no connections of their former owners any more is no step by itself, until it
            is half of those that leave. Else there would be a table for each connection that ends.
    """
    if not _parties(table) <= set(members):
        return table  # A party has died: what becomes of its slots is next_table's.
    if any(loaded.get(node) != table.number for node in (director, *members)):
        return table
    steps = _Steps(table, busy, is_patient=is_patient)
    return steps.table() if steps.is_any else table


class _Draft:
    """The table that follows: a list for each of its rows, in the digits that are valid now, the living ones alone.

    A dead node is NOBODY from the first on, and with it what a slot's phase was, which need not be known: with an owner
    and nothing else it is settled, and without an owner its comer or its leaver is all that is left of it.
    """

    def __init__(self, last: SlotTable, nodes: tuple[str, ...], members: Collection[str]) -> None:
        self.digits = {node: f"{place:x}" for place, node in enumerate(nodes)}
        self._last = last
        self._nodes = nodes
        living = {f"{place:x}": self.digits.get(node, NOBODY) for place, node in enumerate(last.nodes)}
        living |= {f"{place:x}": NOBODY for place, node in enumerate(last.nodes) if node not in members}
        self._rebased = str.maketrans(living)
        self._owners = list(last.owners.translate(self._rebased))
        self._coming = list(last.coming.translate(self._rebased))
        self._leaving = list(last.leaving.translate(self._rebased))

    def give_up(self, serving: Collection[str]) -> None:
        """End the moves whose one party is dead, and those to nodes which may have none; turn back what can be."""
        for slot, (owner, comer, leaver) in enumerate(zip(self._owners, self._coming, self._leaving, strict=True)):
            if comer != NOBODY and (comer not in serving or owner == NOBODY):
                self._owners[slot] = comer if comer in serving else owner
                self._coming[slot] = NOBODY
            elif leaver != NOBODY and owner == NOBODY:
                self._owners[slot], self._leaving[slot] = leaver, NOBODY
            elif leaver in serving and owner not in serving:
                self._owners[slot], self._leaving[slot] = leaver, owner

    def share(self, serving: Mapping[str, int]) -> None:
        """Give what nobody has, and have move what is above a node's quota."""
        rows = zip(self._owners, self._coming, strict=True)
        have = Counter(owner if comer == NOBODY else comer for owner, comer in rows)
        quotas = _quotas(serving, have, SLOTS)
        takers = _Takers({digit: quota - have[digit] for digit, quota in quotas.items()})
        self._give(takers)
        for slot in self._settled():
            owner = self._owners[slot]
            if have[owner] > quotas.get(owner, 0):
                have[owner] -= 1
                self._coming[slot] = takers.next()

    def give(self, takers: Mapping[str, int]) -> None:
        """Give to ``takers`` what nobody has, and leave all else where it is."""
        rows = zip(self._owners, self._coming, strict=True)
        have = Counter(owner if comer == NOBODY else comer for owner, comer in rows)
        total = have[NOBODY] + sum(have[digit] for digit in takers)
        quotas = _quotas(takers, have, total)
        self._give(_Takers({digit: quota - have[digit] for digit, quota in quotas.items()}))

    def _give(self, takers: "_Takers") -> None:
        for slot, owner in enumerate(self._owners):
            if owner == NOBODY:
                self._owners[slot] = takers.next()

    def close(self) -> None:
        """Have nothing begin any more: nobody may serve."""
        for slot in self._settled():
            self._owners[slot], self._leaving[slot] = NOBODY, self._owners[slot]

    def table(self) -> SlotTable:
        """As it stands now; the last one, if it is no other."""
        owners, coming, leaving = "".join(self._owners), "".join(self._coming), "".join(self._leaving)
        last = self._last
        if (last.nodes, last.owners, last.coming, last.leaving) == (self._nodes, owners, coming, leaving):
            return last
        left_before = last.leaving.translate(self._rebased)
        leaves_now = any(now not in (NOBODY, before) for now, before in zip(leaving, left_before, strict=True))
        return SlotTable(
            last.number + 1, self._nodes, owners, coming, leaving, switched=last.switched and not leaves_now
        )

    def _settled(self) -> Iterable[int]:
        return [
            slot
            for slot, (owner, comer, leaver) in enumerate(zip(self._owners, self._coming, self._leaving, strict=True))
            if owner != NOBODY and comer == leaver == NOBODY
        ]


class _Steps:
    """What slots on their way can do next, all nodes having loaded ``table``."""

    def __init__(self, table: SlotTable, busy: Mapping[str, Set[int]], *, is_patient: bool) -> None:
        self._table = table
        self._coming = [slot for slot, comer in enumerate(table.coming) if comer != NOBODY]
        self._leaving = [slot for slot, leaver in enumerate(table.leaving) if leaver != NOBODY]
        self._done = [slot for slot in self._leaving if table.switched and self._is_idle(slot, busy)]
        self._is_due = len(self._done) * 2 >= len(self._leaving) or not is_patient

    @property
    def is_any(self) -> bool:
        """Whether there is one; that all have loaded what slots leave by is one too."""
        return bool(self._coming or (self._done and self._is_due) or (self._leaving and not self._table.switched))

    def table(self) -> SlotTable:
        """The table after them."""
        owners, leaving = list(self._table.owners), list(self._table.leaving)
        for slot in self._done:
            leaving[slot] = NOBODY
        for slot in self._coming:
            owners[slot], leaving[slot] = self._table.coming[slot], owners[slot]
        return SlotTable(
            self._table.number + 1,
            self._table.nodes,
            "".join(owners),
            NOBODY * SLOTS,
            "".join(leaving),
            switched=not self._coming,
        )

    def _is_idle(self, slot: int, busy: Mapping[str, Set[int]]) -> bool:
        leaver = self._table.leaver(slot)
        return leaver in busy and slot not in busy[leaver]


class _Takers:
    """Whom a slot goes to: the node that lacks most; of several, the first one."""

    def __init__(self, lacking: Mapping[str, int]) -> None:
        self._heap = [(-count, digit) for digit, count in lacking.items() if count > 0]
        heapq.heapify(self._heap)

    def next(self) -> str:
        """Its digit; it lacks one less now. All quotas together are what is shared: somebody lacks what is given."""
        negative, digit = self._heap[0]
        if negative == -1:
            heapq.heappop(self._heap)
        else:
            heapq.heapreplace(self._heap, (negative + 1, digit))
        return digit


def _serving(
    members: Mapping[str, Candidate], groups: tuple[tuple[str, ...], ...], nodes: tuple[str, ...]
) -> Mapping[str, int]:
    """The nodes to which what begins may go, with their weights, in the order of ``nodes``; empty: none."""
    for group in groups:
        weights = {node: members[node].weight for node in nodes if node in group and node in members}
        able = {node: weight for node, weight in weights.items() if weight > 0}
        if able:
            return able
    return {}


def _quotas(weights: Mapping[str, int], have: Mapping[str, int], slots: int) -> Mapping[str, int]:
    """How many slots each is to have: its exact share of ``slots``, rounded down or up, all together that many.

    Rounded up are those that have more than the lower number already, so that the fewest move; then the largest
    remainders; then the first ones.
    """
    total = sum(weights.values())
    lower = {node: slots * weight // total for node, weight in weights.items()}
    remainders = {node: slots * weight % total for node, weight in weights.items()}
    ranked = sorted(
        (node for node in weights if remainders[node]), key=lambda node: (have[node] <= lower[node], -remainders[node])
    )
    return lower | {node: lower[node] + 1 for node in ranked[: slots - sum(lower.values())]}


def _parties(table: SlotTable) -> Set[str]:
    """The nodes that have to do with a slot on its way."""
    rows = zip(table.owners, table.coming, table.leaving, strict=True)
    digits = {digit for row in rows if row[1:] != (NOBODY, NOBODY) for digit in row} - {NOBODY}
    return {table.nodes[int(digit, 16)] for digit in digits}
