"""What must hold: P1 to P4 where a node becomes primary or completes something, R1 in every state.

Each returns what is wrong, in words that begin with the promise's name, or ``None``.

- P1: a completed write is not lost by one failure; exactly (P1x): a node that has kept its memory since it was listed
  has every completed write, however many failures there were, and where a node without its memory stands although one
  that has kept it is there, nothing may be missing.
- P2: nor is one that was fsynced, by any number of power losses.
- P3: what was issued on a former primary after another one began to serve is not completed.
- P4: only a node that the record lists becomes primary, and none beside one that completes alone.
- P5: an operation that cannot be repeated does on each node what it did on the first.
- R1: who is in the record and connected has the primary's content, once what is under way is applied.
"""

from tests.model.contents import applied, eventual, missing, shown
from tests.model.draft import Draft
from tests.model.state import (
    ASKED,
    COPYING,
    DONE,
    DOOMED,
    GIVEN_UP,
    JOINED,
    RUNS,
    SERVES,
    SYNC,
    UNCERTAIN,
    Holder,
    Node,
)
from tests.model.world import World, name


def promoted(world: World, draft: Draft, n: int, was: tuple[Holder, ...], boot: int, *, alone: bool) -> None:
    """``n`` has become primary, with this boot id, out of those that the record listed; it alone is listed now, or not.

    When it has lost its memory since it asked for that, it will not serve: alone in the record that is as if it had
    lost it a moment later, and beside another one it is no loss.
    """
    node, client = draft.nodes[n], draft.client
    listed = next((h.boot for h in was if h.node == n), None)
    if listed is None and not draft.store.named >> n & 1:
        draft.flag(f"P4: {name(n)} is promoted, which the record does not list")
    if boot != node.boot and not alone:
        return
    lost = missing(world.plan, client, node.cache)
    remembers = listed == node.boot == boot
    if lost:
        draft.flag(_loss(world, draft, n, lost, remembers, was if boot == node.boot else ()))
    _settle_statuses(world, draft, n, lost, remembers)
    for other in world.others[n]:
        if _completes_alone(world, draft, other):
            draft.flag(f"P4: {name(n)} is promoted while {name(other)} completes alone")


def _loss(
    world: World, draft: Draft, n: int, lost: tuple[int, ...], remembers: bool, was: tuple[Holder, ...]
) -> str | None:
    client, number = draft.client, lost[0] + 1
    for i in lost:
        if client.fsynced >> i & 1:
            return f"P2: {name(n)} is promoted without operation {i + 1}, which was fsynced"
    if client.failures <= 1:
        return f"P1: {name(n)} is promoted without operation {number} after one failure"
    if remembers:
        return f"P1x: {name(n)}, which remembers all since it was listed, is promoted without operation {number}"
    for holder in was:
        x = draft.nodes[holder.node]
        kept = x.power == RUNS and x.boot == holder.boot and not draft.store.absent >> holder.node & 1
        if holder.node != n and kept:
            return (
                f"P1x: {name(n)} is promoted without operation {number}, while {name(holder.node)} has it and is there"
            )
    return None


def _settle_statuses(world: World, draft: Draft, n: int, lost: tuple[int, ...], remembers: bool) -> None:
    """From here on, what the new primary shows counts as completed, and what it may lack is given up."""
    client, content = draft.client, draft.nodes[n].cache
    status = list(client.status)
    gone = missing(world.plan, client._replace(status=(DONE,) * len(status)), content)
    for i, now in enumerate(status):
        if i in lost:
            status[i] = GIVEN_UP
        elif now in (ASKED, UNCERTAIN) and i not in gone:
            status[i] = DONE
        elif now == ASKED and not remembers:
            status[i] = DOOMED
    draft.client = client._replace(status=tuple(status))


def _completes_alone(world: World, draft: Draft, n: int) -> bool:
    node = draft.nodes[n]
    primary = node.primary
    if node.power != RUNS or primary is None or primary.required or primary.unknown is not None:
        return False
    return not any(
        s is not None and s.near and s.mode == JOINED for s in draft.streams[n * world.nodes : (n + 1) * world.nodes]
    )


def in_sync(world: World, draft: Draft) -> str | None:
    """R1."""
    store = draft.store
    if len(store.holders) < 2:
        return None
    for p, node in enumerate(draft.nodes):
        if node.role is not SERVES or node.power != RUNS or node.epoch != store.epoch:
            continue
        here: tuple[int, ...] | None = None
        for x, _ in store.holders:
            stream = draft.streams[p * world.nodes + x] if x != p else None
            if stream is None or not stream.near or not stream.far or stream.mode == COPYING:
                continue
            if draft.nodes[x].power != RUNS:
                continue
            here = here or eventual_here(world, node)
            if here is None:
                break
            there = eventual(world.plan, draft.nodes[x].cache, stream.frames)
            if here != there:
                both = f"{name(x)} {shown(there)}, {name(p)} {shown(here)}"
                return f"R1: {name(x)} is in the record and connected, and the copies will differ: {both}"
    return None


def eventual_here(world: World, node: Node) -> tuple[int, ...] | None:
    """What the primary will have; ``None`` while a repair is under way."""
    content = node.cache
    for pending in node.primary.pending if node.primary is not None else ():
        if pending.repair:
            return None
        content = applied(content, world.plan[pending.number - 1], pending.number) or content
    return content


def is_whole(world: World, draft: Draft) -> bool:
    """Everyone is in sync and connected, and nothing is in doubt: failures are counted from here on."""
    store = draft.store
    if len(store.holders) != world.nodes or store.key is None or store.absent:
        return False
    p = store.key.node
    node = draft.nodes[p]
    primary = node.primary
    if node.power != RUNS or primary is None or node.epoch != store.epoch or primary.unknown is not None:
        return False
    if primary.required != world.every & ~(1 << p):
        return False
    for x, boot in store.holders:
        stream = draft.streams[p * world.nodes + x]
        if x == p:
            continue
        if stream is None or not stream.near or not stream.far or stream.mode is not SYNC:
            return False
        if draft.nodes[x].power != RUNS or draft.nodes[x].boot != boot:
            return False
    return True
