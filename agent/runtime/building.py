"""Makes the runtime of one module: its core's settings and its hands, from its configuration and this node's."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from agent.adapters.addresses import VirtualAddresses
from agent.adapters.application import KILL_SECONDS, LEAVE_SECONDS, Application
from agent.adapters.application import Places as ApplicationPlaces
from agent.adapters.cgroups import module_cgroup
from agent.adapters.link_settings import LinkSettings
from agent.adapters.links import LinkWatch
from agent.adapters.marks import Marks
from agent.adapters.netlink import Netlink
from agent.adapters.nft_watch import TableWatch
from agent.adapters.probing import Probing
from agent.adapters.replicator_process import COMMAND
from agent.adapters.services import service_manager
from agent.api_view import parsed_config
from agent.core.mirror import Settings
from agent.runtime.address_hand import AddressHand
from agent.runtime.application_hand import ApplicationHand
from agent.runtime.cluster_view import ClusterView
from agent.runtime.lacking_hand import LackingHand
from agent.runtime.lease_keeper import LeaseKeeper
from agent.runtime.memory import Memory
from agent.runtime.module_runtime import Hands, ModuleRuntime
from agent.runtime.places import Places
from agent.runtime.probe_hand import ProbeHand
from agent.runtime.replicator_hand import ReplicatorHand
from agent.runtime.replicator_levels import ReplicatorLevels
from agent.runtime.running_config import RunningConfig
from agent.runtime.store_hand import StoreHand
from agent.runtime.tasks import OnFatal
from agent.runtime.verify_hand import VerifyHand
from agent.runtime.verify_notes import VerifyNotes
from manager.logs.levels import Levels
from manager.model.config import (
    Acknowledge,
    AgentConfig,
    AnyModule,
    ApplicationConfig,
    LeaseConfig,
    ModuleConfig,
    TlsMode,
    application_of,
)
from manager.model.log_words import LogLevel
from manager.model.records import ModuleConfigRecord
from manager.model.replicator_spec import ReplicatorSpec, SpecAddress, SpecWindow
from manager.model.states import ModuleState
from manager.store.api import Store

MS_NS = 1_000_000
SLACK_MS = 5_000
"""For what a start or stop needs beside its scripts."""
_KEPT = "it goes on by its former configuration: services in place of scripts count from the module's next start here"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all modules of this node share."""

    config: AgentConfig
    places: Places
    boot_id: str
    former_promise_until_ns: int
    promises: bool
    """These two: see ``agent.core.settings``."""
    replication_host: str
    cgroup_base: str
    """Directory of the cgroup below which those of the modules are made."""
    store: Store
    view: ClusterView
    keeper: LeaseKeeper
    netlink: Netlink
    links: LinkWatch
    marks: Marks
    link_settings: LinkSettings
    probing: Probing
    on_fatal: OnFatal
    replicator_command: tuple[str, ...] = COMMAND
    tables: TableWatch = field(default_factory=TableWatch)
    replicator_levels: ReplicatorLevels = field(default_factory=lambda: ReplicatorLevels(Levels(LogLevel.INFO)))


def make_runtime(
    around: Surroundings, cluster_id: str, record: ModuleConfigRecord, module: ModuleConfig, *, left: bool
) -> ModuleRuntime:
    """The runtime of ``module``, as ``record`` has it; ``left``: by a former agent, running."""
    settings = settings_of(around, cluster_id, record, module)
    note = RunningConfig(around.places.run(module.name))
    runtime = ModuleRuntime(
        settings,
        record,
        around.view,
        lambda runtime: _hands(around, settings, module, runtime, lambda: note.write(record)),
        around.on_fatal,
        left=left,
    )
    runtime.longest_stop_s = longest_stop_ms(module) / 1000
    return runtime


def settings_of(around: Surroundings, cluster_id: str, record: ModuleConfigRecord, module: ModuleConfig) -> Settings:
    """What the module's core is given once.

    Raises:
        DefiniteFailure: whether its memory was lost is not known.
    """
    lease = around.config.lease
    return Settings(
        cluster=around.view.cluster,
        module=module.name,
        node=around.config.node,
        nodes=module.nodes,
        boot_id=Memory(around.places.run(module.name), around.boot_id).boot_id(),
        cluster_id=cluster_id,
        module_id=record.module_id,
        replication_host=around.replication_host,
        initial_primary=module.initial_primary,
        start_limit_ns=longest_start_ms(module) * MS_NS,
        stop_limit_ns=longest_stop_ms(module) * MS_NS,
        peer_timeout_ns=module.replication.peer_timeout_ms * MS_NS,
        ttl_ns=lease.ttl_ms * MS_NS,
        promise_ns=promise_ns(lease),
        former_promise_until_ns=around.former_promise_until_ns,
        promises=around.promises,
        ask_every_ns=lease.renew_interval_ms * MS_NS // 2,
        taken_off_ns=(lease.stop_budget_ms + lease.margin_ms) * MS_NS,
        failover=module.failover,
        after_power_loss=module.after_power_loss,
        preferred_primary=module.preferred_primary,
        depends=module.depends,
    )


def promise_ns(lease: LeaseConfig) -> int:
    """For how long this node promises not to stand (S5): what a lease lasts after its last renewal, at the least."""
    return (lease.ttl_ms - lease.renew_interval_ms) * MS_NS


def longest_start_ms(module: AnyModule) -> int:
    """How long the start of the application may take, all its services one after the other."""
    return module.limits.start_timeout_ms * max(1, len(module.services)) + SLACK_MS


def longest_stop_ms(module: AnyModule) -> int:
    """How long its stop may take: once in order, once by force, and the killing of what is left."""
    once_ms = module.limits.stop_timeout_ms * max(1, len(module.services)) + round(LEAVE_SECONDS * 1000)
    return 2 * once_ms + round(KILL_SECONDS * 1000) + SLACK_MS


def spec_of(around: Surroundings, settings: Settings, module: ModuleConfig, cgroup: str) -> ReplicatorSpec:
    """What the module's replicator is started with; ``cgroup``: of the application."""
    return ReplicatorSpec(
        cluster_id=settings.cluster_id,
        module=module.name,
        module_id=settings.module_id,
        node=settings.node,
        boot_id=settings.boot_id,
        directories=module.directories,
        control_socket=around.places.control_socket(module.name),
        listen_host=around.config.network.replication_address,
        listen_port=module.replication.port,
        peer_timeout_ms=module.replication.peer_timeout_ms,
        acknowledge_disk=module.replication.acknowledge is Acknowledge.DISK,
        compression=module.replication.compression,
        must_exist=module.must_exist,
        cgroup=cgroup,
        log_file=around.places.replicator_log(module.name),
        log_level=around.config.log.level,
        log_to=around.config.log.to,
        syslog_socket=around.config.log.syslog_socket,
        addresses=tuple(SpecAddress(a.ip, a.prefix_length, a.interface) for a in module.addresses),
        peers=len(module.nodes) - 1,
        resync_bytes_s=module.resync.bandwidth_bytes_s,
        resync_windows=tuple(
            SpecWindow(w.from_minute, w.to_minute, w.bandwidth_bytes_s) for w in module.resync.schedule
        ),
        set_aside_bytes=module.resync.set_aside_bytes,
        tls_directory=around.config.tls.directory if around.config.tls.mode is TlsMode.ON else "",
    )


def _hands(
    around: Surroundings, settings: Settings, module: ModuleConfig, runtime: ModuleRuntime, starting: Callable[[], None]
) -> Hands:
    name, places, keeper = module.name, around.places, around.keeper
    applications = Applications(around, settings.node, settings.module_id, guarded=True)
    application = applications.of(application_of(module))
    spec = spec_of(around, settings, module, application.cgroup)

    def on_trouble(error: Exception) -> None:
        runtime.address_trouble(str(error))

    def deadline_ns() -> int:
        return runtime.serve_until_ns

    def state() -> ModuleState:
        return store.member.state if store.member is not None else ModuleState.STOP

    addresses = VirtualAddresses(module.addresses, around.netlink, around.links, around.marks, on_trouble)
    application_hand = ApplicationHand(
        name,
        application,
        places.application_marker(name),
        applications.changed,
        runtime.give,
        runtime.publish_again,
        around.on_fatal,
    )
    store = StoreHand(name, settings.node, around.store, around.view, keeper, runtime.give, around.on_fatal)
    memory = Memory(places.run(name), around.boot_id)
    replicator = ReplicatorHand(
        spec,
        places.run(name),
        module_cgroup(name, "replicator", around.cgroup_base),
        memory,
        runtime.give,
        runtime.heard,
        starting,
        application_hand.abandon,
        around.on_fatal,
        around.replicator_command,
        around.replicator_levels,
    )
    return Hands(
        store=store,
        replicator=replicator,
        application=application_hand,
        addresses=AddressHand(name, addresses, runtime.give, deadline_ns, around.on_fatal, runtime.publish_again),
        memory=memory,
        verify=VerifyHand(
            name,
            settings.node,
            module.verify,
            VerifyNotes(name, around.store, around.view, around.on_fatal),
            state,
            replicator.tell,
            around.on_fatal,
        ),
        probing=ProbeHand(
            name,
            module.replication.port,
            tuple(a.ip for a in module.addresses),
            around.netlink,
            runtime.give,
            around.on_fatal,
        ),
        lacking=LackingHand(
            name, settings.node, module.nodes, around.store, around.view, runtime.diff, around.on_fatal
        ),
    )


class Applications:
    """Makes a module's application, and makes it anew when it is started after its configuration has changed.

    Of a changed configuration a restart of the application takes scripts, services, limits and environment; the rest
    counts from the module's next start on this node. It is told of the addresses of what it depends on at each start.
    """

    def __init__(self, around: Surroundings, node: str, module_id: str, *, guarded: bool = False) -> None:
        """``guarded``: by a warden, which was told in which control group it is (S7).

        So it stays there: with systemd, services in place of scripts count from the module's next start, too.
        """
        self._around = around
        self._node = node
        self._module_id = module_id
        self._guarded = guarded
        self._cgroup = ""
        self.current: ApplicationConfig | None = None
        """By what the application runs that was made last."""

    def of(self, config: ApplicationConfig) -> Application:
        """The application that ``config`` is of; it is told where what it depends on is reached now."""
        self.current = self._with_addresses(config)
        application = self._made(self.current)
        self._cgroup = application.cgroup
        return application

    def _made(self, config: ApplicationConfig) -> Application:
        name, places = config.module, self._around.places
        return Application(
            config,
            self._node,
            module_cgroup(name, "app", self._around.cgroup_base),
            ApplicationPlaces(places.scripts(name), places.logs(name)),
            service_manager(name) if config.services else None,
        )

    def changed(self) -> Application | None:
        """The application as the cluster has it now; ``None``: it is the one that was made last."""
        former = self.current
        record = self._around.view.keys.config(former.module) if former is not None else None
        module = parsed_config(record) if record is not None else None
        if former is None or record is None or module is None or record.module_id != self._module_id:
            return None
        kept = dataclasses.replace(application_of(module), directories=former.directories, depends=former.depends)
        now = self._with_addresses(kept)
        if now == former:
            return None
        application = self._made(now)
        if self._guarded and application.cgroup != self._cgroup:
            structlog.get_logger().warning("application.kept", module=former.module, meaning=_KEPT)
            return None
        self.current = now
        return application

    def _with_addresses(self, config: ApplicationConfig) -> ApplicationConfig:
        return dataclasses.replace(config, depends={m: self._addresses(m, a) for m, a in config.depends.items()})

    def _addresses(self, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """Of another module; those that were ``known`` before, where this release does not understand it now."""
        record = self._around.view.keys.config(name)
        module = parsed_config(record) if record is not None else None
        return known if module is None else tuple(a.ip for a in module.addresses)
