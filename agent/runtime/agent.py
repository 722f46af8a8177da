"""The whole agent of one node: its lease, its view of the cluster, its modules, and the doors at which it is asked.

It tells each module what concerns it: the store's silence, the lease, changed keys. What a module does is decided in
its core; which modules there are is :mod:`agent.runtime.modules`' business.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from agent.adapters.local_api import LocalApi
from agent.adapters.orphans import LongDead
from agent.adapters.stations import stations, unplaced
from agent.api_view import LocalState
from agent.core import events
from agent.runtime.building import Surroundings
from agent.runtime.channel import Channel
from agent.runtime.cluster_view import Changed
from agent.runtime.colleagues import Colleagues
from agent.runtime.departing import CLOSE_S, depart
from agent.runtime.identity import IdentityFile, keep_identity
from agent.runtime.known_addresses import KnownAddresses
from agent.runtime.modules import Modules, Runtime
from agent.runtime.startup import Former, clean_up, remove_left_addresses
from agent.runtime.tasks import Tasks
from manager.model import asides
from manager.model.api_snapshot import ReplicatorReport
from manager.model.api_verify import VerifyArguments
from manager.model.asides import AsideReport
from manager.model.config import AddressConfig
from manager.model.control import DiffReport, Progress, VerifyReport
from manager.model.errors import ConfigError, MirrorfarmError
from manager.model.records import ModuleConfigRecord, NodeRecord
from manager.time_limit import time_limit

PROBING_AGAIN_S = 5.0
LOOK_S = 0.25
"""So often it is looked at whether etcd is heard."""
REAP_S = 5.0
"""So often it is looked for zombies that nobody waits for."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where this agent is asked, and by what it asks others."""

    socket: LocalApi
    """For this node's operators."""
    channel: Channel
    """For the other nodes' agents."""
    colleagues: Colleagues

    async def close(self) -> None:
        """Answer nobody any more, and ask nobody."""
        await self.socket.close()
        await self.channel.close()
        await self.colleagues.close()


class Agent:
    """Everything that runs in the process; :meth:`run` is its life."""

    def __init__(self, around: Surroundings, doors: Callable[["Agent"], Doors], address: str) -> None:
        """``doors`` makes them; at ``address`` the other nodes probe this one."""
        self._around = around
        self._address = address
        self._doors = doors(self)
        self._tasks = Tasks(around.on_fatal)
        self._modules = Modules(around)
        self._known = KnownAddresses(
            around.config.node,
            around.boot_id,
            around.config.network.addresses,
            around.view,
            around.store,
            around.keeper,
            around.netlink,
            around.marks,
        )
        self._renewal_failed = ""
        self._silent = True
        self._taken_by = ""
        self._kept_out_by = ("", "")
        self._revision = 0
        self._log = structlog.get_logger()

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Live until ``stop``, and then end in order: every module is stopped here, then the lease is revoked.

        ``ready`` is called when the socket answers.

        Raises:
            ConfigError: the socket's path cannot be used.
        """
        around = self._around
        around.links.start()
        former = await clean_up(around)
        self._modules.expect(former)
        await remove_left_addresses(around, former)
        identity = IdentityFile(around.places.identity_file)
        around.view.listen(self._changed)
        self._tasks.start("watch", around.view.follow(around.store))
        self._tasks.start("lease", self._keep_lease(former))
        self._tasks.start("identity", keep_identity(around.view, around.store, identity))
        self._tasks.start("addresses", self._known.keep())
        self._tasks.start("store", self._look_at_store())
        self._tasks.start("orphans", _reap_long_dead())
        self._tasks.start("probing", self._open_probing())
        self._tasks.start("channel", self._doors.channel.open())
        # Before etcd is heard, which may take its time: who asks meanwhile is told that this node is being taken over.
        self._modules.resume(identity.read())
        self._tasks.start("modules", self._modules.manage())
        try:
            await self._doors.socket.listen(around.places.socket)
        except OSError as error:
            raise ConfigError(f"{around.places.socket}: found {error}; allowed: a path for a socket") from None
        ready()
        self._log.info("agent.started", node=around.config.node, cluster=around.config.cluster)
        await stop.wait()
        await self._end()

    # What the keeper tells

    def lease_renewed(self, lease_id: int, deadline_ns: int) -> None:
        """See :class:`agent.runtime.lease_keeper.LeaseListener`."""
        self._taken_by = ""
        self._kept_out_by = ("", "")
        if self._renewal_failed:
            self._log.info("lease.renewed", lease=f"{lease_id:x}")
            self._answered()
        for runtime in self._modules.all():
            runtime.lease_renewed(lease_id, deadline_ns)

    def lease_lost(self, lease_id: int) -> None:
        """See :class:`agent.runtime.lease_keeper.LeaseListener`."""
        self._log.error("lease.lost", lease=f"{lease_id:x}")
        for runtime in self._modules.all():
            runtime.give(events.LeaseLost())

    def store_silent(self, why: str) -> None:
        """See :class:`agent.runtime.lease_keeper.LeaseListener`."""
        if not self._renewal_failed:
            self._log.warning("lease.unrenewed", error=why)
        self._renewal_failed = why
        self._judge_store()

    def _answered(self) -> None:
        """Etcd has answered the keeper, whatever it said."""
        if self._renewal_failed:
            self._renewal_failed = ""
            self._judge_store()

    def node_taken(self, other: NodeRecord | None) -> None:
        """See :class:`agent.runtime.lease_keeper.LeaseListener`."""
        self._answered()
        whose = other.agent_instance if other is not None else "unknown"
        if whose != self._taken_by:
            self._taken_by = whose
            addresses = other.addresses if other is not None else ()
            self._log.error("node.taken", node=self._around.config.node, by=whose, addresses=addresses)

    def node_strange(self, other: str, software: str) -> None:
        """See :class:`agent.runtime.lease_keeper.LeaseListener`."""
        self._answered()
        if (other, software) != self._kept_out_by:
            self._kept_out_by = (other, software)
            self._log.error("node.kept_out", node=self._around.config.node, by=other, release=software or "unknown")

    # What the socket's handlers ask

    def local_state(self, module: str) -> LocalState:
        """The module on this node, with etcd or without."""
        return self._modules.local_state(module)

    def last_config(self, module: str) -> ModuleConfigRecord | None:
        """See :class:`agent.runtime.handling.LocalModules`."""
        return self._modules.last_config(module)

    async def verify(
        self, arguments: VerifyArguments, on_progress: Callable[[Progress], Awaitable[None]]
    ) -> VerifyReport:
        """See :class:`agent.runtime.handling.LocalModules`."""
        return await self._runtime(arguments.module).verify(arguments, on_progress)

    async def diff(self, module: str) -> DiffReport:
        """See :class:`agent.runtime.handling.LocalModules`."""
        return await self._runtime(module).diff()

    async def aside(self, module: str, command: asides.Command) -> AsideReport:
        """See :class:`agent.runtime.handling.LocalModules`."""
        return await self._runtime(module).aside(command)

    async def stations(self, addresses: Sequence[AddressConfig]) -> Mapping[str, str]:
        """See :class:`agent.runtime.handling.LocalModules`."""
        return await stations(addresses, self._around.netlink, self._around.marks)

    async def unplaced(self, addresses: Sequence[AddressConfig]) -> Mapping[str, str]:
        """See :class:`agent.runtime.handling.LocalModules`."""
        return await unplaced(addresses, self._around.netlink, self._around.marks)

    def replicator_report(self, module: str) -> ReplicatorReport:
        """See :class:`agent.runtime.handling.LocalModules`."""
        return self._runtime(module).replicator_report()

    def switch_traffic(self, module: str, by: str, *, is_open: bool) -> bool:
        """See :class:`agent.runtime.handling.LocalModules`."""
        return self._runtime(module).switch_traffic(by, is_open=is_open)

    def _runtime(self, module: str) -> Runtime:
        runtime = self._modules.get(module)
        if runtime is None:
            raise self._modules.not_here(module)
        return runtime

    # The store

    def _changed(self, changed: Changed) -> None:
        self._judge_store()
        went_back = changed.revision < self._revision
        self._revision = changed.revision
        for runtime in self._modules.seeing():
            if went_back:
                runtime.store_went_back()
            else:
                self._tell_if_concerned(runtime, changed)
        self._modules.look()

    def _tell_if_concerned(self, runtime: Runtime, changed: Changed) -> None:
        own = runtime.settings
        if changed.concerns(self._around.view.cluster, (own.module, *own.depends)):
            runtime.observed()

    def _judge_store(self) -> None:
        """Tell the modules when etcd falls silent, and when it is heard again."""
        silent = bool(self._renewal_failed) or not self._around.view.reachable
        if silent == self._silent:
            return
        self._silent = silent
        self._modules.store_heard = not silent
        if silent:
            self._log.warning("store.silenced", age_ms=self._around.view.age_ms)
        else:
            self._log.info("store.heard", revision=self._around.view.revision)
        for runtime in self._modules.all():
            runtime.give(events.StoreSilent() if silent else events.StoreHeard())

    async def _look_at_store(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._judge_store()

    async def _keep_lease(self, former: Former) -> None:
        keeper = self._around.keeper
        if not former.living:
            # Nothing of the former agent lives: the others need not wait for its lease's end.
            try:
                if await keeper.end_former():
                    self._log.info("lease.revoked", of="former agent")
            except MirrorfarmError as failure:
                self._log.warning("lease.left", of="former agent", error=str(failure))
        await keeper.keep(self)

    async def _open_probing(self) -> None:
        """Without it this node's farms get no share: it is tried until it can be."""
        port = self._around.config.network.probe_port
        while True:
            try:
                if not self._around.probing.open(self._address, port):
                    self._log.warning("probing.unheard", address=self._address, reason="this node does not have it yet")
                return
            except MirrorfarmError as failure:
                self._log.error("probing.closed", error=str(failure))
                await asyncio.sleep(PROBING_AGAIN_S)

    # The end

    async def _end(self) -> None:
        around = self._around
        self._log.info("agent.stopping")
        await self._modules.stop()
        await self._tasks.cancel("channel", "lease")
        await depart(around.keeper, self._doors.close)
        await self._tasks.cancel()
        around.probing.close()
        around.links.close()
        try:
            async with time_limit(CLOSE_S):
                await around.store.close()
                await around.netlink.close()
        except (MirrorfarmError, TimeoutError) as error:
            # The process ends now, and what it has open ends with it.
            self._log.warning("agent.unclosed", error=str(error))
        self._log.info("agent.stopped")


async def _reap_long_dead() -> None:
    """What scripts and programs have left to itself, and no module asks for, is not to stay as zombies."""
    dead = LongDead()
    while True:
        await asyncio.sleep(REAP_S)
        dead.look()
