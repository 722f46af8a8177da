"""What a farm's nodes promise a director, so that it goes on when etcd does not answer; and until when it may. Pure.

A node that answers the director promises, with each answer, not to direct the address itself for PROMISE_NS from when
the question was sent. It does as long as the key is the director's by the newest it knows, and it neither stands nor
looks for the director. While etcd is silent it promises to whoever asks as the director: without etcd it can take
nothing. It counts its promise from when the question came, which is later.

The director goes on past its lease while its key is its own by the newest *it* knows, and every node that answers has
promised. One that does not answer says nothing: it may be dead; and one that is not ready cannot become the director,
like an agent that has just begun and promises with its second answer. The first other answer without the promise ends
it, and the first question of another director.
"""

from collections.abc import Iterable, Mapping

from agent.core.copying import replace
from agent.core.events import Tag
from agent.core.farm.limits import PROMISE_NS
from agent.core.farm.living import is_unheard
from agent.core.farm.state import FarmState
from agent.core.state import Addr


def promises(state: FarmState, now_ns: int) -> Mapping[str, str]:
    """To whom this node promises not to direct an address, by address."""
    found: dict[str, str] = {}
    for address in state.settings.addresses:
        node = "" if _is_own(state, address) else _director(state, address, now_ns)
        if node:
            found[address] = node
    return found


def _is_own(state: FarmState, address: str) -> bool:
    """It directs the address, or is about to."""
    stands = state.open is not None and state.open.address == address and state.open.commit.tag is Tag.DIRECT
    return stands or state.has_key(address) or address in state.on_the_network


def _director(state: FarmState, address: str, now_ns: int) -> str:
    key = state.director(address)
    named = key.record.node if key is not None and key.record.node in state.peers else ""
    if state.store_heard:
        # One that asks and claims nothing is deaf, or about to begin by its lease: it needs no promise.
        return "" if is_unheard(state, address, now_ns) else named
    since_ns = now_ns - PROMISE_NS
    asking = {n: a.at_ns for n, a in state.asked.items() if address in a.directs and a.at_ns > since_ns}
    return named if named in asking or not asking else max(asking, key=lambda node: asking[node])


def told(state: FarmState, now_ns: int) -> FarmState:
    """``state`` with what it promises from now on; what it promised before binds it to its end."""
    if state.left and not state.former_until_ns:
        state = replace(state, former_until_ns=now_ns + PROMISE_NS)
    new = promises(state, now_ns)
    if new == state.promised:
        return state
    ended = {address: node for address, node in state.promised.items() if new.get(address) != node}
    kept = {pair: until_ns for pair, until_ns in state.owed.items() if until_ns > now_ns}
    owed = {(address, node): _end_ns(state, node) for address, node in ended.items()}
    return replace(state, promised=new, owed={**kept, **owed})


def _end_ns(state: FarmState, node: str) -> int:
    asker = state.asked.get(node)
    return 0 if asker is None else asker.at_ns + PROMISE_NS


def bound_until_ns(state: FarmState, address: str) -> int:
    """Until when a promise keeps this node from directing ``address``."""
    node = state.promised.get(address)
    given_ns = 0 if node is None else _end_ns(state, node)
    owed_ns = (until_ns for (owed, _), until_ns in state.owed.items() if owed == address)
    # Where the key is this node's own, its former agent was the one to be promised.
    former_ns = 0 if state.has_key(address) else state.former_until_ns
    return max(former_ns, given_ns, *owed_ns)


def may_until_ns(state: FarmState, address: str, now_ns: int) -> int:
    """Until when this node may direct ``address``: to its lease's end, or for longer by what the others promise."""
    if state.lease is None or not state.is_director(address):
        return 0
    return max(state.lease.deadline_ns, _promised_until_ns(state, address, now_ns))


def _promised_until_ns(state: FarmState, address: str, now_ns: int) -> int:
    """The earliest end of what it was promised.

    0: somebody who answers does not promise, or directs the address itself; or nobody could answer yet.

    One that has not answered twice is not waited for: its promise would end in the kernel before the next one came.
    """
    dead_after_ns, ends = state.settings.dead_after_ns, list[int]()
    if _claims(state, address, now_ns):
        return 0
    for heard in state.heard.values():
        is_promised = address in heard.answer.promises
        if now_ns < heard.at_ns + dead_after_ns and heard.answer.ready and not is_promised:
            return 0
        if now_ns < heard.at_ns + dead_after_ns // 2 and is_promised:
            ends.append(heard.answer.asked_ns + PROMISE_NS)
    if ends:
        return min(ends)
    could_answer = bool(state.probing) and now_ns >= state.listening_ns + dead_after_ns // 2
    # By itself it goes on, and does not begin again.
    goes_on = state.phase(address) in (Addr.ADDING, Addr.HELD)
    return now_ns + PROMISE_NS if could_answer and goes_on else 0


def is_led(state: FarmState, address: str, now_ns: int) -> bool:
    """Without etcd: some node receives for ``address``; it has asked this one lately, or it is this one."""
    return state.phase(address) is Addr.HELD if state.has_key(address) else _claims(state, address, now_ns)


def _claims(state: FarmState, address: str, now_ns: int) -> bool:
    """Another node directs it: it has said so lately."""
    since_ns = now_ns - state.settings.dead_after_ns
    return any(address in asker.directs and asker.at_ns > since_ns for asker in state.asked.values())


def instants(state: FarmState, now_ns: int) -> Iterable[int]:
    """When time alone may change something of all this."""
    dead_after_ns = state.settings.dead_after_ns
    for address in state.settings.addresses:
        yield bound_until_ns(state, address)
        if state.is_director(address):
            yield may_until_ns(state, address, now_ns)
    if not state.store_heard:
        yield from (asker.at_ns + dead_after_ns for asker in state.asked.values())
        yield from (heard.at_ns + dead_after_ns // 2 for heard in state.heard.values())
