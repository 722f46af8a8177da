"""How a primary changes the in-sync record: adds, drops, and settles what had no answer (S2, S6)."""

from collections.abc import Iterator

from tests.model import transactions
from tests.model.draft import Draft
from tests.model.place import holds_key
from tests.model.state import JOINED, SYNC, Holder, Primary, Request, State
from tests.model.tracking import to_disk, to_memory
from tests.model.world import World, name

Found = Iterator[tuple[str, Draft]]


def actions(world: World, state: State, n: int) -> Found:
    """All that ``n``, which serves, may do now about the record."""
    primary = state.nodes[n].primary
    assert primary is not None
    for x in world.others[n]:
        yield from _add(world, state, n, x, primary)
        yield from _drop(world, state, n, x, primary)
    yield from _settle(world, state, n, primary)


def _send(world: World, state: State, n: int, request: Request, what: str) -> Iterator[tuple[str, Draft, bool]]:
    """The transaction, as it may go; the last says whether it is settled."""
    kind, x = request.kind, request.other
    for outcome in transactions.outcomes(state.budget):
        draft = Draft(state)
        if kind == "drop":
            draft.nodes[n] = to_disk(world, draft.nodes[n], x)
        if outcome == ", delayed":
            draft.spend("delay")
            draft.requests.append(request)
        elif not transactions.execute(world, draft, request):
            continue
        elif outcome:
            draft.spend("lost")
        if outcome:
            primary = draft.nodes[n].primary
            assert primary is not None
            draft.nodes[n] = draft.nodes[n]._replace(primary=primary._replace(unknown=(kind, x)))
        yield f"{name(n)}: {what} {name(x)}{outcome}", draft, not outcome


def _add(world: World, state: State, n: int, x: int, primary: Primary) -> Found:
    stream = state.streams[n * world.nodes + x]
    if stream is None or not stream.near or stream.mode != JOINED or primary.unknown is not None or primary.frozen:
        return
    durable = primary.heard[x] >= stream.join or not world.rules.join_point_durable
    if stream.applied < stream.join or not durable:
        return
    request = transactions.request_of(Draft(state), "add", n, x, stream.boot)._replace(epoch=state.nodes[n].epoch)
    request = request._replace(revision=bool(primary.settled), key=holds_key(state, n))
    for text, draft, settled in _send(world, state, n, request, "adds"):
        if settled:
            added(world, draft, n, x)
        yield text, draft


def added(world: World, draft: Draft, n: int, x: int) -> None:
    """The record lists ``x``, settled: from here on it is tracked in memory."""
    node = to_memory(world, draft.nodes[n], x)
    primary = node.primary
    assert primary is not None
    after = primary._replace(required=primary.required | 1 << x, unknown=None, settled=draft.store.revision)
    draft.nodes[n] = node._replace(primary=after)
    stream = draft.streams[n * world.nodes + x]
    if stream is not None and stream.near:
        draft.streams[n * world.nodes + x] = stream._replace(mode=SYNC)


def dropped(draft: Draft, n: int, x: int) -> None:
    """The record does not list ``x``, settled."""
    node = draft.nodes[n]
    primary = node.primary
    assert primary is not None
    after = primary._replace(required=primary.required & ~(1 << x), unknown=None, settled=draft.store.revision)
    draft.nodes[n] = node._replace(primary=after)


def _drop(world: World, state: State, n: int, x: int, primary: Primary) -> Found:
    stream = state.streams[n * world.nodes + x]
    open_here = stream is not None and stream.near
    if not primary.required >> x & 1 or open_here or primary.unknown is not None or primary.frozen:
        return
    request = transactions.request_of(Draft(state), "drop", n, x)._replace(epoch=state.nodes[n].epoch)
    request = request._replace(revision=bool(primary.settled), key=holds_key(state, n))
    for text, draft, settled in _send(world, state, n, request, "drops"):
        if settled or not world.rules.holds_until_settled:
            unknown = draft.nodes[n].primary.unknown  # type: ignore[union-attr]
            dropped(draft, n, x)
            if not settled:
                node = draft.nodes[n]
                draft.nodes[n] = node._replace(primary=node.primary._replace(unknown=unknown))  # type: ignore[union-attr]
        yield text, draft


def _settle(world: World, state: State, n: int, primary: Primary) -> Found:
    """S6: what has no answer may be executed later; the record is written anew, so that it cannot succeed."""
    if primary.unknown is None:
        return
    kind, x = primary.unknown
    rules = world.rules
    if not rules.unknown_is_not_failed:
        draft = Draft(state)
        if kind == "drop":
            dropped(draft, n, x)
        else:
            draft.nodes[n] = state.nodes[n]._replace(primary=primary._replace(unknown=None))
        yield f"{name(n)}: takes it that {kind} {name(x)} was {'done' if kind == 'drop' else 'not done'}", draft
        return
    listed = any(h.node == x for h in state.store.holders)
    if not rules.settles_by_writing:
        if state.store.epoch == state.nodes[n].epoch:
            draft = Draft(state)
            (_write_in if listed else _write_out)(world, draft, n, x, write=False)
            yield f"{name(n)}: reads that {name(x)} is {'in' if listed else 'not in'} the record", draft
        return
    if not holds_key(state, n):
        return
    draft = Draft(state)
    if kind == "drop":
        draft.nodes[n] = to_disk(world, draft.nodes[n], x)
    _write_out(world, draft, n, x, write=True)
    yield f"{name(n)}: writes the record anew without {name(x)}", draft
    stream = state.streams[n * world.nodes + x]
    if kind == "add" and stream is not None and stream.near and stream.mode == JOINED:
        draft = Draft(state)
        _write_in(world, draft, n, x, write=True)
        yield f"{name(n)}: writes the record anew with {name(x)}", draft


def _write_out(world: World, draft: Draft, n: int, x: int, *, write: bool) -> None:
    if write:
        transactions.set_holders(draft, tuple(h for h in draft.store.holders if h.node != x))
    dropped(draft, n, x)
    stream = draft.streams[n * world.nodes + x]
    if stream is not None and write:
        draft.streams[n * world.nodes + x] = stream._replace(near=False)


def _write_in(world: World, draft: Draft, n: int, x: int, *, write: bool) -> None:
    stream = draft.streams[n * world.nodes + x]
    if write and stream is not None:
        kept = tuple(h for h in draft.store.holders if h.node != x)
        transactions.set_holders(draft, (*kept, Holder(x, stream.boot)))
    added(world, draft, n, x)
