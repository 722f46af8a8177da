"""What a node does without the primary key: takes the stream, stands, takes over what is offered to it."""

from collections.abc import Iterator

from tests.model import transactions
from tests.model.contents import applied, copied, eventual
from tests.model.draft import Draft
from tests.model.state import (
    COPY_IT,
    COPYING,
    FOLLOWS,
    NEVER,
    RUNS,
    SERVES,
    UNHEARD,
    WAITS,
    Frame,
    List,
    Node,
    Primary,
    Request,
    State,
)
from tests.model.tracking import from_disk, mark, to_disk, to_memory, told_barriers, with_item
from tests.model.world import World, name

Found = Iterator[tuple[str, Draft]]


def actions(world: World, state: State, n: int) -> Found:
    """All that ``n`` may do now."""
    node = state.nodes[n]
    for p in world.others[n]:
        stream = state.streams[p * world.nodes + n]
        if stream is not None and stream.far:
            yield from _take_stream(world, state, n, p)
    if node.role is SERVES:
        return
    if state.store.epoch < world.bounds.epochs:
        yield from _elect(world, state, n)
        yield from _take_over(world, state, n)
    key = state.store.key
    if key is not None and key.node == n and key.epoch > node.epoch and _is_own_boot(state, n):
        draft = Draft(state)
        begin_serving(world, draft, n)
        yield f"{name(n)}: reads that it is primary of epoch {key.epoch}", draft


def _is_own_boot(state: State, n: int) -> bool:
    """The key was taken by this boot; one of a former boot ends with its lease."""
    return any(h.node == n and h.boot == state.nodes[n].boot for h in state.store.holders)


# --- the stream ---------------------------------------------------------------------------------------------


def _take_stream(world: World, state: State, n: int, p: int) -> Found:
    node, stream = state.nodes[n], state.streams[p * world.nodes + n]
    assert stream is not None
    if stream.frames:
        draft = Draft(state)
        if stream.epoch < node.epoch and world.rules.checks_epoch:
            draft.streams[p * world.nodes + n] = stream._replace(far=False)
            yield f"{name(n)}: refuses a frame of epoch {stream.epoch}", draft
        else:
            text = take_frame(world, draft, n, p)
            take_control(world, draft, n, p)
            yield f"{name(n)}: {text}", draft
    if state.budget.sync and node.role is FOLLOWS and _may_sync(node, stream.synced < stream.applied, stream.mode, p):
        draft = Draft(state)
        draft.nodes[n] = node._replace(disk=node.cache)
        draft.streams[p * world.nodes + n] = stream._replace(synced=stream.applied)
        draft.spend("sync", failure=False)
        yield f"{name(n)}: brings all up to {stream.applied} to its disk", draft
    if not stream.near and node.role is FOLLOWS:
        draft = Draft(state)
        draft.streams[p * world.nodes + n] = stream._replace(far=False)
        draft.nodes[n] = node._replace(role=WAITS)
        yield f"{name(n)}: notices that the stream is gone", draft


def _may_sync(node: Node, behind: bool, mode: str, p: int) -> bool:
    known = node.lists[p]
    tracks = known is not None and any(m != NEVER for m in known.marks)
    return node.disk != node.cache or (behind and (mode not in ("sync", COPYING) or tracks))


def take_frame(world: World, draft: Draft, n: int, p: int) -> str:
    """The next frame of ``p``'s stream is applied at ``n``; what that was."""
    at = p * world.nodes + n
    stream, node = draft.streams[at], draft.nodes[n]
    assert stream is not None
    frame, stream = stream.frames[0], stream._replace(frames=stream.frames[1:])
    draft.streams[at] = stream
    if frame.kind == "join":
        draft.streams[at] = stream._replace(join=frame.place)
        lists = tuple(None if known is None else known._replace(join=frame.place) for known in node.lists)
        draft.nodes[n] = node._replace(lists=lists)
        return f"is told of its join point {frame.place}"
    if frame.kind == "barrier":
        draft.nodes[n] = told_barriers(world, node, n, stream.synced, frame.body)
        return f"is told what is on the disks: {frame.body}"
    stream = stream._replace(applied=frame.place)
    if frame.kind == "fsync":
        draft.nodes[n] = node._replace(disk=node.cache)
        stream = stream._replace(synced=frame.place)
        text = f"brings all up to {frame.place} to its disk: fsync"
    else:
        text = _apply(world, draft, n, frame)
    if draft.nodes[n].place is not None:
        draft.nodes[n] = draft.nodes[n]._replace(place=(stream.epoch, frame.place))
    draft.streams[at] = stream
    return text


def take_control(world: World, draft: Draft, n: int, p: int) -> None:
    """Frames that carry no data, next in the stream, are taken with the one before."""
    at = p * world.nodes + n
    while True:
        stream = draft.streams[at]
        if stream is None or not stream.far or not stream.frames or stream.epoch < draft.nodes[n].epoch:
            return
        if stream.frames[0].kind not in ("join", "barrier"):
            return
        take_frame(world, draft, n, p)


def _apply(world: World, draft: Draft, n: int, frame: Frame) -> str:
    node, tracks = draft.nodes[n], True
    if frame.kind == "op":
        number, fits = frame.body
        operation = world.plan[number - 1]
        after = applied(node.cache, operation, number)
        if after is None and fits:
            draft.flag(f"P5: {name(n)} cannot apply operation {number} ({operation}), which its primary could")
        zones, text = world.operation_zones[number - 1], f"applies operation {number} at {frame.place}"
    else:
        after, zones = copied(node.cache, frame.body[1:]), (frame.body[0],)
        text, tracks = f"applies a copy of zone {frame.body[0]} at {frame.place}", world.rules.copies_mark
    if after is not None:
        draft.nodes[n] = node._replace(cache=after)
    if tracks and node.role is not SERVES:
        for other in world.others[n]:
            mark(world, draft, n, other, zones, frame.place)
    return text


# --- standing -----------------------------------------------------------------------------------------------


def may_stand(world: World, state: State, n: int) -> tuple[tuple[int, int], ...] | None:
    """S8: what has to be tested in the transaction; ``None``: it may not stand."""
    store, node, rules = state.store, state.nodes[n], world.rules
    if node.store != store.identity and rules.checks_store and rules.checks_store_identity:
        return None
    if store.epoch < node.epoch and rules.checks_store:
        return None
    if not store.holders:
        return () if store.named >> n & 1 or not rules.data_is_named else None
    listed = next((h.boot for h in store.holders if h.node == n), None)
    if listed is None:
        return None if rules.elect_checks_membership else ()
    if listed == node.boot or not rules.checks_boot:
        return ()
    tested = []
    for holder in store.holders:
        other = state.nodes[holder.node]
        if holder.node == n:
            continue
        there = other.power == RUNS and not store.absent >> holder.node & 1
        if (there and other.boot == holder.boot) or not (there or world.bounds.starts_alone):
            return None
        tested.append((holder.node, other.boot if there else 0))
    return tuple(tested)


def _elect(world: World, state: State, n: int) -> Found:
    """S1, S3: closes the stream, has applied what came, and stands where there is no primary."""
    tested = may_stand(world, state, n)
    if tested is None or transactions.is_unread(state.store, state.nodes[n], n) or state.store.absent >> n & 1:
        return
    for outcome in transactions.outcomes(state.budget):
        sees_key = state.store.key is not None
        if sees_key and (world.rules.elect_checks_key and outcome != ", delayed"):
            continue
        draft = Draft(state)
        close(world, draft, n)
        request = transactions.request_of(draft, "elect", n, n)._replace(tested=tested)
        text = f"{name(n)}: stands{outcome}"
        if _stands(world, draft, n, request, outcome):
            served = "" if outcome else f": primary of epoch {draft.store.epoch}, alone in the record"
            yield text + served, draft


def _stands(world: World, draft: Draft, n: int, request: Request, outcome: str) -> bool:
    """``n`` sends ``request``, by which it becomes primary, with that ``outcome``; false: it is refused."""
    if outcome == ", delayed":
        draft.spend("delay")
        draft.requests.append(request)
        return True
    if not transactions.execute(world, draft, request):
        return False
    if outcome:
        draft.spend("lost")
    else:
        begin_serving(world, draft, n)
    return True


def close(world: World, draft: Draft, n: int) -> None:
    """``n`` takes no more of any stream, having applied what came (S3)."""
    if not world.rules.closes_before_standing:
        return
    if not world.rules.acknowledges_applied and world.rules.applies_what_came:
        for p in world.others[n]:
            stream = draft.streams[p * world.nodes + n]
            if stream is not None and stream.far:
                node = draft.nodes[n]
                draft.nodes[n] = node._replace(cache=eventual(world.plan, node.cache, stream.frames))
    draft.close_far(world, n)
    draft.nodes[n] = draft.nodes[n]._replace(role=WAITS)


def _take_over(world: World, state: State, n: int) -> Found:
    """S1: the primary has frozen, all is applied at both, and it offers its place to this node."""
    key, node = state.store.key, state.nodes[n]
    if key is None or state.store.offer != n + 1 or state.store.absent >> n & 1:
        return
    listed = next((h.boot for h in state.store.holders if h.node == n), None)
    if listed is None or (listed != node.boot and world.rules.take_over_checks_boot):
        return
    for outcome in transactions.outcomes(state.budget):
        draft = Draft(state)
        close(world, draft, n)
        request = transactions.request_of(draft, "take over", n, key.node)
        text = f"{name(n)}: takes over from {name(key.node)}{outcome}"
        if _stands(world, draft, n, request, outcome):
            served = "" if outcome else f": primary of epoch {draft.store.epoch}, both in the record"
            yield text + served, draft


def begin_serving(world: World, draft: Draft, n: int) -> None:
    """It knows that it is primary: what it tracked goes to its disk, and only then it serves."""
    node, store = draft.nodes[n], draft.store
    required = sum(1 << h.node for h in store.holders if h.node != n)
    for x in world.others[n]:
        if node.lists[x] is not None:
            node = to_disk(world, node, x)
        memory = from_disk(world, node.written[x])
        node = node._replace(lists=with_item(node.lists, x, memory))
        if required >> x & 1:
            # Listed: tracked in memory until it is dropped.
            node = to_memory(world, node, x)
    heard = (UNHEARD,) * world.nodes
    primary = Primary(required, 0, 0, (), None, heard, store.revision, False, 0)
    epoch = store.key.epoch if store.key is not None else store.epoch
    draft.nodes[n] = node._replace(role=SERVES, epoch=epoch, primary=primary, place=None, store=store.identity)
    draft.close_near(world, n)
    if world.rules.closes_before_standing:
        draft.close_far(world, n)


def new_secondary(world: World, node: Node, n: int, epoch: int, place: int) -> Node:
    """A node that begins to follow: all that it tracked before is void, until the primary's first barrier."""
    void = List(not world.rules.list_void_until_barrier, COPY_IT, (NEVER,) * world.zones)
    lists = tuple(None if x == n else void for x in range(world.nodes))
    written = node.written
    if world.rules.list_on_disk_voided:
        written = (None,) * world.nodes
    return node._replace(role=FOLLOWS, epoch=epoch, lists=lists, written=written, place=(epoch, place), primary=None)
