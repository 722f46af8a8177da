"""What a primary does about its place: gives it up, resumes it, offers it to another one (S1)."""

from collections.abc import Iterator

from tests.model import invariants, transactions
from tests.model.draft import Draft
from tests.model.state import ASKED, DOOMED, UNCERTAIN, WAITS, Key, Primary, State
from tests.model.world import World, name

Found = Iterator[tuple[str, Draft]]


def actions(world: World, state: State, n: int) -> Found:
    """All that ``n``, which serves, may do now about its place."""
    primary = state.nodes[n].primary
    assert primary is not None
    yield from _give_up(world, state, n)
    yield from _resume(world, state, n, primary)
    yield from _offer(world, state, n, primary)
    yield from _withdraw(world, state, n, primary)


def holds_key(state: State, n: int) -> bool:
    """The primary key is this node's own, of the epoch that it serves."""
    return state.store.key == Key(n, state.nodes[n].epoch)


def stop_serving(draft: Draft, world: World, n: int) -> None:
    """It is primary no more: what it has under way fails, and nobody will know of it."""
    node = draft.nodes[n]
    status = list(draft.client.status)
    for pending in node.primary.pending if node.primary is not None else ():
        if status[pending.number - 1] in (ASKED, DOOMED):
            status[pending.number - 1] = UNCERTAIN
    draft.client = draft.client._replace(status=tuple(status))
    nothing = (None,) * world.nodes
    draft.nodes[n] = node._replace(role=WAITS, primary=None, place=None, lists=nothing)
    draft.close_near(world, n)


def _give_up(world: World, state: State, n: int) -> Found:
    """Its key is gone, or another's: it ends its process, and what was under way fails."""
    if not holds_key(state, n):
        draft = Draft(state)
        stop_serving(draft, world, n)
        yield f"{name(n)}: sees that its key is gone, stops", draft


def _resume(world: World, state: State, n: int, primary: Primary) -> Found:
    """S1: its key ended while it was cut off, and nobody stood: the same epoch, the record written unchanged."""
    store, node, rules = state.store, state.nodes[n], world.rules
    if store.key is not None or not (primary.settled or not rules.resume_checks_revision):
        return
    draft = Draft(state)
    draft.store = store._replace(epoch=node.epoch)
    transactions.set_key(draft, Key(n, node.epoch))
    holders = store.holders
    if not rules.resume_checks_revision:
        invariants.promoted(world, draft, n, holders, node.boot, alone=False)
    if not rules.keeps_boot:
        holders = tuple(h._replace(boot=state.nodes[h.node].boot) for h in holders)
    if rules.resume_rewrites:
        transactions.set_holders(draft, holders)
    after = primary._replace(settled=draft.store.revision, unknown=None, frozen=False, offered=0)
    draft.nodes[n] = draft.nodes[n]._replace(primary=after)
    yield f"{name(n)}: resumes epoch {node.epoch}", draft


def _offer(world: World, state: State, n: int, primary: Primary) -> Found:
    """S1, hand over: writes are frozen, the stream is drained and applied at both, the place is offered."""
    if not state.budget.swap or primary.offered or primary.unknown is not None or not holds_key(state, n):
        return
    if primary.pending and world.rules.offers_drained:
        return
    for x in world.others[n]:
        stream = state.streams[n * world.nodes + x]
        if not primary.required >> x & 1 or stream is None or not stream.near or not primary.settled:
            continue
        if world.rules.offers_drained and stream.applied < primary.issued:
            continue
        draft = Draft(state)
        draft.spend("swap", failure=False)
        draft.store = state.store._replace(offer=x + 1)
        draft.nodes[n] = state.nodes[n]._replace(primary=primary._replace(frozen=True, offered=x + 1))
        yield f"{name(n)}: is frozen, and offers its place to {name(x)}", draft


def _withdraw(world: World, state: State, n: int, primary: Primary) -> Found:
    """The offer ends by the record's being written anew: an answer to it can no longer succeed."""
    if not primary.frozen or not holds_key(state, n):
        return
    draft = Draft(state)
    offered = primary.offered
    if world.rules.withdraws_by_writing:
        transactions.set_holders(draft, state.store.holders)
        draft.store = draft.store._replace(offer=0)
        offered = 0
    # Whoever has read the offer goes by it, however late: it is gone for all only once its guard cannot hold.
    after = primary._replace(frozen=False, offered=offered, settled=draft.store.revision)
    draft.nodes[n] = state.nodes[n]._replace(primary=after)
    yield f"{name(n)}: withdraws its offer, and goes on", draft
