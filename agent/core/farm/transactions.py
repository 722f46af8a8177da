"""The transactions of a farm module, and when one may be sent. Pure.

Each is guarded by the very keys that it changes, as they were told: one whose outcome is unknown has either changed
them, which is seen, or can no longer succeed once another one has (S6). So nothing of it need be remembered. One that
makes a director's key is guarded by the module's configuration, too: nothing is left of a module that was removed.
"""

from agent.core.commands import Commit
from agent.core.copying import replace
from agent.core.events import Tag
from agent.core.farm.facts import OpenTxn
from agent.core.farm.state import FarmState, Move
from manager.model.codec import encode
from manager.model.errors import InvariantViolated
from manager.model.farm import DirectorRecord, SlotsRecord, SlotTable
from manager.store.api import Change, CreateRevisionIs, Delete, Get, Guard, KeyAbsent, ModRevisionIs, Put, Txn


def may_commit(state: FarmState, now_ns: int) -> bool:
    """One at a time, and not at once after one that got no answer."""
    return state.open is None and now_ns >= state.commit_after_ns and state.lease is not None


def stand(state: FarmState, address: str) -> Move:
    """Become the director of ``address``, which has none."""
    return _put_key(state, address, KeyAbsent(state.settings.keys.director(address)))


def adopt(state: FarmState, address: str) -> Move:
    """Put this node's own key, a former agent's, on this agent's lease."""
    key = state.director(address)
    if key is None or not state.has_key(address):
        raise InvariantViolated("only its own key is adopted by a node")
    return _put_key(state, address, ModRevisionIs(state.settings.keys.director(address), key.mod_revision))


def take_over(state: FarmState, address: str) -> Move:
    """Put the key of another director, a dead one, on this agent's lease: if its registration stands as it was seen."""
    key, view = state.director(address), state.view
    if key is None or view is None or state.has_key(address):
        raise InvariantViolated("only another node's key is taken over")
    node, registered = state.settings.cluster.node(key.record.node), view.common.nodes.get(key.record.node)
    as_seen: Guard = KeyAbsent(node) if registered is None else ModRevisionIs(node, registered.mod_revision)
    after = replace(state, lost=state.lost | {key.record.node})
    return _put_key(after, address, ModRevisionIs(state.settings.keys.director(address), key.mod_revision), as_seen)


def hand_over(state: FarmState, address: str, taker: str) -> Move:
    """Put this node's own key on the lease of ``taker``, if that is as it was seen: it directs from then on."""
    common = None if state.view is None else state.view.common
    registered, member = (None, None) if common is None else (common.nodes.get(taker), common.members.get(taker))
    if registered is None or member is None:
        return stand_down(state, address)  # It was lost meanwhile.
    same_agent = CreateRevisionIs(state.settings.cluster.node(taker), registered.create_revision)
    as_seen = ModRevisionIs(state.settings.keys.member(taker), member.mod_revision)
    put = Put(state.settings.keys.director(address), encode(DirectorRecord(taker, address)), registered.lease)
    return _commit(state, Tag.HAND_OVER, address, (_own_key(state, address), same_agent, as_seen), put)


def stand_down(state: FarmState, address: str) -> Move:
    """Delete this node's own key, that very one."""
    key = state.settings.keys.director(address)
    return _commit(state, Tag.STAND_DOWN, address, (_own_key(state, address),), Delete(key))


def write_table(state: FarmState, address: str, table: SlotTable) -> Move:
    """Have ``table`` as the next one: guarded by this director's own key, and by the table that it follows."""
    key, last = state.settings.keys.slots(address), state.slots(address)
    as_read: Guard = KeyAbsent(key) if last is None else ModRevisionIs(key, last.mod_revision)
    record = SlotsRecord(address, state.node, table, dict(table.shares()))
    return _commit(state, Tag.SLOTS, address, (_own_key(state, address), as_read), Put(key, encode(record)))


def forget(state: FarmState, address: str) -> Move:
    """Delete the table of an address that is no more the module's, if all is as ``tidying`` has seen it."""
    keys, view, last = state.settings.keys, state.view, state.slots(address)
    if view is None or view.common.config is None or last is None or address in state.settings.addresses:
        raise InvariantViolated("only a table that nobody wants is forgotten")
    members = {n: seen.mod_revision for n, seen in view.common.members.items()}
    nodes = sorted(members.keys() | view.common.desired.keys() | set(state.nodes))
    said = (ModRevisionIs(keys.member(n), members[n]) if n in members else KeyAbsent(keys.member(n)) for n in nodes)
    guards: tuple[Guard, ...] = (
        ModRevisionIs(keys.config, view.common.config.mod_revision),
        KeyAbsent(keys.director(address)),
        ModRevisionIs(keys.slots(address), last.mod_revision),
        *said,
    )
    return _commit(state, Tag.FORGET, address, guards, Delete(keys.slots(address)))


def _put_key(state: FarmState, address: str, *guards: Guard) -> Move:
    """``guards``: the key is as it was told. One that is executed late finds the module removed, and does nothing."""
    made = 0 if state.view is None else state.view.common.applied
    if state.lease is None or not made:
        raise InvariantViolated("a node directs without a lease, or a module that is not applied")
    applied = CreateRevisionIs(state.settings.keys.config, made)
    put = Put(state.settings.keys.director(address), encode(DirectorRecord(state.node, address)), state.lease.lease_id)
    return _commit(state, Tag.DIRECT, address, (*guards, applied), put)


def _own_key(state: FarmState, address: str) -> Guard:
    key = state.director(address)
    if key is None or not state.has_key(address):
        raise InvariantViolated("only the director changes what is the director's")
    return ModRevisionIs(state.settings.keys.director(address), key.mod_revision)


def _commit(state: FarmState, tag: Tag, address: str, guards: tuple[Guard, ...], change: Change) -> Move:
    keys = state.settings.keys
    txn = Txn(guards, (change,), (Get(keys.director(address)), Get(keys.slots(address))))
    command = Commit(tag, txn)
    return Move(replace(state, open=OpenTxn(command, address)), (command,))


def instants(state: FarmState) -> tuple[int, ...]:
    """When time alone may change something of this."""
    return (state.commit_after_ns,)
