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
from agent.runtime.module_refusals import (
    beyond_repair,
    invalid,
    refuse_adoption,
    refuse_change,
    refuse_conflicting,
    refuse_held,
    refuse_taken,
    refuse_unheld,
    refuse_while_needed,
    refuse_while_started,
    started_on,
    vouched_identity,
)
from manager.model.api import UNCHANGED, ApiError, ErrorKind
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
from manager.model.config import AnyModule, FarmConfig, directories_of, parse_module
from manager.model.errors import ConfigError
from manager.model.records import STOPPED_AT, ClusterIdentity, DesiredRecord, DiskIdentity, ModuleConfigRecord
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
            raise invalid(error) from None
        disk = await asyncio.to_thread(vouched_identity, config) if arguments.adopt else None
        if isinstance(config, FarmConfig):
            await self._seat.view.until(lambda: self._seat.view.cluster.identity in self._seat.view.kvs, SEE_S)
            self._plan_apply(config, arguments, caller, disk)  # What is wrong by itself is said first.
            await refuse_unheld(self._seat, config)
            await refuse_taken(self._seat, config)
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
        started = started_on(seat, module, config.nodes)
        if disk is not None:
            refuse_adoption(seat, module, former, disk)
        if former is None and disk is None and kv is not None:
            raise beyond_repair(module)
        is_understood = former is not None and seat.view.keys.config(module) == former
        if former is not None and is_understood and _is_same(former, arguments):
            return _Plan(None, ApplyResult(module, former.generation, False, False, config.nodes, started))
        refuse_conflicting(seat, config)
        refuse_held(seat, config)
        refuse_change(seat, config, former)
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

    def _plan_remove(self, arguments: RemoveArguments) -> _Plan:
        seat, module = self._seat, arguments.module
        config, nodes = self._applied(module)
        refuse_while_needed(seat, module)
        refuse_while_started(seat, module, nodes, arguments.gone)
        keys = seat.keys_of(module)
        read = [keys.config, keys.primary, keys.insync]
        read += [k for n in nodes for k in (keys.desired(n), keys.member(n))]
        guards, changes = self._in_turn()
        txn = Txn((*guards, *(seat.revision_guard(k) for k in read)), (*changes, DeletePrefix(keys.prefix)))
        return _Plan(txn, RemoveResult(module, directories_of(config) if config is not None else ()))

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
        config = seat.understood(module)
        return config, config.nodes if config is not None else tuple(n.node for n in seat.module_view(module).nodes)

    def _in_turn(self, cluster_id: str = "") -> tuple[tuple[Guard, ...], tuple[Change, ...]]:
        """What makes two of these calls come one after the other; ``cluster_id``: the cluster's from now on."""
        key = self._seat.view.cluster.identity
        identity = self._seat.view.kvs.get(key)
        if identity is None:
            raise ApiError(
                ErrorKind.STORE_UNREACHABLE,
                "The cluster's identity is not in etcd yet.",
                meaning=UNCHANGED,
                remedy="The first agent that reaches etcd makes it: ask again in a moment.",
            )
        value = identity.value
        known = self._seat.view.keys.record(ClusterIdentity, key)
        if cluster_id and known is not None:
            value = encode(dataclasses.replace(known, cluster_id=cluster_id))
        return (self._seat.revision_guard(key),), (Put(key, value),)


def _next_generation(former: ModuleConfigRecord | None, unread: KeyValue | None) -> int:
    """One by which no node runs. ``unread``: what etcd has, where that is not understood.

    Others may have been applied since the last one that this agent has understood. None of them is above the number of
    times that the key was written.
    """
    return 1 + max(0 if former is None else former.generation, 0 if unread is None else unread.version)


def _is_same(former: ModuleConfigRecord, arguments: ApplyArguments) -> bool:
    return (former.toml, former.scripts) == (arguments.toml, arguments.scripts)
