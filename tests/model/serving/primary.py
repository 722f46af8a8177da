"""What a primary does in the timed model: its right to serve, its changes of the record, its place."""

from tests.model.serving.draft import Draft, Found, limit
from tests.model.serving.state import WAITS, Bounds, Node, Question, Request, State
from tests.model.serving.transactions import nothing, outcomes, sent
from tests.model.world import name


def actions(bounds: Bounds, state: State, n: int) -> Found:
    """All that ``n``, which is primary, may do now."""
    yield from _renew(bounds, state, n)
    yield from _ask(bounds, state, n)
    yield from _serve(bounds, state, n)
    yield from _resume(bounds, state, n)
    yield from _change(bounds, state, n)
    yield from _offer(bounds, state, n)
    yield from _leave(bounds, state, n)


def _renew(bounds: Bounds, state: State, n: int) -> Found:
    node, store = state.nodes[n], state.store
    if store.key == (n, node.epoch):
        if (store.lease, node.lease) != (bounds.ttl, bounds.ttl):
            draft = Draft(state)
            draft.store = store._replace(lease=bounds.ttl)
            draft.node(n, lease=bounds.ttl, renewing=None)
            yield f"{name(n)}: renews its lease", draft
        if state.budget.slow and node.renewing is None:
            draft = Draft(state)
            draft.spend("slow")
            draft.store = store._replace(lease=bounds.ttl)
            draft.node(n, renewing=0)
            yield f"{name(n)}: renews its lease, the answer is on its way", draft
    if node.renewing is not None:
        draft = Draft(state)
        left = bounds.ttl - (node.renewing if bounds.rules.lease_from_sending else 0)
        draft.node(n, lease=max(node.lease, left), renewing=None)
        yield f"{name(n)}: hears that its lease was renewed", draft


def _ask(bounds: Bounds, state: State, n: int) -> Found:
    node = state.nodes[n]
    for x in range(bounds.nodes):
        if x == n or not (node.holders | node.unknown) >> x & 1:
            continue
        at = n * bounds.nodes + x
        question = state.questions[at]
        if question is None:
            draft = Draft(state)
            draft.questions[at] = Question(node.epoch, 0, False)
            yield f"{name(n)}: asks {name(x)} for a promise", draft
        elif question.answered:
            draft = Draft(state)
            draft.questions[at] = None
            left = bounds.promise - (question.age if bounds.rules.promise_from_asking else 0)
            promised = list(node.promised)
            promised[x] = max(promised[x], left)
            draft.node(n, promised=tuple(promised))
            yield f"{name(n)}: hears the promise of {name(x)}", draft


def _serve(bounds: Bounds, state: State, n: int) -> Found:
    """It begins to serve once its own promises have run out."""
    node = state.nodes[n]
    if node.serves or node.frozen or limit(bounds, node, n) == 0:
        return
    if node.bound and bounds.rules.serves_after_promises:
        return
    draft = Draft(state)
    draft.node(n, serves=True)
    yield f"{name(n)}: serves epoch {node.epoch}", draft


def _resume(bounds: Bounds, state: State, n: int) -> Found:
    node, store, rules = state.nodes[n], state.store, bounds.rules
    if store.key == (n, node.epoch) or (store.key is not None and rules.resume_checks_key):
        return
    if not node.settled and rules.resume_checks_revision:
        return
    draft = Draft(state)
    draft.store = store._replace(epoch=node.epoch)
    draft.set_key((n, node.epoch), bounds.ttl)
    if rules.resume_rewrites:
        draft.set_record(store.holders)
    draft.node(
        n, lease=bounds.ttl, settled=draft.store.revision, holders=store.holders, unknown=0, offered=0, frozen=False
    )
    yield f"{name(n)}: resumes epoch {node.epoch}", draft


def _change(bounds: Bounds, state: State, n: int) -> Found:
    """Drops who is listed, adds who is not; writes the record anew after one without an answer (S6)."""
    node, store = state.nodes[n], state.store
    if node.unknown:
        if store.key == (n, node.epoch) and node.settled | node.unknown:
            for holders in (node.holders, node.holders ^ node.unknown):
                draft = Draft(state)
                draft.set_record(holders)
                draft.node(n, unknown=0, holders=holders, settled=draft.store.revision)
                yield f"{name(n)}: writes the record anew: {listing(holders)}", draft
            if not node.settled:
                # It has moved, so that the change was executed or never will be.
                draft = Draft(state)
                draft.node(n, unknown=0, holders=store.holders, settled=store.revision)
                yield f"{name(n)}: reads the record: {listing(store.holders)}", draft
        return
    if not state.budget.change or node.frozen:
        return
    for x in range(bounds.nodes):
        if x == n:
            continue
        kind = "drop" if node.holders >> x & 1 else "add"
        if kind == "add" and not _may_serve_beside(bounds, node, x):
            continue
        request = Request(kind, n, x, store.key == (n, node.epoch), bool(node.settled), node.epoch)
        for outcome in outcomes(state):
            draft = Draft(state)
            draft.spend("change")
            for text, after in sent(bounds, draft, request, outcome, f"{name(n)}: {kind}s {name(x)}"):
                if outcome:
                    after.node(n, unknown=1 << x)
                else:
                    after.node(n, holders=after.store.holders, settled=after.store.revision)
                yield text, after


def _may_serve_beside(bounds: Bounds, node: Node, x: int) -> bool:
    return node.told <= max(node.lease, node.promised[x]) or not bounds.rules.adds_within_told


def listing(holders: int) -> str:
    """The nodes, for people."""
    return " ".join(name(x) for x in range(8) if holders >> x & 1)


def _offer(bounds: Bounds, state: State, n: int) -> Found:
    """Frozen: its application is stopped. It stays so until the offer is taken, or the record written anew."""
    node, rules = state.nodes[n], bounds.rules
    holds = state.store.key == (n, node.epoch)
    if state.budget.swap and holds and not node.offered and not node.unknown and node.settled:
        for x in range(bounds.nodes):
            if x != n and node.holders >> x & 1:
                draft = Draft(state)
                draft.spend("swap")
                frozen = rules.offers_frozen
                draft.node(n, offered=x + 1, frozen=frozen, serves=node.serves and not frozen)
                yield f"{name(n)}: is frozen, and offers its place to {name(x)}", draft
    if node.frozen and holds:
        draft = Draft(state)
        if rules.withdraws_by_writing:
            draft.set_record(node.holders)
        draft.node(
            n, frozen=False, settled=draft.store.revision, offered=0 if rules.withdraws_by_writing else node.offered
        )
        yield f"{name(n)}: withdraws its offer", draft


def _leave(bounds: Bounds, state: State, n: int) -> Found:
    """It has no right to serve, or its place is another one's: it is a node like the others."""
    node, key = state.nodes[n], state.store.key
    if key == (n, node.epoch) and (node.serves or limit(bounds, node, n) != 0):
        return
    if key is None and node.serves:
        return
    draft = Draft(state)
    draft.nodes[n] = nothing(node, bounds)._replace(role=WAITS)
    yield f"{name(n)}: is primary no more", draft
