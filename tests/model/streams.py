"""The streams that a primary sends: lost, begun with what the other may lack, or taken up again after a cut (S2)."""

from collections.abc import Iterator

from tests.model import transactions
from tests.model.draft import Draft
from tests.model.primary import send, zone_body
from tests.model.secondary import new_secondary
from tests.model.state import (
    COPY_IT,
    COPYING,
    FOLLOWS,
    RUNS,
    SYNC,
    UNHEARD,
    WAITS,
    Frame,
    Key,
    Node,
    Primary,
    State,
    Stream,
)
from tests.model.tracking import from_disk, with_item, zones_of
from tests.model.world import World, name

Found = Iterator[tuple[str, Draft]]


def actions(world: World, state: State, n: int) -> Found:
    """All that ``n``, which serves, may do now about its streams."""
    primary = state.nodes[n].primary
    assert primary is not None
    for x in world.others[n]:
        yield from _lose(world, state, n, x)
        yield from _connect(world, state, n, x, primary)


def _lose(world: World, state: State, n: int, x: int) -> Found:
    at = n * world.nodes + x
    stream = state.streams[at]
    if stream is None or not stream.near or (stream.far and not state.budget.cut):
        return
    draft = Draft(state)
    draft.streams[at] = stream._replace(near=False)
    if stream.far:
        draft.spend("cut")
    yield f"{name(n)}: the stream to {name(x)} is lost", draft


def _connect(world: World, state: State, n: int, x: int, primary: Primary) -> Found:
    """A stream begins: to a node that the record does not list, or (again) to one that lost it a moment ago."""
    node, other = state.nodes[n], state.nodes[x]
    stream = state.streams[n * world.nodes + x]
    if stream is not None and stream.near:
        return
    if other.power != RUNS or other.role is not WAITS or other.epoch > node.epoch:
        return
    if any(s is not None and s.far for s in state.streams[x :: world.nodes]):
        return
    if world.rules.unsettled_takes_no_stream and transactions.is_unsettled(Draft(state), x):
        return
    if primary.required >> x & 1:
        yield from _reconnect(world, state, n, x, primary)
        return
    if primary.unknown is not None and primary.unknown[1] == x:
        return
    draft = Draft(state)
    node = _list_to_copy(world, state, n, x)
    heard = with_item(primary.heard, x, UNHEARD)
    draft.nodes[n] = node._replace(primary=primary._replace(heard=heard))
    draft.streams[n * world.nodes + x] = Stream(
        node.epoch, COPYING, True, True, (), primary.issued, UNHEARD, 0, other.boot
    )
    follower = new_secondary(world, other, x, node.epoch, primary.issued)
    # It follows what the store shows, and its disk notes which store that was.
    seen = state.store.identity if state.store.key == Key(n, node.epoch) else other.store
    draft.nodes[x] = follower._replace(store=seen)
    known = node.lists[x]
    zones = [] if known is None else [z for z, m in enumerate(known.marks) if m == COPY_IT]
    yield f"{name(n)}: {name(x)} connects, zones {zones} are to be copied, epoch {node.epoch}", draft


def _list_to_copy(world: World, state: State, n: int, x: int) -> Node:
    """The primary's node with the list by which a joining node is brought in sync."""
    node = state.nodes[n]
    known = from_disk(world, node.written[x])
    memory = node.lists[x]
    if not world.rules.marks_before_applying and node.written[x] is not None and memory is not None:
        marks = tuple(COPY_IT if m or memory.marks[z] else m for z, m in enumerate(known.marks))
        known = known._replace(marks=marks)
    if world.nodes > 2 and world.rules.returning_adds_its_list:
        own = state.nodes[x].lists[n]
        if own is None or not own.valid:
            known = from_disk(world, None)
        else:
            marks = tuple(COPY_IT if m or own.marks[z] else m for z, m in enumerate(known.marks))
            known = known._replace(marks=marks)
        if node.written[x] is not None:
            node = node._replace(written=with_item(node.written, x, zones_of(known)))
    return node._replace(lists=with_item(node.lists, x, known))


def _reconnect(world: World, state: State, n: int, x: int, primary: Primary) -> Found:
    """The same two processes take up a stream that was cut, where the secondary left off (S2: it stays listed)."""
    if not world.bounds.reconnects:
        return
    node, other, rules = state.nodes[n], state.nodes[x], world.rules
    same = other.place is not None and other.place[0] == node.epoch
    if same and other.place is not None:
        place = other.place[1]
        if not rules.goes_on_where_applied and primary.pending:
            place = min(place, primary.pending[0].place - 1)
    elif not rules.same_process_reconnects:
        place = primary.issued if not primary.pending else primary.pending[0].place - 1
    else:
        return
    draft = Draft(state)
    synced = max(0, primary.heard[x])
    draft.streams[n * world.nodes + x] = Stream(node.epoch, SYNC, True, True, (), place, synced, 0, other.boot)
    for pending in primary.pending:
        if pending.place <= place:
            continue
        if pending.repair:
            zone = world.operation_zones[pending.number - 1][0]
            send(world, draft, n, x, Frame("copy", pending.place, zone_body(world, node.cache, zone)))
        elif world.plan[pending.number - 1].kind == "fsync":
            send(world, draft, n, x, Frame("fsync", pending.place))
        else:
            send(world, draft, n, x, Frame("op", pending.place, (pending.number, 1)))
    follower = other if same else new_secondary(world, other, x, node.epoch, place)
    draft.nodes[x] = follower._replace(role=FOLLOWS)
    yield f"{name(n)}: {name(x)} takes the stream up again after {place}", draft
