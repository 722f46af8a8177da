"""What may happen in the timed model: time passes, leases end, nodes crash and start, and do what they may."""

from tests.model.serving import primary, secondary
from tests.model.serving.draft import Draft, Found, limit
from tests.model.serving.state import ANY, DEAD, ORPHAN, PRIMARY, WAITS, Bounds, Node, State
from tests.model.serving.transactions import delayed, nothing
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
    yield from delayed(bounds, state)


def _tick(bounds: Bounds, state: State) -> Draft:
    draft = Draft(state)
    draft.store = state.store._replace(lease=max(0, state.store.lease - 1))
    for n, node in enumerate(state.nodes):
        renewing = None if node.renewing is None or node.renewing + 1 >= bounds.ttl else node.renewing + 1
        after = node._replace(
            lease=max(0, node.lease - 1), renewing=renewing, promised=tuple(max(0, p - 1) for p in node.promised),
            bound=max(0, node.bound - 1), bound_epoch=node.bound_epoch if node.bound > 1 else ANY,
            told=max(0, node.told - 1),
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
        draft.nodes[n] = Node(DEAD, state.nodes[n].epoch, False, 0, None, empty, 0, ANY, 0, 0, 0, 0, False, 0)
        yield f"{name(n)}: crashes", draft
    node = state.nodes[n]
    if state.budget.agent and node.serves:
        draft = Draft(state)
        draft.spend("agent")
        orphan = nothing(node, bounds)._replace(role=ORPHAN, serves=True, told=node.told, bound=0, bound_epoch=ANY)
        draft.nodes[n] = orphan
        yield f"{name(n)}: its agent dies, what serves goes on", draft


def _restart(bounds: Bounds, state: State, n: int) -> Found:
    draft = Draft(state)
    draft.node(n, role=WAITS, bound=bounds.promise if bounds.rules.waits_after_restart else 0)
    yield f"{name(n)}: starts", draft
