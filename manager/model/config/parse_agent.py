"""The text of ``agent.toml`` in, an :class:`AgentConfig` out, or everything that is wrong with it."""

from manager.model.config.agent_config import (
    DEFAULT_AGENT_PORT,
    DEFAULT_PROBE_PORT,
    LEAST_TTL_MS,
    MOST_TTL_MS,
    AgentConfig,
    EtcdConfig,
    LeaseConfig,
    LogConfig,
    NetworkConfig,
    PathsConfig,
    SocketConfig,
    TlsConfig,
)
from manager.model.config.durations import format_duration
from manager.model.config.findings import Findings
from manager.model.config.rules import (
    ADDRESS,
    ADDRESS_OR_NONE,
    ENDPOINT,
    GROUP,
    HIGHEST_PORT,
    NAME,
    PATH,
    PATH_OR_NONE,
    Rule,
)
from manager.model.config.tables import Table, parse_toml

_LEAST_TIMING_MS = 50
_LONGEST_USER = 256

_LONGEST_RUN = 50
"""Bytes: below it is ``<module>/replicator.sock``, and a socket's path has 107 at most (unix(7))."""

_RUN = Rule(
    f"{PATH.allowed}, of at most {_LONGEST_RUN} bytes",
    lambda text: PATH.holds(text) and len(text.encode()) <= _LONGEST_RUN,
)
_LONGEST_SOCKET = 107
"""Bytes, of a socket's path (unix(7))."""
_SOCKET = Rule(
    f"{PATH.allowed}, of at most {_LONGEST_SOCKET} bytes",
    lambda text: PATH.holds(text) and len(text.encode()) <= _LONGEST_SOCKET,
)
_USER = Rule("the name of an etcd user; or empty", lambda text: text.isprintable() and len(text) <= _LONGEST_USER)


def parse_agent_config(text: str, file: str = "agent.toml") -> AgentConfig:
    """The configuration of an agent.

    Args:
        text: the content of the file, TOML.
        file: its name, for the error.

    Raises:
        InvalidConfig: something is wrong; it says all that is.
    """
    findings = Findings(file)
    top = parse_toml(text, findings)
    config = _config(top, findings) if top is not None else None
    findings.raise_if_any()
    if config is None:
        raise AssertionError("a file that is not TOML has a finding")
    return config


def default_timing(ttl_ms: int) -> tuple[int, LeaseConfig]:
    """The call timeout and the lease's settings that go with a TTL; together 0.95 of it at most."""
    lease = LeaseConfig(
        ttl_ms=ttl_ms,
        renew_interval_ms=ttl_ms // 5,
        stop_budget_ms=min(2_000, ttl_ms // 4),
        margin_ms=ttl_ms // 10,
    )
    return min(1_000, ttl_ms // 5), lease


def _config(top: Table, findings: Findings) -> AgentConfig:
    cluster = top.required("cluster", NAME)
    node = top.required("node", NAME)
    lease_table = top.table("lease")
    call_timeout_ms, lease = default_timing(_ttl_ms(lease_table))
    lease = _lease(lease_table, lease)
    config = AgentConfig(
        cluster=cluster,
        node=node,
        etcd=_etcd(top.table("etcd"), call_timeout_ms),
        lease=lease,
        network=_network(top.table("network")),
        paths=_paths(top.table("paths")),
        log=_log(top.table("log")),
        socket=_socket(top.table("socket")),
        tls=_tls(top.table("tls")),
    )
    top.finish()
    _check_timing(config, findings)
    return config


def _etcd(table: Table, call_timeout_ms: int) -> EtcdConfig:
    default = EtcdConfig()
    if table.has("endpoints"):
        endpoints = table.required_strings("endpoints", ENDPOINT)
    else:
        endpoints = table.strings("endpoints", ENDPOINT, default.endpoints)
    config = EtcdConfig(
        endpoints=endpoints,
        user=table.text("user", default.user, _USER),
        password_file=table.text("password_file", default.password_file, PATH_OR_NONE),
        ca_file=table.text("ca_file", default.ca_file, PATH_OR_NONE),
        cert_file=table.text("cert_file", default.cert_file, PATH_OR_NONE),
        key_file=table.text("key_file", default.key_file, PATH_OR_NONE),
        call_timeout_ms=table.duration_ms("call_timeout", call_timeout_ms, _LEAST_TIMING_MS, MOST_TTL_MS),
    )
    _together(table, "user", "password_file")
    _together(table, "cert_file", "key_file")
    if not table.is_empty("cert_file") and table.is_empty("ca_file"):
        table.refuse("cert_file", "only with ca_file: the certificate of this node is shown over TLS")
    table.finish()
    return config


def _together(table: Table, first: str, second: str) -> None:
    for key, other in ((first, second), (second, first)):
        if not table.is_empty(key) and table.is_empty(other):
            table.refuse(key, f"{first} and {second} both, or neither; {other} is missing")


def _ttl_ms(table: Table) -> int:
    default = LeaseConfig().ttl_ms
    ttl_ms = table.duration_ms("ttl", default, LEAST_TTL_MS, MOST_TTL_MS)
    if ttl_ms % 1_000:
        table.refuse("ttl", "whole seconds: etcd's leases have no finer ones")
        return default
    return ttl_ms


def _lease(table: Table, default: LeaseConfig) -> LeaseConfig:
    least, most = _LEAST_TIMING_MS, MOST_TTL_MS
    config = LeaseConfig(
        ttl_ms=default.ttl_ms,
        renew_interval_ms=table.duration_ms("renew_interval", default.renew_interval_ms, least, most),
        stop_budget_ms=table.duration_ms("stop_budget", default.stop_budget_ms, least, most),
        margin_ms=table.duration_ms("margin", default.margin_ms, least, most),
    )
    table.finish()
    return config


def _check_timing(config: AgentConfig, findings: Findings) -> None:
    """All of what must happen between the start of one renewal and the end of the lease has room in it."""
    lease, call_ms = config.lease, config.etcd.call_timeout_ms
    total_ms = lease.renew_interval_ms + 2 * call_ms + lease.stop_budget_ms + lease.margin_ms
    if total_ms <= lease.ttl_ms:
        return
    parts = (
        f"renew_interval {format_duration(lease.renew_interval_ms)} + 2 x etcd.call_timeout {format_duration(call_ms)} "
        f"+ stop_budget {format_duration(lease.stop_budget_ms)} + margin {format_duration(lease.margin_ms)} "
        f"= {format_duration(total_ms)}"
    )
    findings.note(
        "lease",
        f"{parts}, which is more than ttl {format_duration(lease.ttl_ms)}",
        f"a sum of at most {format_duration(lease.ttl_ms)}: shorten them, or lengthen ttl",
    )


def _network(table: Table) -> NetworkConfig:
    config = NetworkConfig(
        addresses=table.strings("addresses", ADDRESS),
        replication_address=table.text("replication_address", "", ADDRESS_OR_NONE),
        probe_port=table.integer("probe_port", DEFAULT_PROBE_PORT, 1, HIGHEST_PORT),
        agent_port=table.integer("agent_port", DEFAULT_AGENT_PORT, 1, HIGHEST_PORT),
    )
    table.finish()
    return config


def _paths(table: Table) -> PathsConfig:
    default = PathsConfig()
    config = PathsConfig(
        state=table.text("state", default.state, PATH),
        run=table.text("run", default.run, _RUN),
        log=table.text("log", default.log, PATH),
        boot_id=table.text("boot_id", default.boot_id, PATH),
    )
    if len({config.state, config.run, config.log}) < 3:
        for key in ("state", "run", "log"):
            if table.has(key):
                table.refuse(key, "three different directories for state, run and log")
                break
    table.finish()
    return config


def _log(table: Table) -> LogConfig:
    default = LogConfig()
    config = LogConfig(
        level=table.choice("level", default.level),
        to=table.choices("to", default.to),
        syslog_socket=table.text("syslog_socket", default.syslog_socket, _SOCKET),
    )
    table.finish()
    return config


def _socket(table: Table) -> SocketConfig:
    config = SocketConfig(group=table.text("group", SocketConfig().group, GROUP))
    table.finish()
    return config


def _tls(table: Table) -> TlsConfig:
    config = TlsConfig(
        mode=table.choice("mode", TlsConfig().mode),
        directory=table.text("directory", TlsConfig().directory, PATH),
    )
    table.finish()
    return config
