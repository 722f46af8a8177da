"""What a node does as primary for its files: issues, applies and completes, copies to who joins, brings to its disk.

Its streams are in ``streams``, the record in ``membership``, its place in ``place``.
"""

from collections.abc import Iterator

from tests.model.contents import applied
from tests.model.draft import Draft
from tests.model.invariants import eventual_here
from tests.model.secondary import take_control
from tests.model.state import (
    ASKED,
    COPY_IT,
    COPYING,
    DONE,
    DOOMED,
    GIVEN_UP,
    JOINED,
    NEVER,
    UNCERTAIN,
    UNHEARD,
    Frame,
    Pending,
    Primary,
    State,
)
from tests.model.tracking import forget, mark, on_both, with_item, zones_of
from tests.model.world import World, name

Found = Iterator[tuple[str, Draft]]


def actions(world: World, state: State, n: int) -> Found:
    """All that ``n``, which serves, may do now with its files."""
    primary = state.nodes[n].primary
    assert primary is not None
    yield from _issue(world, state, n, primary)
    if primary.pending:
        yield from _complete(world, state, n, primary)
    for x in world.others[n]:
        yield from _hear(world, state, n, x, primary)
        yield from _copy(world, state, n, x, primary)
    yield from _sync(world, state, n, primary)
    if not world.rules.marks_before_applying:
        yield from _write_lists_late(world, state, n)


def _set(draft: Draft, n: int, primary: Primary) -> None:
    draft.nodes[n] = draft.nodes[n]._replace(primary=primary)


def send(world: World, draft: Draft, n: int, x: int, frame: Frame) -> None:
    """Puts a frame into the stream to ``x``, if there is one."""
    at = n * world.nodes + x
    stream = draft.streams[at]
    if stream is None or not stream.near:
        return
    # (Broken rule) an acknowledgement means received.
    heard = stream.far and not world.rules.acknowledges_applied and frame.kind in ("op", "copy")
    applied_to = frame.place if heard else stream.applied
    draft.streams[at] = stream._replace(frames=(*stream.frames, frame), applied=applied_to)


def _status(draft: Draft, number: int, status: int) -> None:
    draft.client = draft.client._replace(status=with_item(draft.client.status, number - 1, status))


# --- operations ---------------------------------------------------------------------------------------------


def _issue(world: World, state: State, n: int, primary: Primary) -> Found:
    i = state.client.next
    if i >= len(world.plan) or len(primary.pending) >= world.bounds.outstanding:
        return
    if primary.frozen and (world.rules.offers_frozen or not primary.offered):
        return
    operation, number, node = world.plan[i], i + 1, state.nodes[n]
    draft = Draft(state)
    content = eventual_here(world, node)
    if content is not None and applied(content, operation, number) is None:
        draft.client = draft.client._replace(next=number)
        _status(draft, number, UNCERTAIN)
        yield f"{name(n)}: refuses operation {number} ({operation})", draft
        return
    place = primary.issued + 1
    late = any(other.epoch > node.epoch for other in state.nodes)
    done = sum(1 << j for j, s in enumerate(state.client.status) if s == DONE) if operation.kind == "fsync" else 0
    pending = (*primary.pending, Pending(number, place, False, late, done))
    _set(draft, n, primary._replace(issued=place, pending=pending))
    draft.client = draft.client._replace(next=number)
    _status(draft, number, ASKED)
    zones = world.operation_zones[i]
    for x in world.others[n]:
        known, stream = node.lists[x], state.streams[n * world.nodes + x]
        live = stream is not None and stream.near
        whole = known is None or all(known.marks[z] != COPY_IT for z in zones)
        fits = live and stream is not None and (stream.mode != COPYING or whole)
        frame = Frame("fsync", place) if operation.kind == "fsync" else Frame("op", place, (number, int(fits)))
        send(world, draft, n, x, frame)
        required = primary.required >> x & 1
        if zones and (world.rules.marks_when_shipped or not required):
            # A node that does not have one of the zones yet may not be able to apply it: then it lacks them all.
            shipped = (live or required) and (whole or not world.rules.spanning_marks_all)
            mark(world, draft, n, x, zones, place if shipped else COPY_IT)
    if not world.rules.peer_first:
        here = applied(draft.nodes[n].cache, operation, number)
        draft.nodes[n] = draft.nodes[n]._replace(cache=here or node.cache)
    after = ", after another node began to serve" if late else ""
    yield f"{name(n)}: issues operation {number} ({operation}) at {place}{after}", draft


def is_acknowledged(world: World, state: State, n: int, primary: Primary, place: int) -> bool:
    """S2: by every node of the last settled record, and by those past their join point."""
    needed, rules = primary.required, world.rules
    if primary.unknown is not None and primary.unknown[0] == "add" and rules.unknown_is_member:
        needed |= 1 << primary.unknown[1]
    for x in world.others[n]:
        stream = state.streams[n * world.nodes + x]
        open_here = stream is not None and stream.near
        joined = stream is not None and open_here and stream.mode == JOINED and rules.waits_from_join_point
        if not (needed >> x & 1 or joined):
            continue
        if not open_here:
            if rules.drops_settled:
                return False
            continue
        if stream is None or stream.mode == COPYING or stream.applied < place:
            return False
    return True


def _complete(world: World, state: State, n: int, primary: Primary) -> Found:
    """S4: the oldest is applied here, then completed, once everyone has acknowledged it."""
    head = primary.pending[0]
    if not is_acknowledged(world, state, n, primary, head.place):
        return
    operation, node, draft = world.plan[head.number - 1], state.nodes[n], Draft(state)
    rest = primary.pending[1:]
    if head.repair:
        _set(draft, n, primary._replace(pending=rest))
        yield f"{name(n)}: answers the error of operation {head.number}", draft
        return
    _set(draft, n, primary._replace(pending=rest))
    if operation.kind == "fsync":
        synced = primary.issued if not rest else rest[0].place - 1
        draft.nodes[n] = draft.nodes[n]._replace(disk=node.cache, primary=primary._replace(pending=rest, synced=synced))
        draft.client = draft.client._replace(fsynced=draft.client.fsynced | head.covers)
        _forget(world, draft, n)
    else:
        after = applied(node.cache, operation, head.number)
        if after is None and world.rules.peer_first:
            draft.flag(f"P5: {name(n)} cannot apply operation {head.number} ({operation}) that it issued")
        draft.nodes[n] = draft.nodes[n]._replace(cache=after or node.cache)
        if not world.rules.marks_when_shipped:
            for x in world.others[n]:
                required = primary.required >> x & 1
                mark(world, draft, n, x, world.operation_zones[head.number - 1], head.place if required else COPY_IT)
        if head.late:
            draft.flag(f"P3: {name(n)} completes operation {head.number}, issued after another node began to serve")
    doomed = state.client.status[head.number - 1] in (DOOMED, GIVEN_UP)
    _status(draft, head.number, GIVEN_UP if doomed else DONE)
    yield f"{name(n)}: applies and completes operation {head.number}", draft
    if state.budget.fail and operation.kind == "write" and world.rules.peer_first:
        yield from _fail(world, state, n, primary)


def _fail(world: World, state: State, n: int, primary: Primary) -> Found:
    """It fails on this node's own disk: the peer's copy is repaired before the error is answered."""
    head, rest = primary.pending[0], primary.pending[1:]
    zone = world.bounds.zones[world.plan[head.number - 1].slot]
    quiet = all(zone not in world.operation_zones[p.number - 1] for p in rest)
    if not quiet and world.rules.repairs_quiet_zones:
        return
    draft, node = Draft(state), state.nodes[n]
    draft.spend("fail", failure=False)
    place = primary.issued + 1
    _set(draft, n, primary._replace(issued=place, pending=(*rest, head._replace(place=place, repair=True))))
    for x in world.others[n]:
        stream = state.streams[n * world.nodes + x]
        send(world, draft, n, x, Frame("copy", place, zone_body(world, node.cache, zone)))
        if world.rules.failed_apply_marks:
            mark(world, draft, n, x, (zone,), place if stream is not None and stream.near else COPY_IT)
    _status(draft, head.number, UNCERTAIN)
    yield f"{name(n)}: operation {head.number} fails here, zone {zone} of the peer is repaired", draft


def zone_body(world: World, content: tuple[int, ...], zone: int) -> tuple[int, ...]:
    """The zone, and each of its slots with its value: a copy's body."""
    return (zone, *(x for slot in world.zone_slots[zone] for x in (slot, content[slot])))


# --- copies, barriers ---------------------------------------------------------------------------------------


def _forget(world: World, draft: Draft, n: int) -> None:
    """Zones that are on both disks are forgotten."""
    primary = draft.nodes[n].primary
    assert primary is not None
    for x in world.others[n]:
        stream = draft.streams[n * world.nodes + x]
        if stream is not None and stream.near:
            draft.nodes[n] = forget(world, draft.nodes[n], x, on_both(world, primary.synced, primary.heard[x]))


def _hear(world: World, state: State, n: int, x: int, primary: Primary) -> Found:
    """What the other node's disk has, as it told; what it acknowledged is looked at where it is needed."""
    stream = state.streams[n * world.nodes + x]
    if stream is None or not stream.near:
        return
    copied_marks = (
        not world.rules.forgets_at_barrier and stream.mode != "sync" and _has_marks(state, n, x, stream.applied)
    )
    if stream.synced <= primary.heard[x] and not copied_marks:
        return
    draft = Draft(state)
    heard = with_item(primary.heard, x, max(primary.heard[x], stream.synced))
    _set(draft, n, primary._replace(heard=heard))
    if copied_marks:
        draft.nodes[n] = forget(world, draft.nodes[n], x, stream.applied)
    _forget(world, draft, n)
    yield f"{name(n)}: hears that {name(x)} has all up to {heard[x]} on its disk", draft


def _has_marks(state: State, n: int, x: int, upto: int) -> bool:
    known = state.nodes[n].lists[x]
    return known is not None and any(NEVER < m <= upto for m in known.marks)


def _copy(world: World, state: State, n: int, x: int, primary: Primary) -> Found:
    """Brings a joining node what it may lack, zone after zone; then comes its join point."""
    at = n * world.nodes + x
    stream, node = state.streams[at], state.nodes[n]
    known = node.lists[x]
    if stream is None or not stream.near or stream.mode != COPYING or known is None:
        return
    left = [zone for zone, m in enumerate(known.marks) if m == COPY_IT]
    if left:
        zone = left[0]
        quiet = all(zone not in world.operation_zones[p.number - 1] for p in primary.pending)
        if quiet or not world.rules.copies_quiet_zones:
            draft = Draft(state)
            place = primary.issued + 1
            marks = with_item(known.marks, zone, place)
            lists = with_item(node.lists, x, known._replace(marks=marks))
            draft.nodes[n] = node._replace(lists=lists, primary=primary._replace(issued=place))
            send(world, draft, n, x, Frame("copy", place, zone_body(world, node.cache, zone)))
            yield f"{name(n)}: copies zone {zone} to {name(x)} at {place}", draft
    if not left or not world.rules.copied_before_join:
        draft = Draft(state)
        draft.streams[at] = stream._replace(
            mode=JOINED, join=primary.issued, frames=(*stream.frames, Frame("join", primary.issued))
        )
        take_control(world, draft, x, n)
        yield f"{name(n)}: nothing is left to copy to {name(x)}, join point {primary.issued}", draft


def _sync(world: World, state: State, n: int, primary: Primary) -> Found:
    """Brings all to its own disk, and tells the others."""
    node = state.nodes[n]
    synced = primary.issued if not primary.pending else primary.pending[0].place - 1
    useful = node.disk != node.cache or (synced > primary.synced and _is_tracked(world, state, n))
    if not state.budget.sync or not useful:
        return
    draft = Draft(state)
    draft.nodes[n] = node._replace(disk=node.cache, primary=primary._replace(synced=synced))
    draft.spend("sync", failure=False)
    _forget(world, draft, n)
    several = world.nodes > 2
    barriers = tuple(
        synced if x == n else primary.heard[x] if several and primary.required >> x & 1 else UNHEARD
        for x in range(world.nodes)
    )
    for x in world.others[n]:
        stream = state.streams[n * world.nodes + x]
        if stream is not None and stream.near and stream.mode != COPYING:
            send(world, draft, n, x, Frame("barrier", synced, barriers))
            take_control(world, draft, x, n)
    yield f"{name(n)}: brings all up to {synced} to its disk, and says so", draft


def _is_tracked(world: World, state: State, n: int) -> bool:
    for x in world.others[n]:
        if state.streams[n * world.nodes + x] is None:
            continue
        here, there = state.nodes[n].lists[x], state.nodes[x].lists[n]
        if here is not None and any(here.marks):
            return True
        if there is not None and (not there.valid or any(there.marks)):
            return True
    return False


def _write_lists_late(world: World, state: State, n: int) -> Found:
    """(Broken rule) the list on disk follows what was applied."""
    node = state.nodes[n]
    for x in world.others[n]:
        known, written = node.lists[x], node.written[x]
        if known is not None and written is not None and zones_of(known) & ~written:
            draft = Draft(state)
            draft.nodes[n] = node._replace(written=with_item(node.written, x, written | zones_of(known)))
            yield f"{name(n)}: writes its list of what {name(x)} may lack, late", draft
