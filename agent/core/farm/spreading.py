"""How the directors of several addresses come to be spread over the nodes. Pure.

Whoever is there first, or is left when the others die, may direct all addresses; it would do so for ever. So at calm a
node that directs at least two more than another one hands that one an address: :func:`next_hand_over`, of which all
nodes make the same by the same view. Each hand-over brings the numbers closer to each other, so that they come to an
end, which is when no two nodes that may direct differ by more than one; and it is the fewest of them.

It is handed over as an address is given up: off the network first, then the key; but the key goes to the other node in
that very transaction, on its lease. Nobody has to be elected, nor to ask the network. What clients send to the former
director meanwhile it shares by the same table (ADR 12), so that nothing that is open is cut off.

What may keep it from ending well: the other node was lost, or changed, at that moment; then the key stays, and this
node goes on. A transaction without an answer may be executed late: until that is settled this node does not answer for
the address again, and gives the key up for good where the other one cannot have it any more.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from agent.core.copying import replace
from agent.core.farm.directing import awaited, parties
from agent.core.farm.electing import may_direct, order
from agent.core.farm.facts import Handing
from agent.core.farm.limits import HAND_AGAIN_NS
from agent.core.farm.living import is_alive
from agent.core.farm.state import FarmState, Move
from agent.core.farm.transactions import may_commit
from agent.core.state import Addr
from manager.model.farm import NOBODY, SLOTS
from manager.model.states import ModuleState, Readiness, Run


@dataclass(frozen=True, slots=True)
class HandOver:
    """An address is to go from one director to another."""

    address: str
    giver: str
    taker: str


def next_hand_over(
    directors: Mapping[str, str], takers: Mapping[str, Collection[str]], kept: Collection[tuple[str, str]] = ()
) -> HandOver | None:
    """The hand-over that is due; ``None``: they are spread.

    From the one that directs most to the one that directs fewest; of several, the address whose own order names the
    taker earliest.

    Args:
        directors: who directs each address.
        takers: the nodes that each address may be given to, in its own order.
        kept: addresses and nodes to which they are not handed.
    """
    numbers = Counter(directors.values())
    found: list[tuple[int, int, int, HandOver]] = []
    for place, (address, giver) in enumerate(directors.items()):
        for turn, taker in enumerate(takers.get(address, ())):
            gap = numbers[giver] - numbers[taker]
            if gap > 1 and (address, taker) not in kept:
                found.append((-gap, turn, place, HandOver(address, giver, taker)))
    return min(found, key=lambda each: each[:3])[3] if found else None


def hand_over(state: FarmState, now_ns: int) -> Move | None:
    """Begin to hand an address over, when it is this node's turn and all is calm."""
    if not is_calm(state, now_ns) or state.handing or not may_commit(state, now_ns):
        return None
    due = _due(state, now_ns)
    if due is None or not _is_fit(state, due, now_ns):
        return None
    handed_ns = {pair: at_ns for pair, at_ns in state.handed_ns.items() if now_ns < at_ns + HAND_AGAIN_NS}
    return Move(
        replace(
            state,
            handing={due.address: Handing(due.taker)},
            handed_ns={**handed_ns, (due.address, due.taker): now_ns},
        )
    )


def _due(state: FarmState, now_ns: int) -> HandOver | None:
    """This node's turn is one that all see alike; which of its addresses it keeps for a while, it alone knows."""
    directors, takers = _directors(state), _takers(state)
    due = next_hand_over(directors, takers)
    if due is None or due.giver != state.node:
        return None
    due = next_hand_over(directors, takers, _kept(state, now_ns))
    return due if due is not None and due.giver == state.node else None


def is_calm(state: FarmState, now_ns: int) -> bool:
    """Nothing has changed for a while, as far as etcd shows it, which answers; and this node serves."""
    is_well = state.is_ready and state.operation is None and state.store_heard and state.lease_holds(now_ns)
    return is_well and state.calm.picture is not None and now_ns >= _calm_ns(state)


def _calm_ns(state: FarmState) -> int:
    """One that came to nothing may have left all as it was: the next one waits as long as after any other."""
    return max(state.calm.since_ns, state.awake_ns, *state.handed_ns.values()) + state.settings.spread_after_ns


def _directors(state: FarmState) -> Mapping[str, str]:
    keys = {address: state.director(address) for address in state.settings.addresses}
    return {address: key.record.node for address, key in keys.items() if key is not None}


def _takers(state: FarmState) -> Mapping[str, Collection[str]]:
    """Those of the group of the chain that serves; of them, who is ready, has a weight and the address's link."""
    able = {node for node in state.nodes if state.weight(node) and _is_ready(state, node)}
    group = next((group for group in state.settings.config.groups if able.intersection(group)), ())
    serving = able.intersection(group)
    return {
        address: [n for n in order(state, address) if n in serving and state.can_receive(n, address)]
        for address in state.settings.addresses
    }


def _is_ready(state: FarmState, node: str) -> bool:
    member = None if state.view is None else state.view.common.member(node)
    if state.view is None or member is None or state.view.common.wants(node) is not Run.STARTED:
        return False
    return member.state is ModuleState.UP and member.readiness is Readiness.READY


def _kept(state: FarmState, now_ns: int) -> Collection[tuple[str, str]]:
    """Who has lost it since it was handed over by this node is not given it again and again."""
    return {pair for pair, at_ns in state.handed_ns.items() if now_ns < at_ns + HAND_AGAIN_NS}


def _is_fit(state: FarmState, due: HandOver, now_ns: int) -> bool:
    """This node answers for it, the taker has answered, and all whom the table names have loaded it."""
    table = state.tables.get(due.address)
    if table is None or state.phase(due.address) is not Addr.HELD or not may_direct(state, due.address, now_ns):
        return False
    heard = state.heard.get(due.taker)
    has_loaded = heard is not None and heard.answer.numbers.get(due.address) == table.number
    live = all(is_alive(state, node, due.address, now_ns) for node in {*parties(table), due.taker})
    is_still = table.coming == NOBODY * SLOTS and not awaited(state, due.address, now_ns)
    return has_loaded and live and is_still and state.number(due.address) == table.number


def instants(state: FarmState) -> Iterable[int]:
    """When time alone may change something of all this."""
    if state.calm.picture is not None:
        yield _calm_ns(state)
        yield from (at_ns + HAND_AGAIN_NS for at_ns in state.handed_ns.values())
