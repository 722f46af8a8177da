"""What happens to the nodes and to the store, that nobody wants."""

from collections.abc import Iterator

from tests.model import transactions
from tests.model.draft import Draft
from tests.model.place import stop_serving
from tests.model.state import CRASHED, NEVER, OFF, RUNS, SERVES, UNHEARD, Key, List, Primary, State
from tests.model.world import World, name

Found = Iterator[tuple[str, Draft]]


def actions(world: World, state: State) -> Found:
    """All that may happen now."""
    for n in range(world.nodes):
        yield from _crash(world, state, n)
        yield from _lose_power(world, state, n)
        yield from _start(world, state, n)
    yield from _leases(world, state)
    yield from transactions.delayed(world, state)
    if world.bounds.restores:
        yield from _restore(state)
    if world.bounds.start == "first" and not state.store.holders and not state.store.named:
        draft = Draft(state)
        draft.store = state.store._replace(named=1)
        yield f"operator: names the data of {name(0)}", draft


def _crash(world: World, state: State, n: int) -> Found:
    if state.nodes[n].power == RUNS and state.budget.crash:
        draft = Draft(state)
        draft.spend("crash")
        end_process(world, draft, n, CRASHED)
        yield f"{name(n)}: the replicator crashes", draft


def end_process(world: World, draft: Draft, n: int, power: int) -> None:
    """What a process knew, and what it had under way, is gone with it."""
    stop_serving(draft, world, n)
    draft.nodes[n] = draft.nodes[n]._replace(power=power)
    draft.close_far(world, n)
    # The next one registers anew.
    draft.store = draft.store._replace(absent=draft.store.absent & ~(1 << n))


def _lose_power(world: World, state: State, n: int) -> Found:
    """Of what was not on the disk, any part may have got there."""
    node = state.nodes[n]
    if node.power == OFF or not state.budget.power:
        return
    dirty = [slot for slot in range(len(node.cache)) if node.cache[slot] != node.disk[slot]]
    for kept in range(1 << len(dirty)):
        content = list(node.disk)
        for i, slot in enumerate(dirty):
            if kept >> i & 1:
                content[slot] = node.cache[slot]
        draft = Draft(state)
        draft.spend("power")
        end_process(world, draft, n, OFF)
        after = tuple(content)
        draft.nodes[n] = draft.nodes[n]._replace(cache=after, disk=after, boot=node.boot + 1)
        text = "" if not dirty else f", keeps {kept.bit_count()} of {len(dirty)} changes not on its disk"
        yield f"{name(n)}: loses power{text}", draft


def _start(world: World, state: State, n: int) -> Found:
    node = state.nodes[n]
    if node.power == RUNS:
        return
    draft = Draft(state)
    draft.nodes[n] = node._replace(power=RUNS)
    if not world.rules.resume_same_process and node.power == CRASHED and state.store.key == Key(n, node.epoch):
        _serve_again(world, draft, n)
    yield f"{name(n)}: {'boots' if node.power == OFF else 'its replicator starts'}", draft


def _serve_again(world: World, draft: Draft, n: int) -> None:
    """(Broken rule) a process that starts is primary of the epoch that its former one served."""
    required = sum(1 << h.node for h in draft.store.holders if h.node != n)
    places = [y.place[1] for y in draft.nodes if y.place is not None]
    places += [s.applied for s in draft.streams if s is not None]
    primary = Primary(required, max(places, default=0), 0, (), None, (UNHEARD,) * world.nodes, 1, False, 0)
    nothing = List(True, 0, (NEVER,) * world.zones)
    lists = tuple(None if x == n else nothing for x in range(world.nodes))
    draft.nodes[n] = draft.nodes[n]._replace(role=SERVES, primary=primary, lists=lists)


def _leases(world: World, state: State) -> Found:
    store = state.store
    if store.key is not None:
        holder = state.nodes[store.key.node]
        serves = holder.role is SERVES and holder.epoch == store.key.epoch
        stood = store.key.epoch > holder.epoch and any(
            h.node == store.key.node and h.boot == holder.boot for h in store.holders
        )
        if not (holder.power == RUNS and (serves or stood)):
            draft = Draft(state)
            transactions.set_key(draft, None)
            yield f"etcd: the lease of {name(store.key.node)} ends", draft
    for n in range(world.nodes):
        if store.absent >> n & 1:
            draft = Draft(state)
            draft.store = store._replace(absent=store.absent & ~(1 << n))
            yield f"{name(n)}: reaches etcd again", draft
    if not state.budget.lease:
        return
    for n in range(world.nodes):
        has_key = store.key is not None and store.key.node == n
        # Without a key it matters only to who looks whether the node is there.
        if state.nodes[n].power != RUNS or store.absent >> n & 1 or not (has_key or state.budget.power):
            continue
        draft = Draft(state)
        draft.spend("lease")
        if has_key:
            transactions.set_key(draft, None)
        if world.bounds.starts_alone and world.bounds.budget.power:
            draft.store = draft.store._replace(absent=store.absent | 1 << n)
        yield f"etcd: the lease of {name(n)} ends though it lives and does not know", draft


def _restore(state: State) -> Found:
    store = state.store
    if store.backup is None:
        draft = Draft(state)
        draft.store = store._replace(backup=(store.epoch, store.holders))
        yield "operator: makes a backup of etcd", draft
    elif store.identity == 0 and (store.epoch, store.holders) != store.backup:
        epoch, holders = store.backup
        draft = Draft(state)
        transactions.set_key(draft, None)
        draft.requests = []
        draft.store = draft.store._replace(epoch=epoch, holders=holders, identity=1, revision=store.revision + 1)
        for n, node in enumerate(draft.nodes):
            if node.primary is not None:
                draft.nodes[n] = node._replace(primary=node.primary._replace(settled=NEVER))
        yield f"operator: etcd is lost, and restored from the backup: epoch {epoch}", draft
