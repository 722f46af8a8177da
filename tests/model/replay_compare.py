"""Whether the shipped core's transaction is the one of the model's node: guards, record, key."""

from agent.core import commands as k
from agent.core.events import Tag
from manager.model.codec import decode
from manager.model.records import PrimaryRecord
from manager.store.api import CreateRevisionIs, Guard, KeyAbsent, ModRevisionIs, Put
from manager.store.fake import FakeEtcd
from tests.model.replay_agent import CLUSTER, KEYS, NODES, Agent
from tests.model.replay_words import Parted, record_in
from tests.model.secondary import may_stand
from tests.model.state import State
from tests.model.world import World


def same_guards(world: World, agent: Agent, node: str, commit: k.Commit, what: str, before: State) -> None:
    """The key as S1 and S2 want it, the record's revision, and what S8 adds."""
    guards = list(commit.txn.guards)
    key = agent.etcd.get_now(KEYS.primary)
    wanted: list[Guard] = []
    if commit.tag in (Tag.ELECT, Tag.RESUME):
        wanted.append(KeyAbsent(KEYS.primary))
    else:
        own = agent.state.primary
        assert own is not None
        wanted.append(CreateRevisionIs(KEYS.primary, own.create_revision))
        if commit.tag is Tag.TAKE_OVER and (key is None or key.create_revision != own.create_revision):
            raise Parted(f"{node} takes over by a key that is not there")
    record, known = agent.etcd.get_now(KEYS.insync), agent.state.insync_revision
    wanted.append(ModRevisionIs(KEYS.insync, known) if known else KeyAbsent(KEYS.insync))
    for x, boot in _tested(world, node, what, before):
        name = CLUSTER.node(x)
        there = agent.etcd.get_now(name)
        if bool(boot) is (there is None):
            raise Parted(f"{x} is registered, or not, other than in the model")
        wanted.append(KeyAbsent(name) if there is None else CreateRevisionIs(name, there.create_revision))
    if sorted(map(repr, guards)) != sorted(map(repr, wanted)):
        raise Parted(f"{node} {what}: it tests {guards}, the model {wanted}")
    current = before.nodes[NODES.index(node)].primary
    knows = True if current is None else bool(current.settled)
    if (known == (0 if record is None else record.mod_revision)) is not knows and commit.tag is not Tag.RECORD:
        raise Parted(f"{node} {what}: what it knows of the record is not what the model's node knows")


def _tested(world: World, node: str, what: str, before: State) -> list[tuple[str, int]]:
    if not what.startswith("stands"):
        return []
    tested = may_stand(world, before, NODES.index(node))
    return [(NODES[x], boot) for x, boot in tested or ()]


def same_record(agent: Agent, node: str, commit: k.Commit, what: str, after: State | None) -> None:
    """What it writes into the record, and into the key where it becomes primary."""
    puts = {put.key: put for put in commit.txn.then if isinstance(put, Put)}
    record = record_in(commit)
    if commit.tag in (Tag.ELECT, Tag.TAKE_OVER, Tag.RESUME):
        key = puts[KEYS.primary]
        primary = decode(PrimaryRecord, key.value)
        if (primary.node, primary.epoch, key.lease) != (node, record.epoch, agent.lease):
            raise Parted(f"{node} {what}: {primary} on lease {key.lease}")
    if after is not None:
        wanted = {(NODES[h.node], f"{NODES[h.node]}-boot-{h.boot}") for h in after.store.holders}
        if (record.epoch, {(h.node, h.boot_id) for h in record.holders}) != (after.store.epoch, wanted):
            raise Parted(f"{node} {what}: it writes {record}, the model {after.store}")


def holds(etcd: FakeEtcd, guard: Guard) -> bool:
    """Whether the store finds it so now."""
    kv = etcd.get_now(guard.key)
    match guard:
        case KeyAbsent():
            return kv is None
        case CreateRevisionIs(_, revision):
            return kv is not None and kv.create_revision == revision
        case ModRevisionIs(_, revision):
            return kv is not None and kv.mod_revision == revision
        case _:
            return kv is not None and kv.value == guard.value
