"""What the store does with a transaction of the timed model, and how it may go for the node that sends it."""

from tests.model.serving.draft import Draft, Found
from tests.model.serving.state import GONE, NO_EPOCH, PRIMARY, Bounds, Node, Request, State
from tests.model.world import name

LOST, DELAYED = ", answer lost", ", delayed"
STANDS = ("elect", "take over")
"""The transactions by which a node becomes primary."""


def outcomes(state: State) -> tuple[str, ...]:
    """How a transaction that is sent now may go."""
    return ("", *((LOST,) if state.budget.lost else ()), *((DELAYED,) if state.budget.delay else ()))


def nothing(node: Node, bounds: Bounds) -> Node:
    """As primary it knows nothing, and serves nothing; what it promised stays."""
    return node._replace(
        serves=False, lease=0, renewing=None, promised=(0,) * bounds.nodes, holders=0, unknown=0, settled=0, offered=0,
        frozen=False, told=0,
    )  # fmt: skip


def sent(bounds: Bounds, draft: Draft, request: Request, outcome: str, text: str) -> Found:
    """A transaction goes to the store."""
    n = request.node
    if outcome is DELAYED:
        draft.spend("delay")
        draft.requests.append(request)
    elif not execute(bounds, draft, request):
        return
    elif outcome is LOST:
        draft.spend("lost")
    elif request.kind in STANDS:
        become_primary(bounds, draft, n)
        draft.node(n, lease=bounds.ttl)
    yield text + outcome, draft


def become_primary(bounds: Bounds, draft: Draft, n: int) -> None:
    """It knows that the key is its own; it does not serve yet."""
    store = draft.store
    assert store.key is not None
    after = nothing(draft.nodes[n], bounds)
    if store.holders != 1 << n:
        # A hand-over: the one that it promised has frozen, and its place is taken.
        after = after._replace(bound=0, bound_epoch=NO_EPOCH)
    draft.nodes[n] = after._replace(role=PRIMARY, epoch=store.key[1], holders=store.holders, settled=store.revision)


def is_unread(state: State, n: int) -> bool:
    """It is primary, and has had no answer that says so."""
    key = state.store.key
    return key is not None and key[0] == n and key[1] > state.nodes[n].epoch


def is_unsettled(state: State, n: int) -> bool:
    """A transaction by which it becomes primary is without an answer.

    Of a process that is gone, too: it promises over a stream that begins once the record has moved since.
    """
    return is_unread(state, n) or any(r.node == n and r.kind in STANDS for r in state.requests)


def execute(bounds: Bounds, draft: Draft, request: Request) -> bool:
    """The store executes it; whether its guards held."""
    store, rules, n, x = draft.store, bounds.rules, request.node, request.other
    kind = request.kind
    if kind == "elect":
        if (store.key is not None and rules.elect_checks_key) or (not request.revision and rules.elect_checks_revision):
            return False
        draft.store = store._replace(epoch=request.epoch + 1, last=n)
        draft.set_record(1 << n)
        draft.set_key((n, request.epoch + 1), bounds.ttl)
        return True
    if (not request.key or store.key is None) and rules.change_checks_key:
        return False
    if kind == "take over":
        if not request.revision:
            return False
        draft.store = store._replace(epoch=request.epoch + 1, last=n)
        draft.set_record(store.holders)
        draft.set_key((n, request.epoch + 1), bounds.ttl)
    elif kind == "release":
        draft.store = store._replace(released=request.epoch)
        draft.set_record(store.holders)
        draft.set_key(None)
        for promised, node in enumerate(draft.nodes):
            if node.bound_epoch == request.epoch:
                draft.node(promised, bound=0, bound_epoch=NO_EPOCH)
    else:
        if not request.revision and rules.change_checks_revision:
            return False
        draft.set_record(store.holders | 1 << x if kind == "add" else store.holders & ~(1 << x))
    return True


def delayed(bounds: Bounds, state: State) -> Found:
    for i, request in enumerate(state.requests):
        draft = Draft(state)
        del draft.requests[i]
        done = execute(bounds, draft, request)
        if done and request.kind in STANDS and request.other == GONE:
            draft.node(request.node, epoch=request.epoch + 1)
        yield f"etcd: delayed {request.kind} of {name(request.node)}: {'done' if done else 'refused'}", draft
