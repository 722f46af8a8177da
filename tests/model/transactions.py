"""What the store does with a transaction: tests its guards at the moment of execution, then changes both keys.

It is the same whether the answer reaches the node, is lost, or the request was on its way for long: a request says
whether the guards on the key and on the record's revision still hold, and the store keeps that up to date.
"""

from collections.abc import Iterator

from tests.model import invariants
from tests.model.draft import Draft
from tests.model.state import RUNS, Budget, Holder, Key, Node, Request, State, Store
from tests.model.world import World, name

OUTCOMES = ("", ", answer lost", ", delayed")


def outcomes(budget: Budget) -> tuple[str, ...]:
    """How a transaction that is sent now may go."""
    return tuple(o for o, left in zip(OUTCOMES, (1, budget.lost, budget.delay), strict=True) if left)


def set_key(draft: Draft, key: Key | None) -> None:
    """The primary key is made or deleted: guards on the one before do not hold any more, nor is anything offered."""
    draft.store = draft.store._replace(key=key, offer=0)
    draft.requests = [r._replace(key=False) for r in draft.requests]


def set_holders(draft: Draft, holders: tuple[Holder, ...]) -> None:
    """The record is written, at a revision of its own."""
    store = draft.store
    draft.store = store._replace(holders=tuple(sorted(holders)), revision=store.revision + 1)


def request_of(draft: Draft, kind: str, n: int, other: int, boot: int = 0) -> Request:
    """What ``n`` sends now, guarded by what stands in the store now."""
    return Request(kind, n, other, True, True, draft.store.epoch, boot or draft.nodes[n].boot)


def execute(world: World, draft: Draft, request: Request) -> bool:
    """The store executes it; whether its guards held."""
    if request.kind == "elect":
        return _elect(world, draft, request)
    if request.kind == "take over":
        return _take_over(world, draft, request)
    return _change(world, draft, request)


def _elect(world: World, draft: Draft, request: Request) -> bool:
    """S1: no primary key, the record as it was read; epoch + 1, this node alone."""
    store, rules, n = draft.store, world.rules, request.node
    if rules.elect_checks_key and store.key is not None:
        return False
    if rules.elect_checks_revision and not request.revision:
        return False
    if rules.tests_in_transaction and not all(_is_registered(draft, x, boot) for x, boot in request.tested):
        return False
    return _promote(world, draft, request, (Holder(n, request.boot),))


def _is_registered(draft: Draft, x: int, boot: int) -> bool:
    """Node ``x`` stands in the store with this boot id; 0: it does not stand there (as soon as that can be)."""
    there = draft.nodes[x].power == RUNS and not draft.store.absent >> x & 1
    return draft.nodes[x].boot == boot if boot else not there


def _take_over(world: World, draft: Draft, request: Request) -> bool:
    """S1: in place of one that has handed over; both stay in the record."""
    store, rules = draft.store, world.rules
    if rules.take_over_checks_key and not (store.key is not None and request.key):
        return False
    if rules.take_over_checks_revision and not request.revision:
        return False
    others = tuple(h for h in store.holders if h.node != request.node)
    # Until the other one is back there is one copy that goes on: for P1 as after a failure.
    draft.client = draft.client._replace(failures=min(2, draft.client.failures + 1))
    return _promote(world, draft, request, (Holder(request.node, request.boot), *others))


def _promote(world: World, draft: Draft, request: Request, holders: tuple[Holder, ...]) -> bool:
    was, n = draft.store.holders, request.node
    invariants.promoted(world, draft, n, was, request.boot, alone=len(holders) == 1)
    draft.store = draft.store._replace(epoch=request.epoch + 1)
    set_holders(draft, holders)
    set_key(draft, Key(n, request.epoch + 1))
    return True


def _change(world: World, draft: Draft, request: Request) -> bool:
    """S2: guarded by the primary's own key, and by the record's revision."""
    store, rules, n, x = draft.store, world.rules, request.node, request.other
    if rules.change_checks_key:
        if store.key != Key(n, request.epoch):
            return False
        if rules.change_checks_own_key and not request.key:
            return False
    if rules.change_checks_revision and not request.revision:
        return False
    kept = tuple(h for h in store.holders if h.node != x)
    set_holders(draft, (*kept, Holder(x, request.boot)) if request.kind == "add" else kept)
    return True


def delayed(world: World, state: State) -> Iterator[tuple[str, Draft]]:
    """Requests that are executed long after they were sent."""
    for i, request in enumerate(state.requests):
        draft = Draft(state)
        del draft.requests[i]
        done = execute(world, draft, request)
        what = request.kind if request.kind in ("elect", "take over") else f"{request.kind} {name(request.other)}"
        yield f"etcd: delayed {what} of {name(request.node)}: {'done' if done else 'refused'}", draft


def is_unsettled(draft: Draft, n: int) -> bool:
    """Whether a transaction by which ``n`` would become primary is without an answer (S3)."""
    return is_unread(draft.store, draft.nodes[n], n) or any(
        r.node == n and r.kind in ("elect", "take over") for r in draft.requests
    )


def is_unread(store: Store, node: Node, n: int) -> bool:
    """``n`` is primary, and does not know it."""
    return store.key is not None and store.key.node == n and store.key.epoch > node.epoch
