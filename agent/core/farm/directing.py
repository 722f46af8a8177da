"""What a director decides: who lives, and by which table its address is shared next. Pure.

Who lives is ``living``'s business. As long as a node has slots of which that is not known yet, nothing changes.

How a table follows from the last one is ``slots``' business; here it is put into etcd, one after the other, by a
transaction that only the present director's can be. Without etcd no table changes: what is shared by now goes on, and a
dead node's share stays broken until etcd is back. (The director and its members could go on to the next table among
themselves, as what they promise it holds without etcd too; but whoever does not hear it would share by another one.)
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from agent.core.copying import replace
from agent.core.farm import living, parting, slots, suspecting, transactions
from agent.core.farm.commands import Probe
from agent.core.farm.electing import gives_up, is_settled, may_direct
from agent.core.farm.limits import LOOK_NS, SETTLE_NS
from agent.core.farm.living import is_alive, is_away, is_unknown
from agent.core.farm.slots import Candidate
from agent.core.farm.state import NO_SLOTS, FarmState, Move
from agent.core.farm.transactions import may_commit
from manager.model.farm import NOBODY, SlotTable, empty_table

_Members = tuple[tuple[str, Candidate], ...]
_TABLES_KEPT = 64


def probe(state: FarmState, now_ns: int) -> Move | None:
    """Ask all other nodes whether they live, while this node directs anything, or takes a director for dead.

    And on until there is another one: who comes after a director whose lease has ended knows then that its machine was
    there all the time without its agent.

    It claims what it directs only while it hears anybody: those who are asked could replace one that is deaf.
    """
    mine = [a for a in state.settings.addresses if state.is_director(a) and not gives_up(state, a, now_ns)]
    goes_on = bool(state.probing and state.absent_ns) and state.is_ready
    wanted = _endpoints(state) if mine or goes_on or suspecting.suspects(state, now_ns) else {}
    directs = state.on_the_network if wanted and not _is_deaf(state, now_ns) else {}
    if wanted == state.probing and (directs == state.told_directs or not wanted):
        return None
    after = replace(state, probing=wanted, told_directs=directs)
    if not state.probing or not wanted:
        after = replace(after, probing_ns=now_ns, heard={}, away={}, lost=frozenset(), join_after_ns={})
    return Move(after, (Probe(wanted, directs),))


def _is_deaf(state: FarmState, now_ns: int) -> bool:
    """For as long as makes a node a dead one it has heard neither etcd nor any node."""
    return all(now_ns >= at_ns + state.settings.dead_after_ns for at_ns in _anything_heard_ns(state))


def _anything_heard_ns(state: FarmState) -> Iterable[int]:
    yield state.store_heard_ns
    yield from (heard.at_ns for heard in state.heard.values())
    yield from (asker.at_ns for asker in state.asked.values())


def _endpoints(state: FarmState) -> Mapping[str, str]:
    """Where each is registered; or was, when it was there last: its lease may end while it serves."""
    found: dict[str, str] = {}
    view = state.view
    if view is None:
        return found
    for node in state.peers:
        registered, known = view.common.nodes.get(node), view.common.known.get(node)
        at = registered.record.addresses if registered is not None else ()
        last = known.addresses if known is not None else ()
        endpoint = next(iter(at), "") or state.probing.get(node, "") or next(iter(last), "")
        if endpoint:
            found[node] = endpoint
    return found


@lru_cache(maxsize=_TABLES_KEPT)
def parties(table: SlotTable) -> frozenset[str]:
    """The nodes that ``table`` names: owners, and those that will be or were."""
    digits = {*table.owners, *table.coming, *table.leaving} - {NOBODY}
    return frozenset(table.nodes[int(digit, 16)] for digit in digits)


def members(state: FarmState, address: str, table: SlotTable, now_ns: int) -> Mapping[str, Candidate]:
    """The nodes that live, and those with slots by ``table`` whose agents are away.

    One that was lost lately is left out unless it has slots by ``table`` still; or nobody else may have any.
    """
    named = parties(table)
    present = {n: Candidate(_weight(state, n)) for n in state.nodes if is_alive(state, n, address, now_ns)}
    steady = {n: c for n, c in present.items() if n in named or now_ns >= state.join_after_ns.get(n, 0)}
    chosen = steady if any(c.weight for c in steady.values()) else present
    return chosen | {n: Candidate(_weight(state, n), away=True) for n in named if is_away(state, n, now_ns)}


def _weight(state: FarmState, node: str) -> int:
    """0 while its traffic is closed, or it is on its way out: as it says itself, like all else by which slots move."""
    heard = state.heard.get(node)
    is_open = parting.takes_new(state) if node == state.node else heard is not None and heard.answer.is_open
    return state.weight(node) if is_open else 0


def next_table(state: FarmState, address: str, now_ns: int) -> SlotTable | None:
    """The table that is due for ``address``; ``None``: the present one stays."""
    if not may_direct(state, address, now_ns) or not is_settled(state, address) or not state.is_readable(address):
        return None
    stored = state.tables.get(address)
    highest = max(_numbers(state, address).values(), default=0)
    if stored is None or stored.number < highest:
        return _anew(state, address, highest, now_ns)
    if any(is_unknown(state, node, address, now_ns) for node in parties(stored)):
        return None
    present = members(state, address, stored, now_ns)
    following = _follow(stored, tuple(present.items()), state.settings.config.groups, state.nodes)
    if following is not None or stored.is_settled:
        return following
    numbers, busy = _numbers(state, address), _busy(state, address)
    is_patient = now_ns < state.tables_ns[address] + SETTLE_NS
    following = slots.advance(stored, state.node, present, numbers, busy, is_patient=is_patient)
    return None if following is stored else following


@lru_cache(maxsize=_TABLES_KEPT)
def _follow(
    last: SlotTable, present: _Members, groups: tuple[tuple[str, ...], ...], nodes: tuple[str, ...]
) -> SlotTable | None:
    """``None``: the same. Asked with each answer to a probe, and mostly with nothing new, so the last ones are kept."""
    following = slots.next_table(last, dict(present), groups, nodes)
    return None if following is last else following


def _anew(state: FarmState, address: str, highest: int, now_ns: int) -> SlotTable | None:
    """There is no table; or kernels have a newer one than etcd, which was restored: what this node's has goes on."""
    own, stored = (state.loaded or {}).get(address), state.tables.get(address)
    last = stored if own is None or (stored is not None and stored.number > own.number) else own
    if last is not None:
        return replace(last, number=highest + 1, switched=False)  # Who has loaded what is found out anew.
    nothing = empty_table(state.nodes)
    present = members(state, address, nothing, now_ns)
    first = _follow(nothing, tuple(present.items()), state.settings.config.groups, state.nodes)
    return replace(first or nothing, number=highest + 1)


def _numbers(state: FarmState, address: str) -> Mapping[str, int]:
    """Which table the kernel of each node has that has answered, and this one's."""
    said = {node: heard.answer.numbers.get(address, 0) for node, heard in state.heard.items()}
    return {**said, state.node: state.number(address)}


def _busy(state: FarmState, address: str) -> Mapping[str, frozenset[int]]:
    """As it was told with the numbers."""
    said = {node: heard.answer.busy.get(address, NO_SLOTS) for node, heard in state.heard.items()}
    return {**said, state.node: state.busy(address)}


def awaited(state: FarmState, address: str, now_ns: int) -> Mapping[str, int]:
    """Those whose rules keep what is on its way from going on, with the number of the table that they have instead."""
    table = state.tables.get(address)
    if table is None or table.is_settled or not may_direct(state, address, now_ns):
        return {}
    numbers = _numbers(state, address)
    nodes = {state.node, *members(state, address, table, now_ns)}
    return {node: numbers.get(node, 0) for node in sorted(nodes) if numbers.get(node, 0) != table.number}


def write_table(state: FarmState, now_ns: int) -> Move | None:
    """Have etcd take the next table, of one address after the other."""
    if not may_commit(state, now_ns) or not state.store_heard:
        return None
    for address in state.settings.addresses:
        following = next_table(state, address, now_ns)
        if following is not None:
            return transactions.write_table(state, address, following)
    return None


def instants(state: FarmState, now_ns: int) -> Iterable[int]:
    """When time alone may change something of all this."""
    if not state.probing:
        return
    yield (now_ns // LOOK_NS + 1) * LOOK_NS
    yield from living.instants(state)
    yield from (at_ns + state.settings.dead_after_ns for at_ns in _anything_heard_ns(state))
    yield from state.join_after_ns.values()
