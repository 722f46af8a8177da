"""The calls that change what the cluster shall run: module.apply, module.remove, desired, switch.

Each is one transaction guarded by everything that it was judged by, so that two operators at once cannot make a cluster
that neither of them asked for. Applying and removing also write the cluster's identity anew, as it is, and are guarded
by its revision: so they come one after the other, and conflicts between modules are seen.
"""

import asyncio
import dataclasses
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from agent.adapters.calls import Caller, Report
from agent.adapters.disk_identities import IdentityUnclear, common_identity
from agent.api_view import parsed_config
from agent.runtime.handling import (
    ATTEMPTS,
    SEE_S,
    Seat,
    changed_meanwhile,
    not_understood,
    unknown_module,
    unknown_node,
    utc_now,
)
from agent.runtime.kind_of_module import refuse_farm
from manager.model.api import ApiError, ErrorKind
from manager.model.api_modules import (
    ApplyArguments,
    ApplyResult,
    DesiredArguments,
    DesiredResult,
    RemoveArguments,
    RemoveResult,
    Switch,
    SwitchArguments,
    SwitchResult,
)
from manager.model.codec import encode
from manager.model.config import (
    AnyModule,
    FarmConfig,
    dependents_of,
    directories_of,
    parse_module,
    refuse_answered,
    refuse_conflicts,
    refuse_dependencies,
    refuse_unknown_nodes,
    refuse_unplaced,
)
from manager.model.errors import ConfigError
from manager.model.records import (
    STOPPED_AT,
    ClusterIdentity,
    DesiredRecord,
    DiskIdentity,
    ModuleConfigRecord,
)
from manager.model.states import Run, Setting
from manager.store.api import Change, DeletePrefix, Guard, KeyValue, Put, Txn


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be written, and what is answered once it stands; without a transaction it stands already."""

    txn: Txn | None
    result: ApplyResult | RemoveResult | DesiredResult | SwitchResult


class ModuleHandlers:
    """Writes configurations and desired states."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    async def apply(self, arguments: ApplyArguments, caller: Caller, report: Report) -> ApplyResult:
        """Make a folder the module's configuration."""
        try:
            config = parse_module(arguments.toml, arguments.scripts)
        except ConfigError as error:
            raise _invalid(error) from None
        disk = await asyncio.to_thread(_vouched, config) if arguments.adopt else None
        if isinstance(config, FarmConfig):
            await self._seat.view.until(lambda: self._seat.view.cluster.identity in self._seat.view.kvs, SEE_S)
            self._plan_apply(config, arguments, caller, disk)  # What is wrong by itself is said first.
            await self._refuse_unplaced(config)
            await self._refuse_answered(config)
        result = await self._carry_out(config.name, lambda: self._plan_apply(config, arguments, caller, disk))
        assert isinstance(result, ApplyResult)
        return result

    async def remove(self, arguments: RemoveArguments, caller: Caller, report: Report) -> RemoveResult:
        """Take a stopped module out of the cluster."""
        result = await self._carry_out(arguments.module, lambda: self._plan_remove(arguments))
        assert isinstance(result, RemoveResult)
        return result

    async def desired(self, arguments: DesiredArguments, caller: Caller, report: Report) -> DesiredResult:
        """Start or stop, on some nodes or all."""
        result = await self._carry_out(arguments.module, lambda: self._plan_desired(arguments))
        assert isinstance(result, DesiredResult)
        return result

    async def switch(self, arguments: SwitchArguments, caller: Caller, report: Report) -> SwitchResult:
        """Switch something off or on, on some nodes or all; it survives restarts."""
        result = await self._carry_out(arguments.module, lambda: self._plan_switch(arguments))
        assert isinstance(result, SwitchResult)
        return result

    async def _carry_out(
        self, module: str, plan: Callable[[], _Plan]
    ) -> ApplyResult | RemoveResult | DesiredResult | SwitchResult:
        await self._seat.view.until(lambda: self._seat.view.cluster.identity in self._seat.view.kvs, SEE_S)
        for _ in range(ATTEMPTS):
            planned = plan()
            if planned.txn is None:
                seen = self._seat.view.revision
                await self._seat.refuse_old_news()
                if self._seat.view.revision != seen:
                    continue
                return planned.result
            settled = await self._seat.commit(planned.txn)
            # Seen here either way: what was written, or what came in between.
            await self._seat.wait_seen(settled.revision)
            if settled.succeeded:
                return planned.result
        raise changed_meanwhile(f"Module {module}")

    def _plan_apply(
        self, config: AnyModule, arguments: ApplyArguments, caller: Caller, disk: DiskIdentity | None
    ) -> _Plan:
        seat, module = self._seat, config.name
        seat.heard()
        former, kv = seat.known_config(module), seat.view.kvs.get(seat.keys_of(module).config)
        started = self._started_on(module, config.nodes)
        if disk is not None:
            self._refuse_adoption(module, former, disk)
        if former is None and disk is None and kv is not None:
            raise _beyond_repair(module)
        is_understood = former is not None and seat.view.keys.config(module) == former
        if former is not None and is_understood and _is_same(former, arguments):
            return _Plan(None, ApplyResult(module, former.generation, False, False, config.nodes, started))
        self._refuse_conflicts(config)
        self._refuse_change(config, former)
        record = ModuleConfigRecord(
            module_id=former.module_id if former is not None else uuid.uuid4().hex if disk is None else disk.module_id,
            generation=_next_generation(former, None if is_understood else kv),
            toml=arguments.toml,
            scripts=arguments.scripts,
            applied_at=utc_now(),
            applied_by=caller.name,
        )
        guards, changes = self._in_turn("" if disk is None else disk.cluster_id)
        key = seat.keys_of(module).config
        txn = Txn((*guards, seat.revision_guard(key)), (*changes, Put(key, encode(record))))
        return _Plan(txn, ApplyResult(module, record.generation, kv is None, True, config.nodes, started))

    def _refuse_adoption(self, module: str, former: ModuleConfigRecord | None, disk: DiskIdentity) -> None:
        """What is here already may be in use with the identity that it has."""
        identity = self._seat.view.keys.record(ClusterIdentity, self._seat.view.cluster.identity)
        others = [m for m in self._seat.view.keys.modules() if m != module]
        if former is not None and former.module_id != disk.module_id:
            raise ApiError(
                ErrorKind.REFUSED,
                f"Module {module} is in etcd already, and this node's disks belong to another one of that name.",
                meaning=_UNCHANGED,
                remedy=f"If nothing has run with it yet: mirrorfarm module remove {module}, then apply it again.",
            )
        if identity is not None and identity.cluster_id != disk.cluster_id and (others or former is not None):
            raise ApiError(
                ErrorKind.REFUSED,
                f"This node's disks belong to another cluster, and this one has {', '.join(others) or module} already.",
                meaning=_UNCHANGED,
                remedy="Adopt the modules of a rebuilt etcd before any other module is applied to it.",
            )

    def _refuse_conflicts(self, config: AnyModule) -> None:
        keys = self._seat.view.keys
        there = self._others(config.name)
        others = (o for o in there.values() if o is not None)
        try:
            refuse_conflicts(config, others, {n.node: n.addresses for n in keys.nodes()})
            refuse_dependencies(config, there)
            if isinstance(config, FarmConfig):
                former = self._former(config.name)
                refuse_unknown_nodes(config, {*keys.known_nodes(), *(former.nodes if former is not None else ())})
        except ConfigError as error:
            raise _invalid(error) from None

    async def _refuse_unplaced(self, farm: FarmConfig) -> None:
        """Each of its nodes holds every address, or does not start: this node knows what it could not hold.

        What it has had already stays: a link that is away for a moment is no reason to refuse another change.
        """
        former = self._former(farm.name)
        had = {(a.ip, a.interface) for a in former.addresses} if former is not None else set()
        asked = [a for a in farm.addresses if (a.ip, a.interface) not in had]
        if self._seat.node not in farm.nodes or not asked:
            return
        try:
            refuse_unplaced(farm, self._seat.node, await self._seat.modules.unplaced(asked))
        except ConfigError as error:
            raise _invalid(error) from None

    async def _refuse_answered(self, farm: FarmConfig) -> None:
        """Every node will have the address on its loopback, and whoever has it now be out of their reach."""
        former = self._former(farm.name)
        had = {a.ip for a in former.addresses} if former is not None else set()
        asked = [a for a in farm.addresses if a.probe and a.ip not in had]
        try:
            refuse_answered(farm, await self._seat.modules.stations(asked) if asked else {})
        except ConfigError as error:
            raise _invalid(error) from None

    def _former(self, module: str) -> AnyModule | None:
        record = self._seat.known_config(module)
        return None if record is None else parsed_config(record)

    def _others(self, module: str) -> dict[str, AnyModule | None]:
        """The other modules, by the last configurations that were understood here; ``None``: none of it was."""
        seat = self._seat
        records = {name: seat.known_config(name) for name in seat.view.keys.modules() if name != module}
        return {name: parsed_config(record) if record is not None else None for name, record in records.items()}

    def _refuse_change(self, config: AnyModule, former: ModuleConfigRecord | None) -> None:
        """What a module cannot become while others count on what it is."""
        before = parsed_config(former) if former is not None else None
        if before is None:
            return
        leaving = self._started_on(config.name, tuple(n for n in before.nodes if n not in config.nodes))
        if leaving:
            raise ApiError(
                ErrorKind.REFUSED,
                f"{config.name} is started on {', '.join(leaving)}, which would not be its node any more.",
                meaning=_UNCHANGED,
                remedy=f"First: mirrorfarm stop {config.name} --node {leaving[0]}",
            )
        if before.kind is not config.kind:
            raise ApiError(
                ErrorKind.REFUSED,
                f"{config.name} is a {before.kind}, and cannot become a {config.kind}.",
                meaning=_UNCHANGED,
                remedy=f"Take another name; or first: mirrorfarm module remove {config.name}",
            )
        has_run = self._seat.keys_of(config.name).insync in self._seat.view.kvs
        if has_run and directories_of(before) != directories_of(config):
            raise ApiError(
                ErrorKind.REFUSED,
                f"{config.name} has been running with other directories: {', '.join(directories_of(before))}.",
                meaning=f"{_UNCHANGED} Which node has its good data is known for those directories only.",
                remedy=f"To begin anew, with the data left where it is: mirrorfarm stop {config.name}, mirrorfarm "
                f"module remove {config.name}, then apply and start it, and name the good data by mirrorfarm prim.",
            )

    def _plan_remove(self, arguments: RemoveArguments) -> _Plan:
        seat, module = self._seat, arguments.module
        config, nodes = self._applied(module)
        self._refuse_while_needed(module)
        self._refuse_while_started(module, nodes, arguments.gone)
        keys = seat.keys_of(module)
        read = [keys.config, keys.primary, keys.insync]
        read += [k for n in nodes for k in (keys.desired(n), keys.member(n))]
        guards, changes = self._in_turn()
        txn = Txn((*guards, *(seat.revision_guard(k) for k in read)), (*changes, DeletePrefix(keys.prefix)))
        return _Plan(txn, RemoveResult(module, directories_of(config) if config is not None else ()))

    def _refuse_while_needed(self, module: str) -> None:
        needed_by = dependents_of(module, (o for o in self._others(module).values() if o is not None))
        if needed_by:
            raise ApiError(
                ErrorKind.REFUSED,
                f"Without {module} the application of {' and of '.join(needed_by)} would not be started any more.",
                meaning=_UNCHANGED,
                remedy=f"First take {module} out of depends in the module.toml of {needed_by[0]}, and apply that; or: "
                f"mirrorfarm module remove {needed_by[0]}",
            )

    def _refuse_while_started(self, module: str, nodes: tuple[str, ...], gone: tuple[str, ...]) -> None:
        seat = self._seat
        keys, kvs = seat.keys_of(module), seat.view.kvs
        registered = {n.node for n in seat.view.keys.nodes()}
        live = [n for n in nodes if keys.member(n) in kvs]
        started = [n for n in self._started_on(module, nodes) if n not in gone or n in registered]
        if started or live or keys.primary in kvs:
            where = ", ".join(dict.fromkeys([*started, *live])) or "the node that is primary"
            raise ApiError(
                ErrorKind.REFUSED,
                f"{module} is started on {where}.",
                meaning=_UNCHANGED,
                remedy=f"First: mirrorfarm stop {module}",
            )
        silent = [n for n in nodes if n not in registered and n not in gone]
        if silent:
            raise ApiError(
                ErrorKind.REFUSED,
                f"The agent of {', '.join(silent)} is not registered, so it is not known whether {module} is stopped "
                "there.",
                meaning=_UNCHANGED,
                remedy=f"Start that agent; or, when the node will never come back, add --gone {silent[0]}",
            )

    def _plan_desired(self, arguments: DesiredArguments) -> _Plan:
        def wanted(former: DesiredRecord | None) -> DesiredRecord:
            switches = {s: v for s, v in former.switches.items() if s != STOPPED_AT} if former is not None else {}
            return DesiredRecord(arguments.run, switches)

        nodes = self._nodes(arguments.module, arguments.nodes)
        if not nodes and arguments.run is Run.STARTED:  # A stop has nothing to do there, and comes before its removal.
            raise not_understood(arguments.module)
        return _Plan(
            self._rewrite(arguments.module, nodes, wanted, partly=False), DesiredResult(arguments.module, nodes)
        )

    def _plan_switch(self, arguments: SwitchArguments) -> _Plan:
        rests_at = Setting.PREV if arguments.switch is Switch.BOOT else Setting.ON
        if arguments.switch is Switch.FAILOVER:
            refuse_farm(self._seat, arguments.module, "maintenance on and off")
            if arguments.setting is Setting.PREV:
                raise ApiError(ErrorKind.BAD_REQUEST, f"{arguments.switch} is on or off, and not {arguments.setting}.")

        def wanted(former: DesiredRecord | None) -> DesiredRecord | None:
            known = former or DesiredRecord(Run.STOPPED)
            switches = {s: v for s, v in known.switches.items() if s != arguments.switch}
            if arguments.setting is not rests_at:
                switches[arguments.switch] = str(arguments.setting)
            return dataclasses.replace(known, switches=switches) if switches != known.switches else former

        nodes = self._nodes(arguments.module, arguments.nodes)
        if not nodes:
            raise not_understood(arguments.module)
        return _Plan(self._rewrite(arguments.module, nodes, wanted, partly=True), SwitchResult(arguments.module, nodes))

    def _rewrite(
        self,
        module: str,
        nodes: tuple[str, ...],
        wanted: Callable[[DesiredRecord | None], DesiredRecord | None],
        *,
        partly: bool,
    ) -> Txn | None:
        """Makes of each node's desired record what is ``wanted`` of the former one; ``None``: all are so already.

        ``partly``: what is not changed of it has to be known.
        """
        seat, keys = self._seat, self._seat.keys_of(module)
        guards: list[Guard] = [seat.revision_guard(keys.config)]
        changes: list[Change] = []
        for node in nodes:
            former = seat.desired(module, node) if partly else seat.view.keys.desired(module, node)
            record = wanted(former)
            if record is not None and record != former:
                guards.append(seat.revision_guard(keys.desired(node)))
                changes.append(Put(keys.desired(node), encode(record)))
        return Txn(tuple(guards), tuple(changes)) if changes else None

    def _nodes(self, module: str, named: tuple[str, ...]) -> tuple[str, ...]:
        """Those named, or all of the module's."""
        _, known = self._applied(module)
        for node in named:
            if node not in known:
                raise unknown_node(module, node, known)
        return named or known

    def _applied(self, module: str) -> tuple[AnyModule | None, tuple[str, ...]]:
        """``module`` as it was understood last, and its nodes; ``None``: it never was, and they are those etcd names.

        Raises:
            ApiError: etcd has not been heard yet, or has no such module.
        """
        seat = self._seat
        if not seat.is_applied(module):
            seat.heard()
            raise unknown_module(module)
        config = self._former(module)
        return config, config.nodes if config is not None else tuple(n.node for n in seat.module_view(module).nodes)

    def _in_turn(self, cluster_id: str = "") -> tuple[tuple[Guard, ...], tuple[Change, ...]]:
        """What makes two of these calls come one after the other; ``cluster_id``: the cluster's from now on."""
        key = self._seat.view.cluster.identity
        identity = self._seat.view.kvs.get(key)
        if identity is None:
            raise ApiError(
                ErrorKind.STORE_UNREACHABLE,
                "The cluster's identity is not in etcd yet.",
                meaning=_UNCHANGED,
                remedy="The first agent that reaches etcd makes it: ask again in a moment.",
            )
        value = identity.value
        known = self._seat.view.keys.record(ClusterIdentity, key)
        if cluster_id and known is not None:
            value = encode(dataclasses.replace(known, cluster_id=cluster_id))
        return (self._seat.revision_guard(key),), (Put(key, value),)

    def _started_on(self, module: str, nodes: tuple[str, ...]) -> tuple[str, ...]:
        """What is not understood may say so, too."""
        seat, keys = self._seat, self._seat.keys_of(module)
        wanted = {n: seat.view.keys.desired(module, n) for n in nodes if keys.desired(n) in seat.view.kvs}
        return tuple(n for n, d in wanted.items() if d is None or d.run is Run.STARTED)


def _next_generation(former: ModuleConfigRecord | None, unread: KeyValue | None) -> int:
    """One by which no node runs. ``unread``: what etcd has, where that is not understood.

    Others may have been applied since the last one that this agent has understood. None of them is above the number of
    times that the key was written.
    """
    return 1 + max(0 if former is None else former.generation, 0 if unread is None else unread.version)


def _is_same(former: ModuleConfigRecord, arguments: ApplyArguments) -> bool:
    return (former.toml, former.scripts) == (arguments.toml, arguments.scripts)


def _beyond_repair(module: str) -> ApiError:
    """Without the id that it had, each disk would be that of another module."""
    return ApiError(
        ErrorKind.REFUSED,
        f"The configuration of {module} in etcd is not understood, and was not since this agent began: which module "
        "the disks belong to is not known from it.",
        meaning=_UNCHANGED,
        remedy="A mirror: on a node with its data, mirrorfarm module apply DIR --adopt. What has never run, or a farm: "
        f"mirrorfarm stop {module}, mirrorfarm module remove {module}, then apply it.",
    )


def _vouched(config: AnyModule) -> DiskIdentity:
    """What this node's disks of the module say that they belong to. Blocks.

    Raises:
        ApiError: nothing, or different things.
    """
    if isinstance(config, FarmConfig):
        raise ApiError(
            ErrorKind.REFUSED,
            f"{config.name} is a farm: it keeps nothing on disks by which a rebuilt etcd could know it.",
            meaning=_UNCHANGED,
            remedy="Leave --adopt out.",
        )
    try:
        return common_identity(config.directories)
    except IdentityUnclear as error:
        raise ApiError(
            ErrorKind.REFUSED,
            str(error),
            meaning=_UNCHANGED,
            remedy="Ask on a node whose disks have the module's data; or leave --adopt out: then it is a new module.",
        ) from None


def _invalid(error: ConfigError) -> ApiError:
    return ApiError(ErrorKind.BAD_REQUEST, str(error), meaning=_UNCHANGED)


_UNCHANGED = "Nothing was changed."
