"""A module's folder (``module.toml`` and scripts, as texts) in, a :class:`ModuleConfig` out, or all that is wrong."""

import json
from collections.abc import Mapping

from manager.model.config.agent_config import PathsConfig
from manager.model.config.findings import Findings, listing
from manager.model.config.module_config import (
    SCRIPT_NAMES,
    Acknowledge,
    AfterPowerLoss,
    Failover,
    ModuleConfig,
    ReplicationConfig,
    ScriptsConfig,
)
from manager.model.config.parse_addresses import parse_addresses
from manager.model.config.parse_resync import parse_resync
from manager.model.config.parse_verify import parse_verify
from manager.model.config.rules import DIRECTORY, ENV_NAME, ENV_VALUE, NAME, PATH, SERVICE, Rule, is_below
from manager.model.config.tables import Table, parse_toml
from manager.model.states import ModuleKind

LARGEST_BYTES = 512 * 1024
"""Of a module's whole configuration as it stands in etcd."""

_RECORD_OVERHEAD_BYTES = 1024
NODES_OF_A_MIRROR = 2
RESERVED_ENV = ("MODULE", "NODE", "STATE", "NEXT_STATE", "ACTION", "EPOCH", "DIRECTORIES", "FORCE", "FENCE_NODE")
"""Given to scripts by the agent."""

_DAY_MS = 24 * 60 * 60 * 1_000
_OWN_PATHS = ("/etc/mirrorfarm", PathsConfig().state, PathsConfig().run, PathsConfig().log)
_KERNEL_PATHS = ("/proc", "/sys", "/dev")
_SYSTEM_PATHS = ("/bin", "/boot", "/lib", "/lib64", "/sbin", "/usr")
_LATER = "is for a later release"


def parse_module(text: str, scripts: Mapping[str, str], file: str = "module.toml") -> ModuleConfig:
    """The configuration of a module.

    Args:
        text: the content of ``module.toml``.
        scripts: name below ``scripts/`` to text.
        file: how ``module.toml`` is called in the error.

    Raises:
        InvalidConfig: something is wrong; it says all that is.
    """
    findings = Findings(file)
    top = parse_toml(text, findings)
    _check_scripts(scripts, findings)
    _check_size(text, scripts, findings)
    config = _config(top, scripts, findings) if top is not None else None
    findings.raise_if_any()
    if config is None:
        raise AssertionError("a file that is not TOML has a finding")
    return config


def _config(top: Table, scripts: Mapping[str, str], findings: Findings) -> ModuleConfig | None:
    name = top.required("name", NAME)
    if not _is_mirror(top, findings):
        return None
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
        addresses=parse_addresses(top.tables("address"), findings),
        services=top.strings("services", SERVICE),
        limits=_limits(top.table("scripts")),
        replication=_replication(top.table("replication")),
        resync=parse_resync(top.table("resync"), findings),
        verify=parse_verify(top.table("verify"), findings),
        env=_env(top.table("env"), findings),
        scripts=dict(scripts),
    )
    top.later("exclude", f"no such key: it {_LATER}")
    top.finish()
    _check_nodes(config, top)
    _check_directories(config, findings)
    _check_services(config, findings)
    return config


_NODE_OR_NONE = Rule(f"{NAME.allowed}; or empty", lambda text: not text or NAME.holds(text))


def _is_mirror(top: Table, findings: Findings) -> bool:
    """The other kinds have other keys: they are refused without a finding for each of those."""
    kind = top.required("kind", Rule('"mirror"', lambda text: text in ("mirror", "farm", "light")))
    if kind in ("farm", "light"):
        top.refuse("kind", f'"mirror"; a {kind} module {_LATER}')
    return kind == "mirror"


def _limits(table: Table) -> ScriptsConfig:
    default = ScriptsConfig()
    config = ScriptsConfig(
        start_timeout_ms=table.duration_ms("start_timeout", default.start_timeout_ms, 1_000, _DAY_MS),
        stop_timeout_ms=table.duration_ms("stop_timeout", default.stop_timeout_ms, 1_000, _DAY_MS),
    )
    table.finish()
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


def _env(table: Table, findings: Findings) -> dict[str, str]:
    env = {}
    for name in table.names():
        where = table.path(name)
        if not ENV_NAME.holds(name):
            findings.note(where, f'the name "{name}"', ENV_NAME.allowed)
        elif name in RESERVED_ENV:
            findings.note(where, "a name that the agent sets itself", f"any but {listing(RESERVED_ENV)}")
        else:
            env[name] = table.text(name, "", ENV_VALUE)
    return env


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


def _check_services(config: ModuleConfig, findings: Findings) -> None:
    both = [name for name in ("start_prim", "stop_prim") if name in config.scripts]
    if config.services and both:
        scripts = " and ".join(f"scripts/{name}" for name in both)
        findings.note("services", f"services, and {scripts} too", "either services, or start_prim and stop_prim")


def _check_scripts(scripts: Mapping[str, str], findings: Findings) -> None:
    for name, text in scripts.items():
        where = f"scripts/{name}"
        if name not in SCRIPT_NAMES:
            findings.note(where, "a script that this release does not run", listing(SCRIPT_NAMES))
        elif not text.startswith("#!"):
            findings.note(where, "no interpreter in its first line", 'a first line as "#!/bin/sh"')
        elif "\0" in text:
            findings.note(where, "the character NUL", "text")


def _check_size(text: str, scripts: Mapping[str, str], findings: Findings) -> None:
    record = json.dumps({"toml": text, "scripts": dict(scripts)}, ensure_ascii=False)
    size = len(record.encode(errors="surrogatepass")) + _RECORD_OVERHEAD_BYTES
    if size > LARGEST_BYTES:
        findings.note(
            "",
            f"{size // 1024} KiB of module.toml and scripts together",
            f"{LARGEST_BYTES // 1024} KiB: put programs and data beside the module, on each node",
        )
