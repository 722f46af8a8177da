"""Puts the agent together: this node's adapters handed to its runtime."""

import sys
import uuid
from functools import partial

import structlog

import manager
from agent.adapters.calls import Calls
from agent.adapters.cgroups import own_directory
from agent.adapters.channel_client import ChannelClient
from agent.adapters.host import boot_id, now_ns
from agent.adapters.link_settings import LinkSettings
from agent.adapters.links import LinkWatch
from agent.adapters.local_api import LocalApi
from agent.adapters.log_files import LogFiles
from agent.adapters.marks import Marks
from agent.adapters.netlink import Netlink
from agent.adapters.probing import Dropped, Probing
from agent.adapters.replicator_process import COMMAND, RunFiles
from agent.adapters.snapshot_program import SnapshotProgram
from agent.core.farm.settings import DEAD_AFTER_NS
from agent.core.promise_note import PromiseNote, succeed
from agent.runtime.agent import Agent, Doors
from agent.runtime.building import Surroundings, promise_ns
from agent.runtime.channel import Channel, credentials_of
from agent.runtime.cluster_view import ClusterView
from agent.runtime.colleagues import Colleagues
from agent.runtime.handlers import handlers
from agent.runtime.handlers_check import CheckHandlers, Looks
from agent.runtime.handlers_log_levels import LogLevelHandlers
from agent.runtime.handlers_snapshot import SnapshotHandlers
from agent.runtime.handling import Seat
from agent.runtime.lease_keeper import LeaseFile, LeaseKeeper
from agent.runtime.own_addresses import OwnAddresses, first_addresses
from agent.runtime.places import Places
from agent.runtime.promise_file import PromiseFile
from agent.runtime.replicator_levels import ReplicatorLevels
from agent.runtime.tasks import OnFatal
from manager.config_files import AGENT_CONFIG
from manager.logs.levels import Levels
from manager.model.api_channel import Greeting
from manager.model.config import AgentConfig
from manager.model.errors import DefiniteFailure
from manager.model.keys import ClusterKeys
from manager.model.records import NodeRecord
from manager.model.versions import CHANNEL, SPEAKS
from manager.store.api import Store
from manager.store.etcd import connect

SNAPSHOT = (sys.executable, "-I", "-m", "manager.cli.main")
SILENCE_SLACK_MS = 500
"""Beside the interval and the calls of a renewal, which the watch shows. Without one for so long, etcd is silent; until
then another member is asked for what the one that is watched may not tell."""


async def assemble(
    config: AgentConfig,
    places: Places,
    on_fatal: OnFatal,
    store: Store | None = None,
    replicator_command: tuple[str, ...] = COMMAND,
    config_file: str = AGENT_CONFIG,
    levels: Levels | None = None,
) -> Agent:
    """The agent of this node, of which ``config`` stands in ``config_file``.

    ``store``: instead of the one that the configuration names. Where no address is named, and there is none yet, one
    is waited for. ``levels``: of its log.

    Raises:
        ConfigError: something that the configuration names is not there.
        DefiniteFailure, IndefiniteFailure: the kernel cannot be asked.
    """
    netlink, marks = Netlink(), Marks(places.marks)
    addresses = config.network.addresses or await first_addresses(netlink, marks)
    boot = boot_id(config.paths.boot_id)
    promise_file = PromiseFile(places.promise_file)
    promise = succeed(promise_file.read(), boot, promise_ns(config.lease), now_ns())
    promises = _is_noted(promise_file, promise)
    renewed_within_ms = config.lease.renew_interval_ms + 2 * config.etcd.call_timeout_ms
    store = store or connect(config.etcd, renewed_within_ms / 1000)
    view = ClusterView(ClusterKeys(config.cluster), renewed_within_ms + SILENCE_SLACK_MS)
    around = Surroundings(
        config=config,
        places=places,
        boot_id=boot,
        former_promise_until_ns=promise.former_until_ns,
        promises=promises,
        replication_host=config.network.replication_address or addresses[0],
        cgroup_base=own_directory(),
        store=store,
        view=view,
        keeper=_keeper(config, places, store, view, _registration(config, boot, addresses, promises=promises)),
        netlink=netlink,
        links=LinkWatch(),
        marks=marks,
        link_settings=LinkSettings(places.link_settings),
        probing=Probing(config.node, DEAD_AFTER_NS, _told_dropped),
        on_fatal=on_fatal,
        replicator_command=replicator_command,
        replicator_levels=ReplicatorLevels(levels or Levels(config.log.level)),
    )
    return Agent(around, partial(_doors, around, addresses, config_file), addresses[0])


def _is_noted(file: PromiseFile, note: PromiseNote) -> bool:
    """Whether ``note`` stands on the disk: else the next agent would not know what this one has promised."""
    try:
        file.write(note)
    except DefiniteFailure as failure:
        meaning = (
            "nothing is promised until the agent is started again, and can: "
            "a primary elsewhere that loses etcd serves no longer than its lease"
        )
        structlog.get_logger().error("promise.unnoted", error=str(failure), meaning=meaning)
        return False
    return True


def _registration(config: AgentConfig, boot: str, addresses: tuple[str, ...], *, promises: bool) -> NodeRecord:
    return NodeRecord(
        node=config.node,
        addresses=addresses,
        software=manager.__version__,
        boot_id=boot,
        agent_instance=uuid.uuid4().hex,
        renewal=0,
        speaks=dict(SPEAKS),
        ttl_ms=config.lease.ttl_ms,
        promises=promises,
    )


def _keeper(config: AgentConfig, places: Places, store: Store, view: ClusterView, record: NodeRecord) -> LeaseKeeper:
    key = ClusterKeys(config.cluster).node(config.node)
    return LeaseKeeper(store, key, record, config.lease, LeaseFile(places.lease_file), lambda: view.point)


def _doors(around: Surroundings, addresses: tuple[str, ...], config_file: str, agent: Agent) -> Doors:
    """Where operators and the other nodes' agents ask ``agent``, each what it may, and how it asks those."""
    config, view, on_fatal = around.config, around.view, around.on_fatal
    greeting = Greeting(config.cluster, config.node, manager.__version__, oldest_version=CHANNEL.oldest)
    credentials = credentials_of(config)
    port = config.network.agent_port
    client = ChannelClient(greeting, credentials, port)
    colleagues = Colleagues(config.node, view, client, secure=credentials is not None)

    own = OwnAddresses(around.netlink, around.marks, addresses, around.keeper.register_at)

    async def later() -> tuple[str, ...]:
        return () if config.network.addresses else await own.now()

    def replicator_of(module: str) -> int | None:
        return RunFiles(around.places.run(module)).live_pid()

    replicators, files = around.replicator_levels, LogFiles(config.paths.log)
    seat = Seat(config.node, manager.__version__, view, around.store, agent, replicators.levels)
    log = LogLevelHandlers(seat, replicators)
    check = CheckHandlers(seat, Looks(replicator_of), around.replication_host)
    program = SnapshotProgram((*SNAPSHOT, "--config", config_file, "snapshot", "--local", "--output", "-"))
    snapshot = SnapshotHandlers(seat, program)
    of_operators = handlers(seat, files, on_fatal, check, snapshot, log, colleagues)
    of_node = Calls(config.node, of_operators, _told_failure, colleagues.forward)
    by_certificate = Calls(config.node, of_operators, _told_failure)
    others = Calls(config.node, handlers(seat, files, on_fatal, check, snapshot, log), _told_failure)
    return Doors(
        LocalApi(of_node, config.socket.group),
        Channel(others, greeting, credentials, (*addresses, around.replication_host), port, later, by_certificate),
        colleagues,
    )


def _told_dropped(what: Dropped, sender: str) -> None:
    structlog.get_logger().warning("probe.dropped", what=what, sender=sender)


def _told_failure(call: str, error: Exception) -> None:
    structlog.get_logger().error("call.broken", call=call, exc_info=error)
