"""What a node without the key does in the timed model: promises not to stand, stands, takes over."""

from tests.model.serving.draft import Draft, Found
from tests.model.serving.state import DEAD, NO_EPOCH, PRIMARY, Bounds, Request, State
from tests.model.serving.transactions import DELAYED, become_primary, is_unread, is_unsettled, outcomes, sent
from tests.model.world import name


def actions(bounds: Bounds, state: State, n: int) -> Found:
    """All that ``n``, which is not primary, may do now."""
    yield from _promise(bounds, state, n)
    yield from _stand(bounds, state, n)
    yield from _take_over(bounds, state, n)
    yield from _read(bounds, state, n)
    yield from _adopt(bounds, state, n)


def _promise(bounds: Bounds, state: State, n: int) -> Found:
    """A secondary promises not to stand against the primary of this epoch."""
    node = state.nodes[n]
    if is_unsettled(state, n) and bounds.rules.unsettled_promises_nothing:
        return
    for p in range(bounds.nodes):
        question = state.questions[p * bounds.nodes + n]
        if question is None or question.answered or question.epoch < node.epoch:
            continue
        draft = Draft(state)
        draft.questions[p * bounds.nodes + n] = question._replace(answered=True)
        draft.node(n, bound=bounds.promise, bound_epoch=question.epoch, epoch=question.epoch)
        yield f"{name(n)}: promises {name(p)} not to stand", draft


def is_bound(bounds: Bounds, state: State, n: int) -> bool:
    """Its promise holds: it is for this epoch, and that epoch's primary has not given up its place itself.

    What a former agent promised is not known; but this epoch's primary has promised nobody anything in it.
    """
    node = state.nodes[n]
    if not bounds.rules.keeps_promise or is_released(bounds, state):
        return False
    former = node.former > 0 and state.store.last != n
    return former or (node.bound > 0 and node.bound_epoch == state.store.epoch)


def is_released(bounds: Bounds, state: State) -> bool:
    """The primary of this epoch has given up its place itself."""
    released = state.store.released
    return released == state.store.epoch if bounds.rules.released_for_its_epoch else released > 0


def _stand(bounds: Bounds, state: State, n: int) -> Found:
    store = state.store
    if not store.holders >> n & 1 or is_unread(state, n) or store.epoch >= bounds.epochs:
        return
    if is_bound(bounds, state, n):
        return
    for outcome in outcomes(state):
        if store.key is not None and bounds.rules.elect_checks_key and outcome is not DELAYED:
            continue
        draft = Draft(state)
        if is_released(bounds, state):
            draft.node(n, bound=0, bound_epoch=NO_EPOCH)
        request = Request("elect", n, n, False, True, store.epoch)
        yield from sent(bounds, draft, request, outcome, f"{name(n)}: stands")


def _read(bounds: Bounds, state: State, n: int) -> Found:
    if is_unread(state, n):
        draft = Draft(state)
        become_primary(bounds, draft, n)
        yield f"{name(n)}: reads that it is primary", draft


def _adopt(bounds: Bounds, state: State, n: int) -> Found:
    """What serves on is a former agent's: its key goes onto this one's lease, and the record is written anew (S6)."""
    node, store = state.nodes[n], state.store
    if not node.serves or store.key != (n, node.epoch):
        return
    draft = Draft(state)
    draft.store = store._replace(lease=bounds.ttl)
    draft.set_record(store.holders)
    draft.node(n, role=PRIMARY, lease=bounds.ttl, holders=store.holders, settled=draft.store.revision)
    yield f"{name(n)}: adopts what serves", draft


def _take_over(bounds: Bounds, state: State, n: int) -> Found:
    key = state.store.key
    if key is None or key[0] == n or is_unread(state, n) or state.store.epoch >= bounds.epochs:
        return
    other = state.nodes[key[0]]
    if other.role not in (PRIMARY, DEAD) or other.offered != n + 1:
        return
    for outcome in outcomes(state):
        draft = Draft(state)
        if not bounds.rules.only_taken_ends_promise:
            draft.node(n, bound=0, bound_epoch=NO_EPOCH)
        request = Request("take over", n, key[0], True, True, state.store.epoch)
        yield from sent(bounds, draft, request, outcome, f"{name(n)}: takes over from {name(key[0])}")
