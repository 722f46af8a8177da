"""Who receives for which address: its director, by a key on its agent's lease. Pure.

Any node that is ready may. It answers the network for the address only while the key is its own and its lease holds, or
the others promise (``promising``), and by the very table that etcd has; the kernel ends that in time whatever becomes
of this process. Whoever gives an address up does so on the network first, and then deletes the key.

Each address has its own order of the nodes, so that several addresses are spread over them; where they are not any
more, one is handed over at calm (``spreading``).
"""

from collections.abc import Iterable

from agent.core.commands import ServeUntil
from agent.core.copying import replace
from agent.core.farm import promising, transactions
from agent.core.farm.commands import Direct, Undirect
from agent.core.farm.facts import Hand
from agent.core.farm.limits import EXTEND_AT_LEAST_NS, NEXT_IN_TURN_NS
from agent.core.farm.state import FarmState, Move
from agent.core.farm.transactions import may_commit
from agent.core.limits import KILL_NS, STAND_RESERVE_NS
from agent.core.state import Addr

_DIRECTS = (Addr.ADDING, Addr.HELD)


def may_direct(state: FarmState, address: str, now_ns: int) -> bool:
    """It is the director of ``address``, has time left, and does not give it up."""
    return now_ns < promising.may_until_ns(state, address, now_ns) and not gives_up(state, address, now_ns)


def gives_up(state: FarmState, address: str, now_ns: int) -> bool:
    """It is not to receive for ``address``, or cannot well, or has no link there; and another one may have it."""
    if not state.wants_run:
        return state.view is not None or state.agent_stopping
    if address in state.handing:
        return True
    trouble = state.troubles.get(address)
    if trouble is not None and now_ns < trouble.until_ns:
        return True
    if (
        address not in state.own_macs
    ):  # It receives nothing: whatever else may trouble the others, they can but do more.
        return any(state.is_reached(node, address) for node in state.staying)
    is_unfit = bool(state.app_failed or state.load_failed) or state.out_ns is not None or state.killing is not None
    return is_unfit and any(state.can_receive(node, address) for node in state.staying)


def is_settled(state: FarmState, address: str) -> bool:
    """What this node knows of the table of ``address`` is no older than its own key: no director before wrote since."""
    key, known = state.director(address), state.known.get(address)
    if key is None or state.view is None:
        return False
    return state.view.revision >= key.mod_revision or (known is not None and known.is_whole)


def undirect(state: FarmState, now_ns: int) -> Move | None:
    """Answer for an address no more; the key is another's, or gone, or about to be given up, or its time is over."""
    for address in state.settings.addresses:
        directs = state.phase(address) in _DIRECTS and not may_direct(state, address, now_ns)
        if directs or (address in state.former and _is_left_behind(state, address, now_ns)):
            hands = {**state.hands, address: Hand(Addr.DROPPING, now_ns)}
            return Move(replace(state, hands=hands, former=state.former - {address}), (Undirect(address),))
    return None


def _is_left_behind(state: FarmState, address: str, now_ns: int) -> bool:
    """What a former agent answers for is not to be taken over; as long as its lease may live, that is not known."""
    known = state.view is not None or state.agent_stopping
    return known and (not state.has_key(address) or gives_up(state, address, now_ns))


def stand_down(state: FarmState, now_ns: int) -> Move | None:
    """Delete the key, once this node does not answer for the address; or give it to whom the address is handed over."""
    if not may_commit(state, now_ns) or (state.killing is not None and now_ns < state.killing_since_ns + KILL_NS):
        return None
    for address in state.settings.addresses:
        gone = state.has_key(address) and state.phase(address) is Addr.NONE and address not in state.former
        if gone and gives_up(state, address, now_ns):
            return _let_go(state, address)
    return None


def _let_go(state: FarmState, address: str) -> Move:
    handing = state.handing.get(address)
    if handing is not None and handing.taker in state.staying and state.can_receive(handing.taker, address):
        return transactions.hand_over(state, address, handing.taker)
    return transactions.stand_down(state, address)


def extend(state: FarmState, now_ns: int) -> Move | None:
    """What it answers for lives as long as the lease, or as the others promise."""
    until_ns = _until_ns(state, now_ns)
    if until_ns is None or state.told_until_ns <= until_ns < state.told_until_ns + EXTEND_AT_LEAST_NS:
        return None
    return Move(replace(state, told_until_ns=until_ns), (ServeUntil(until_ns),))


def _until_ns(state: FarmState, now_ns: int) -> int | None:
    """For all that it answers for; ``None``: there is nothing."""
    directed = [address for address, hand in state.hands.items() if hand.phase in _DIRECTS]
    return min((promising.may_until_ns(state, address, now_ns) for address in directed), default=None)


def direct(state: FarmState, now_ns: int) -> Move | None:
    """Answer for an address of which it is the director, when its kernel shares by the table that etcd has."""
    for address in state.settings.addresses:
        table = state.tables.get(address)
        if table is None or state.number(address) != table.number or state.phase(address) is not Addr.NONE:
            continue
        if address not in state.own_macs:
            continue
        due = may_direct(state, address, now_ns) and is_settled(state, address) and state.hold is Addr.HELD
        if due and now_ns + STAND_RESERVE_NS < promising.may_until_ns(state, address, now_ns):
            return _direct(state, address, now_ns)
    return None


def _direct(state: FarmState, address: str, now_ns: int) -> Move:
    hands = {**state.hands, address: Hand(Addr.ADDING, now_ns)}
    after = replace(state, hands=hands, former=state.former - {address})
    until_ns = _until_ns(after, now_ns) or 0
    told = () if until_ns == state.told_until_ns else (ServeUntil(until_ns),)
    command = Direct(address, probed=_is_handed_down(state, address))
    return Move(replace(after, told_until_ns=until_ns), (*told, command))


def _is_handed_down(state: FarmState, address: str) -> bool:
    """The key was a former director's before it was this node's: that one has asked the network, and may answer yet."""
    key = state.director(address)
    return key is not None and key.create_revision != key.mod_revision


def adopt(state: FarmState, now_ns: int) -> Move | None:
    """A former agent of this node was the director: its key goes onto this agent's lease."""
    if not may_stand(state, now_ns):
        return None
    for address in state.settings.addresses:
        former = state.has_key(address) and not state.is_director(address)
        if former and is_free(state, address, now_ns) and not gives_up(state, address, now_ns):
            return transactions.adopt(state, address)
    return None


def stand(state: FarmState, now_ns: int) -> Move | None:
    """Become the director of an address that has none, when it is this node's turn."""
    if not may_stand(state, now_ns):
        return None
    for address in state.absent_ns:
        is_due = now_ns >= _turn_ns(state, address) and is_free(state, address, now_ns)
        if address in state.own_macs and is_due and not gives_up(state, address, now_ns):
            return transactions.stand(state, address)
    return None


def is_free(state: FarmState, address: str, now_ns: int) -> bool:
    """No promise keeps this node from becoming the director of ``address``."""
    return now_ns >= promising.bound_until_ns(state, address)


def may_stand(state: FarmState, now_ns: int) -> bool:
    """It is ready, and has the time to become the director of anything."""
    has_time = state.store_heard and state.lease_holds(now_ns + STAND_RESERVE_NS)
    return state.is_ready and has_time and may_commit(state, now_ns)


def order(state: FarmState, address: str) -> tuple[str, ...]:
    """The nodes, as they stand for ``address`` one after the other."""
    first = state.settings.addresses.index(address) % len(state.nodes)
    return (*state.nodes[first:], *state.nodes[:first])


def _turn_ns(state: FarmState, address: str) -> int:
    """Those that can stand one after the other, in the address's own order."""
    nodes = order(state, address)
    before = sum(state.can_receive(node, address) for node in nodes[: nodes.index(state.node)])
    return max(state.absent_ns[address], state.up_ns or 0) + before * NEXT_IN_TURN_NS


def instants(state: FarmState) -> Iterable[int]:
    """When time alone may change something of all this."""
    yield from (trouble.until_ns for trouble in state.troubles.values())
    if state.killing is not None:
        yield state.killing_since_ns + KILL_NS
    if state.lease is not None and (state.hands or state.serves):
        yield state.lease.deadline_ns
    if state.is_ready:
        yield from (_turn_ns(state, address) for address in state.absent_ns)
