"""What may happen in the timed model: time passes, leases end, nodes crash and start, and do what they may."""

from tests.model.serving import primary, secondary
from tests.model.serving.draft import Draft, Found, limit
from tests.model.serving.state import DEAD, GONE, NO_EPOCH, ORPHAN, PRIMARY, WAITS, Bounds, Node, Request, State
from tests.model.serving.transactions import STANDS, delayed, nothing, outcomes, sent
from tests.model.world import name


def actions(bounds: Bounds, state: State) -> Found:
    """All that may happen now."""
    yield "time passes", _tick(bounds, state)
    if state.store.key is not None and state.store.lease == 0:
        draft = Draft(state)
        draft.set_key(None)
        yield f"etcd: the lease of {name(state.store.key[0])} ends", draft
    for n, node in enumerate(state.nodes):
        if node.role in (DEAD, ORPHAN):
            yield from _restart(bounds, state, n)
            continue
        yield from _crash(bounds, state, n)
        if node.role is PRIMARY:
            yield from primary.actions(bounds, state, n)
        else:
            yield from secondary.actions(bounds, state, n)
        yield from _release(bounds, state, n)
    yield from delayed(bounds, state)


def _tick(bounds: Bounds, state: State) -> Draft:
    draft = Draft(state)
    draft.store = state.store._replace(lease=max(0, state.store.lease - 1))
    for n, node in enumerate(state.nodes):
        renewing = None if node.renewing is None or node.renewing + 1 >= bounds.ttl else node.renewing + 1
        after = node._replace(
            lease=max(0, node.lease - 1), renewing=renewing, promised=tuple(max(0, p - 1) for p in node.promised),
            bound=max(0, node.bound - 1), bound_epoch=node.bound_epoch if node.bound > 1 else NO_EPOCH,
            former=max(0, node.former - 1), told=max(0, node.told - 1),
        )  # fmt: skip
        # S7: at the end everything is killed, by its agent or by its warden; what is left begins anew.
        over = limit(bounds, after, n) == 0 if after.role is PRIMARY else after.told == 0
        if after.serves and over and bounds.rules.stops_at_limit:
            role = WAITS if after.role is PRIMARY else after.role
            after = nothing(after, bounds)._replace(role=role)
        draft.nodes[n] = after
    draft.questions = [None if q is None else q._replace(age=q.age + 1) for q in state.questions]
    return draft


def _crash(bounds: Bounds, state: State, n: int) -> Found:
    if state.budget.crash:
        draft = Draft(state)
        draft.spend("crash")
        empty = (0,) * len(state.nodes)
        was = state.nodes[n]
        epoch = max([was.epoch, *(key[1] for key in [state.store.key] if key is not None and key[0] == n)])
        draft.requests = [r._replace(other=GONE) if r.node == n and r.kind in STANDS else r for r in draft.requests]
        # By what that process has sent nobody becomes primary; what it has published, as an offer, hangs on its lease.
        draft.nodes[n] = Node(
            DEAD, epoch, False, 0, None, empty, 0, NO_EPOCH, 0, 0, 0, 0, was.offered, False, 0
        )  # fmt: skip
        yield f"{name(n)}: crashes", draft
    node = state.nodes[n]
    if state.budget.agent and node.serves:
        draft = Draft(state)
        draft.spend("agent")
        draft.nodes[n] = nothing(node, bounds)._replace(
            role=ORPHAN, serves=True, told=node.told, bound=0, bound_epoch=NO_EPOCH, former=0
        )
        yield f"{name(n)}: its agent dies, what serves goes on", draft


def _release(bounds: Bounds, state: State, n: int) -> Found:
    """It gives up its place itself: with everything dead, and it says so where it deletes its key.

    So does one that is primary no more, of a key that is still there.
    """
    key = state.store.key
    if not state.budget.release or key is None or key[0] != n:
        return
    request = Request("release", n, n, True, True, key[1])
    for outcome in outcomes(state):
        draft = Draft(state)
        draft.spend("release")
        if bounds.rules.released_when_dead:
            draft.nodes[n] = nothing(state.nodes[n], bounds)._replace(role=WAITS, epoch=key[1])
        yield from sent(bounds, draft, request, outcome, f"{name(n)}: gives up its place")


def _restart(bounds: Bounds, state: State, n: int) -> Found:
    draft = Draft(state)
    draft.node(n, role=WAITS, offered=0, former=bounds.promise if bounds.rules.waits_after_restart else 0)
    yield f"{name(n)}: starts", draft
