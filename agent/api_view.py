"""What the operator is shown of the cluster, built from the keys as etcd had them. Pure.

A node's state is known from its member record. Without one it is known only that a node whose agent is registered,
and on which nobody wants the module, has it stopped: a stop deletes the record. Everything else is unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from agent.api_view_farm import Awaited, Busy, farm_share, farm_tables
from agent.api_view_figures import Figures
from manager.model.api import ModuleView, NodeState, RegisteredNode
from manager.model.codec import DecodeError, decode
from manager.model.config import AnyModule, Failover, FarmConfig, ModuleConfig, parse_module
from manager.model.control import Progress
from manager.model.errors import ConfigError
from manager.model.farm_resources import generation_in
from manager.model.keys import ClusterKeys
from manager.model.pace import Pace
from manager.model.reasons import Reason
from manager.model.records import (
    FAILOVER,
    OFF,
    STOPPED_AT,
    DesiredRecord,
    HistoryRecord,
    InsyncRecord,
    KnownNode,
    MemberRecord,
    ModuleConfigRecord,
    NodeRecord,
    PrimaryRecord,
    RequestRecord,
)
from manager.model.refused_streams import RefusedStream
from manager.model.resources import KeptAside, aside_in, with_aside
from manager.model.states import ModuleState, Readiness, Run, Setting
from manager.model.stream_rates import StreamRates
from manager.model.unreadable_keys import unreadable
from manager.model.verify_record import VerifyRecord

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LocalState:
    """What this node's own agent knows of a module, with etcd or without."""

    member: MemberRecord | None = None
    """As it stands, or would stand, in etcd."""
    progress: Progress | None = None
    detail: str = ""
    pace: Pace | None = None
    """Of ``progress``."""
    busy: Busy | None = None
    """Farm: of the addresses that this node directs; ``None``: it directs none, or was told nothing."""
    awaited: Awaited = field(default_factory=dict)
    """Farm: of the addresses that this node directs."""
    figures: Figures = field(default_factory=dict)
    """Farm: of its traffic, as the nodes have told, with how old that is now."""
    refused: tuple[RefusedStream, ...] | None = None
    """With whom its replicator has no stream just now, and why; ``None``: not known."""
    stream: StreamRates | None = None
    """What its replicator's connections carry; ``None``: not known."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The cluster's keys and their values at one revision."""

    cluster: ClusterKeys
    values: Mapping[str, str]

    def record(self, kind: type[T], key: str) -> T | None:
        """The record under ``key``; ``None``: there is none, or none that this release understands."""
        text = self.values.get(key)
        if text is None:
            return None
        try:
            return decode(kind, text)
        except DecodeError:
            return None

    def under(self, prefix: str) -> list[str]:
        """The keys that begin with ``prefix``, sorted."""
        return sorted(k for k in self.values if k.startswith(prefix))

    def modules(self) -> list[str]:
        """The names of all modules that have a configuration, sorted."""
        split = (self.cluster.split_module(k) for k in self.values)
        return sorted({s[0] for s in split if s is not None and s[1] == "config"})

    def config(self, module: str) -> ModuleConfigRecord | None:
        """The folder of ``module`` as it was applied."""
        return self.record(ModuleConfigRecord, self.cluster.module(module).config)

    def insync(self, module: str) -> InsyncRecord | None:
        """The in-sync record of ``module``."""
        return self.record(InsyncRecord, self.cluster.module(module).insync)

    def desired(self, module: str, node: str) -> DesiredRecord | None:
        """What the operator wants of ``module`` on ``node``."""
        return self.record(DesiredRecord, self.cluster.module(module).desired(node))

    def requests(self, module: str) -> list[RequestRecord]:
        """The requests for ``module``, the oldest first."""
        keys = self.under(f"{self.cluster.module(module).prefix}requests/")
        found = (self.record(RequestRecord, k) for k in keys)
        return sorted((r for r in found if r is not None), key=lambda r: r.asked_at)

    def history(self, module: str) -> list[HistoryRecord]:
        """The take-overs of ``module``, the newest first."""
        keys = self.under(f"{self.cluster.module(module).prefix}history/")
        found = (self.record(HistoryRecord, k) for k in reversed(keys))
        return [h for h in found if h is not None]

    def nodes(self) -> list[RegisteredNode]:
        """The agents that are registered, by name."""
        found = (self.record(NodeRecord, k) for k in self.under(self.cluster.nodes_prefix))
        return [
            RegisteredNode(n.node, n.addresses, n.software, n.boot_id, n.speaks, n.ttl_ms, n.promises)
            for n in found
            if n is not None
        ]

    def addresses(self, module: str, node: str) -> set[str]:
        """Where ``node`` is, or was last, as far as it has told."""
        registered = self.record(NodeRecord, self.cluster.node(node))
        known = self.record(KnownNode, self.cluster.known(node))
        member = self.record(MemberRecord, self.cluster.module(module).member(node))
        found = {a for record in (registered, known) if record is not None for a in record.addresses}
        return found if member is None or member.endpoint is None else found | {member.endpoint.host}

    def known_nodes(self) -> set[str]:
        """The names of those whose agents are registered, or have ever been."""
        prefixes = (self.cluster.nodes_prefix, self.cluster.known_prefix)
        return {k.removeprefix(p) for p in prefixes for k in self.under(p)}


def parsed_config(record: ModuleConfigRecord) -> AnyModule | None:
    """The configuration in ``record``; ``None``: this release does not understand it."""
    try:
        return parse_module(record.toml, record.scripts)
    except ConfigError:
        return None


def module_view(
    keys: Keys, module: str, *, fresh: bool, here: str, local: LocalState, last: ModuleConfigRecord | None = None
) -> ModuleView | None:
    """``module`` on all its nodes.

    Args:
        keys: the cluster.
        module: its name; ``None`` is answered for one that has no configuration.
        fresh: whether etcd is heard now. If not, nothing is known of other nodes' being alive.
        here: this node, to which ``local`` belongs.
        local: what only this node's agent knows.
        last: its configuration as this node's agent has understood it last, where it does not now.
    """
    own_keys = keys.cluster.module(module)
    if own_keys.config not in keys.values:
        return None
    record = keys.config(module) or last
    config = None if record is None else parsed_config(record)
    insync = keys.insync(module)
    primary = keys.record(PrimaryRecord, own_keys.primary)
    own = {here: local.member} if local.member is not None else {}
    nodes = [
        _node_state(keys, module, node, insync, own.get(node), fresh=fresh) for node in _names(keys, module, config)
    ]
    if local.refused:
        local = replace(local, refused=tuple(_named(r, keys, module, here) for r in local.refused))
    view = ModuleView(
        name=module,
        kind=config.kind if config is not None else None,
        generation=0 if record is None else record.generation,
        nodes=tuple(_with_asides(_with_own(n, local) if n.node == here else n, insync) for n in nodes),
        primary=primary.node if primary is not None else "",
        epoch=insync.epoch if insync is not None else 0,
        holders=tuple(sorted(insync.nodes)) if insync is not None else None,
        last_primary=insync.last_primary if insync is not None else "",
        maintenance=any(_is_off(keys, module, node, FAILOVER) for node in _names(keys, module, config)),
        failover_off=isinstance(config, ModuleConfig) and config.failover is Failover.OFF,
        verify=keys.record(VerifyRecord, own_keys.verify),
        preferred=config.preferred_primary if isinstance(config, ModuleConfig) else "",
        initial=config.initial_primary if isinstance(config, ModuleConfig) else "",
        because=insync.because if insync is not None else "",
        unreadable=unreadable(own_keys, keys.values),
    )
    return _with_farm(view, keys, config, local, fresh=fresh) if isinstance(config, FarmConfig) else view


def _with_farm(view: ModuleView, keys: Keys, config: FarmConfig, local: LocalState, *, fresh: bool) -> ModuleView:
    """``view`` of a farm, and what its nodes share."""
    own = keys.cluster.module(view.name)
    tables = farm_tables(keys.values, own, config, local.busy, local.awaited, local.figures)

    def shared(node: NodeState) -> NodeState:
        desired, known = keys.desired(view.name, node.node), fresh and node.state is not None
        generation = generation_in(node.resources)
        return replace(node, farm=farm_share(config, node.node, desired, tables, generation, known=known))

    return replace(view, nodes=tuple(map(shared, view.nodes)), tables=tables)


def _with_own(node: NodeState, local: LocalState) -> NodeState:
    return replace(
        node, progress=local.progress, pace=local.pace, detail=local.detail, refused=local.refused, stream=local.stream
    )


def _named(refused: RefusedStream, keys: Keys, module: str, here: str) -> RefusedStream:
    """Whose address it is, where that is known; only one end says by itself with whom it has to do."""
    if refused.node:
        return refused
    found = (node for node in sorted(keys.known_nodes() - {here}) if refused.address in keys.addresses(module, node))
    return replace(refused, node=next(found, ""))


def _with_asides(node: NodeState, insync: InsyncRecord | None) -> NodeState:
    """Where etcd knows of no copy that an operator has decided upon, no node has set aside anything, whatever it says.

    Else only a node on which the module runs can say, and of all others it is not known.
    """
    if (insync is not None and insync.decided) or node.state is None or aside_in(node.resources) is not None:
        return node
    return replace(node, resources=with_aside(node.resources, KeptAside(0, 0)))


def _is_off(keys: Keys, module: str, node: str, switch: str) -> bool:
    desired = keys.desired(module, node)
    return desired is not None and desired.switches.get(switch) == OFF


def _names(keys: Keys, module: str, config: AnyModule | None) -> tuple[str, ...]:
    """The module's nodes; of a configuration that is not understood, those that left a trace."""
    if config is not None:
        return config.nodes
    prefix = keys.cluster.module(module).prefix
    traces = (*keys.under(f"{prefix}members/"), *keys.under(f"{prefix}desired/"))
    return tuple(sorted({k.rpartition("/")[2] for k in traces}))


def _node_state(
    keys: Keys, module: str, node: str, insync: InsyncRecord | None, own: MemberRecord | None, *, fresh: bool
) -> NodeState:
    member = own
    if member is None and fresh:
        member = keys.record(MemberRecord, keys.cluster.module(module).member(node))
    desired = keys.desired(module, node)
    registered = keys.cluster.node(node) in keys.values
    wanted = desired.run if desired is not None else None
    # Without etcd the record may have been changed since; not while this node serves, for then only it changes it.
    serves = own is not None and own.state.is_primary
    known = NodeState(
        node=node,
        state=None,
        readiness=None,
        reason="",
        wanted=wanted,
        registered=registered if fresh else None,
        listed=insync.holder(node) is not None if insync is not None and (fresh or serves) else None,
        boot=desired.boot if desired is not None else Setting.PREV,
    )
    if member is not None:
        return replace(
            known,
            state=member.state,
            readiness=member.readiness,
            reason=member.reason,
            epoch=member.epoch,
            frozen=member.frozen,
            resources=member.resources,
            disk=member.disk,
        )
    if fresh and registered and desired is None and keys.cluster.module(module).desired(node) in keys.values:
        return replace(known, state=ModuleState.STOP, readiness=Readiness.BLOCKED, reason=str(Reason.RECORD_UNREADABLE))
    if fresh and registered and wanted is not Run.STARTED:
        return replace(known, state=ModuleState.STOP, readiness=Readiness.READY, reason=str(why_stopped(desired)))
    return known


def why_stopped(desired: DesiredRecord | None) -> Reason:
    """Why a module that is not wanted on a node is not."""
    if desired is None:
        return Reason.NEVER_STARTED
    return Reason.BOOT_OFF if STOPPED_AT in desired.switches else Reason.STOPPED_BY_OPERATOR
