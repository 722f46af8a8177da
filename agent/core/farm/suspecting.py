"""When a director is dead, so that another node takes its key before its lease has ended. Pure.

A member that is not asked by the director for a while asks all other nodes, the director too. It takes the key when,
for as long as makes any node a dead one, the director has neither answered nor asked as one that directs (it claims
nothing when it hears nobody); no other node that answers was
asked by it lately; its machine does not say that it lives without its agent (then the lease decides, and what the
kernel has goes on); and its registration was not renewed in etcd. The transaction fails if it has been since: what this
node has seen of etcd may be old. Whether the director's kernel still answers the network nobody can know: that of a
frozen agent does, until its lease ends.
"""

from collections.abc import Iterable

from agent.core.farm import electing, transactions
from agent.core.farm.limits import NEXT_IN_TURN_NS, RENEWED_LATELY_NS
from agent.core.farm.living import director_heard_ns, is_alive, is_unheard
from agent.core.farm.state import FarmState, Move


def suspects(state: FarmState, now_ns: int) -> bool:
    """Whether a director was not heard for so long that all are asked whether they live."""
    return any(is_unheard(state, address, now_ns) for address in _watched(state, now_ns))


def take_over(state: FarmState, now_ns: int) -> Move | None:
    """Put the key of a director that is dead on this node's own lease, in its turn."""
    if not electing.may_stand(state, now_ns):
        return None
    for address in _watched(state, now_ns):
        is_due = now_ns >= _turn_ns(state, address, now_ns) and electing.is_free(state, address, now_ns)
        if is_due and _is_dead(state, address, now_ns):
            return transactions.take_over(state, address)
    return None


def _watched(state: FarmState, now_ns: int) -> Iterable[str]:
    """The addresses that another node directs, and whose director this one could be."""
    if not state.is_ready or not state.store_heard or not state.lease_holds(now_ns):
        return
    for address in state.settings.addresses:
        key = state.director(address)
        is_anothers = key is not None and key.record.node in state.peers
        is_fit = address in state.own_macs and state.is_readable(address)
        if is_anothers and is_fit and not electing.gives_up(state, address, now_ns):
            yield address


def _director(state: FarmState, address: str) -> str:
    key = state.director(address)
    return "" if key is None else key.record.node


def _turn_ns(state: FarmState, address: str, now_ns: int) -> int:
    """Those that answer, one after the other, in the address's own order."""
    order = electing.order(state, address)
    before = [n for n in order[: order.index(state.node)] if n != _director(state, address)]
    ahead = sum(is_alive(state, node, address, now_ns) for node in before)
    return director_heard_ns(state, address) + state.settings.dead_after_ns + ahead * NEXT_IN_TURN_NS


def _is_dead(state: FarmState, address: str, now_ns: int) -> bool:
    """By all that this node can know."""
    director, dead_after_ns = _director(state, address), state.settings.dead_after_ns
    was_asked = director in state.probing and now_ns >= state.listening_ns + dead_after_ns // 2
    is_renewed = now_ns < state.renewed_ns.get(director, 0) + RENEWED_LATELY_NS
    if not was_asked or is_renewed or director in state.away:
        return False
    lately_ns = now_ns - dead_after_ns * 3 // 4
    others = [heard for node, heard in state.heard.items() if node != director and now_ns < heard.at_ns + dead_after_ns]
    told = [heard.at_ns - heard.answer.heard_ns[address] for heard in others if address in heard.answer.heard_ns]
    return all(heard_ns <= lately_ns for heard_ns in told)


def instants(state: FarmState, now_ns: int) -> Iterable[int]:
    """When time alone may change something of all this."""
    dead_after_ns = state.settings.dead_after_ns
    for address in _watched(state, now_ns):
        heard_ns = director_heard_ns(state, address)
        yield from (heard_ns + dead_after_ns // 2, heard_ns + dead_after_ns, _turn_ns(state, address, now_ns))
        yield state.renewed_ns.get(_director(state, address), 0) + RENEWED_LATELY_NS
