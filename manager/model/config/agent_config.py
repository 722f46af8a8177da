"""What ``agent.toml`` says, as frozen dataclasses. Every default stands here and nowhere else.

Durations are whole milliseconds.
"""

import enum
from dataclasses import dataclass, field

from manager.model.log_words import LogLevel as LogLevel
from manager.model.log_words import LogTarget as LogTarget

DEFAULT_ENDPOINT = "127.0.0.1:2379"
DEFAULT_TTL_MS = 10_000
LEAST_TTL_MS = 2_000
MOST_TTL_MS = 300_000
DEFAULT_PROBE_PORT = 9_742
DEFAULT_AGENT_PORT = 9_743


class TlsMode(enum.StrEnum):
    """How what the nodes say to each other travels."""

    ON = "on"
    """TLS 1.3; both ends show a certificate of the cluster's authority."""
    OFF = "off"
    """In plain: for a network that nobody else reaches."""


@dataclass(frozen=True, slots=True)
class EtcdConfig:
    """Section ``[etcd]``: how the store is reached."""

    endpoints: tuple[str, ...] = (DEFAULT_ENDPOINT,)
    """Each ``host:port``, an IPv6 address in brackets; tried in turn."""
    user: str = ""
    """Empty: no authentication."""
    password_file: str = ""
    """File whose first line is the password of ``user``."""
    ca_file: str = ""
    """CA that signed the servers' certificates; empty: no TLS."""
    cert_file: str = ""
    key_file: str = ""
    call_timeout_ms: int = 1_000
    """Deadline of each single call. Default: a fifth of the TTL, at most 1 s."""


@dataclass(frozen=True, slots=True)
class LeaseConfig:
    """Section ``[lease]``: ``renew_interval + 2 x call_timeout + stop_budget + margin <= ttl``."""

    ttl_ms: int = DEFAULT_TTL_MS
    """After a crash the others notice when this has passed. Whole seconds."""
    renew_interval_ms: int = 2_000
    """From one renewal's start to the next one's. Default: a fifth of the TTL."""
    stop_budget_ms: int = 2_000
    """What a node may need to stop serving (S7). Default: a quarter of the TTL, at most 2 s."""
    margin_ms: int = 1_000
    """Taken off the TTL for clocks that differ in speed (S5). Default: a tenth of the TTL."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Section ``[network]``: where the other nodes find this one."""

    addresses: tuple[str, ...] = ()
    """IP addresses to register; empty: those of interfaces that are up, save loopback, containers' and virtual ones."""
    replication_address: str = ""
    """IP address on which replicators take streams, and that others are told; empty: all, and the first registered."""
    probe_port: int = DEFAULT_PROBE_PORT
    """UDP port, at the first of the registered addresses, at which the nodes of farms ask each other whether they are
    there; the same on all nodes."""
    agent_port: int = DEFAULT_AGENT_PORT
    """TCP port, at all of these addresses, at which the nodes' agents ask each other; the same on all nodes."""


@dataclass(frozen=True, slots=True)
class PathsConfig:
    """Section ``[paths]``: absolute paths."""

    state: str = "/var/lib/mirrorfarm"
    run: str = "/run/mirrorfarm"
    log: str = "/var/log/mirrorfarm"
    boot_id: str = "/proc/sys/kernel/random/boot_id"
    """File whose content differs after each start of this machine (S8)."""


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Section ``[log]``."""

    level: LogLevel = LogLevel.INFO
    to: tuple[LogTarget, ...] = (LogTarget.FILE,)
    """Without the file it has what is an error, and what the syslog has not taken, all the same."""
    syslog_socket: str = "/dev/log"
    """The datagram socket at which the syslog listens."""


@dataclass(frozen=True, slots=True)
class SocketConfig:
    """Section ``[socket]``: who may use the agent's local socket, beside root."""

    group: str = "root"
    """Members of this group may; they can do all that ``mirrorfarm`` can."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """Section ``[tls]``: the stream between the nodes' replicators, and the channel between their agents.

    etcd's own TLS is in ``[etcd]``.
    """

    mode: TlsMode = TlsMode.ON
    """The same on all nodes."""
    directory: str = "/etc/mirrorfarm/pki"
    """Where this node's certificate is, as ``mirrorfarm pki issue`` makes it."""


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """The whole of ``agent.toml``; ``cluster`` and ``node`` have no default."""

    cluster: str
    node: str
    etcd: EtcdConfig = field(default_factory=EtcdConfig)
    lease: LeaseConfig = field(default_factory=LeaseConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
    log: LogConfig = field(default_factory=LogConfig)
    socket: SocketConfig = field(default_factory=SocketConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
