"""What ``module.toml`` says of a mirror."""

from collections.abc import Mapping

from manager.model.config.agent_config import PathsConfig
from manager.model.config.dependencies import check_dependencies
from manager.model.config.findings import Findings, listing
from manager.model.config.module_config import (
    Acknowledge,
    AfterPowerLoss,
    Failover,
    ModuleConfig,
    ReplicationConfig,
)
from manager.model.config.own_keys import refuse_keys_of_others
from manager.model.config.parse_addresses import parse_addresses
from manager.model.config.parse_application import check_services, parse_env, parse_limits
from manager.model.config.parse_resync import parse_resync
from manager.model.config.parse_verify import parse_verify
from manager.model.config.rules import DIRECTORY, NAME, PATH, SERVICE, Rule, is_below
from manager.model.config.tables import Table
from manager.model.states import ModuleKind

NODES_OF_A_MIRROR = 2

_OWN_PATHS = ("/etc/mirrorfarm", PathsConfig().state, PathsConfig().run, PathsConfig().log)
_KERNEL_PATHS = ("/proc", "/sys", "/dev")
_SYSTEM_PATHS = ("/bin", "/boot", "/lib", "/lib64", "/sbin", "/usr")
_LATER = "is for a later release"
_NODE_OR_NONE = Rule(f"{NAME.allowed}; or empty", lambda text: not text or NAME.holds(text))


def parse_mirror(top: Table, name: str, scripts: Mapping[str, str], findings: Findings) -> ModuleConfig:
    """The mirror in ``top``, of which name and kind have been read; what is wrong goes to ``findings``."""
    config = ModuleConfig(
        name=name,
        kind=ModuleKind.MIRROR,
        nodes=top.required_strings("nodes", NAME),
        directories=top.required_strings("directories", DIRECTORY),
        must_exist=top.strings("must_exist", PATH),
        initial_primary=top.text("initial_primary", "", _NODE_OR_NONE),
        failover=top.choice("failover", Failover.ON),
        after_power_loss=top.choice("after_power_loss", AfterPowerLoss.START),
        preferred_primary=top.text("preferred_primary", "", _NODE_OR_NONE),
        depends=top.strings("depends", NAME),
        addresses=parse_addresses(top.tables("address"), ModuleKind.MIRROR, findings),
        services=top.strings("services", SERVICE),
        limits=parse_limits(top.table("scripts")),
        replication=_replication(top.table("replication")),
        resync=parse_resync(top.table("resync"), findings),
        verify=parse_verify(top.table("verify"), findings),
        env=parse_env(top.table("env"), findings),
        scripts=dict(scripts),
    )
    top.refuse_known("exclude", f"no such key: it {_LATER}")
    refuse_keys_of_others(top, ModuleKind.MIRROR)
    top.finish()
    _check_nodes(config, top)
    _check_directories(config, findings)
    check_dependencies(config, findings)
    check_services(config.services, config.scripts, ModuleKind.MIRROR, findings)
    return config


def _replication(table: Table) -> ReplicationConfig:
    default = ReplicationConfig()
    config = ReplicationConfig(
        peer_timeout_ms=table.duration_ms("peer_timeout", default.peer_timeout_ms, 500, 300_000),
        acknowledge=table.choice("acknowledge", Acknowledge.MEMORY),
        compression=table.boolean("compression", default.compression),
        port=table.integer("port", default.port, 0, 65_535),
    )
    table.finish()
    return config


def _check_nodes(config: ModuleConfig, top: Table) -> None:
    if config.nodes and len(config.nodes) != NODES_OF_A_MIRROR:
        top.refuse("nodes", f"{NODES_OF_A_MIRROR} different nodes; more {_LATER}")
    for key, node in (("initial_primary", config.initial_primary), ("preferred_primary", config.preferred_primary)):
        if node and config.nodes and node not in config.nodes:
            top.refuse(key, f"one of nodes: {listing(config.nodes)}; or empty")


def _check_directories(config: ModuleConfig, findings: Findings) -> None:
    for path in config.directories:
        other = next((d for d in config.directories if d != path and is_below(path, d)), None)
        if other is not None:
            findings.note("directories", f'"{path}" inside "{other}"', "directories that do not hold one another")
        _check_place(path, findings)
    for path in config.must_exist:
        if config.directories and not any(is_below(path, d) for d in config.directories):
            findings.note("must_exist", f'"{path}"', f"paths in {listing(config.directories)}")


def _check_place(path: str, findings: Findings) -> None:
    """A replicated directory must not hold what the system, or the replicator itself, stands on."""
    if path in _SYSTEM_PATHS or any(is_below(path, p) for p in _KERNEL_PATHS):
        findings.note("directories", f'"{path}"', "directories of an application, not of the system")
        return
    for own in _OWN_PATHS:
        if is_below(path, own) or is_below(own, path):
            findings.note("directories", f'"{path}"', f'directories apart from Mirrorfarm\'s own, here "{own}"')
            return
