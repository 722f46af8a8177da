"""What an agent starts a replicator with: a file that stays beside it, by which the next agent knows what it adopts."""

from dataclasses import dataclass

from manager.model.log_words import LogLevel, LogTarget


@dataclass(frozen=True, slots=True)
class SpecAddress:
    """A virtual address that the warden removes when it fences (S7)."""

    ip: str
    prefix_length: int
    interface: str
    """Empty: on whichever interface it is."""


@dataclass(frozen=True, slots=True)
class SpecWindow:
    """A part of each day, in which a resync has a bandwidth of its own."""

    from_minute: int
    """Of the day, local time."""
    to_minute: int
    """The first one that does not belong to it; not after ``from_minute``: it passes midnight."""
    bytes_s: int
    """0: no limit."""


@dataclass(frozen=True, slots=True)
class ReplicatorSpec:
    """What a replicator is started with: the file named by ``--spec``, one JSON object."""

    cluster_id: str
    module: str
    module_id: str
    node: str
    boot_id: str
    directories: tuple[str, ...]
    control_socket: str
    listen_host: str
    """The address to take streams on; empty: all."""
    listen_port: int
    """0: any free one; the port taken is in :class:`manager.model.control.Hello`."""
    peer_timeout_ms: int
    acknowledge_disk: bool
    compression: bool
    must_exist: tuple[str, ...]
    cgroup: str
    """Directory of the application's cgroup2, to be killed at the deadline (S7); empty: none."""
    log_file: str
    log_level: LogLevel = LogLevel.INFO
    log_to: tuple[LogTarget, ...] = (LogTarget.FILE,)
    syslog_socket: str = ""
    """Of the local syslog, where ``log_to`` names it."""
    addresses: tuple[SpecAddress, ...] = ()
    """The module's virtual addresses."""
    peers: int = 1
    """How many other nodes the module has."""
    resync_bytes_s: int = 0
    """What a resync sends to a peer at the most, outside of ``resync_windows``; 0: no limit."""
    resync_windows: tuple[SpecWindow, ...] = ()
    """The first one that it is in counts."""
    set_aside_bytes: int = 10 << 30
    """What may be kept, of all asides of this node together, of changes that no other node has; 0: nothing."""
    tls_directory: str = ""
    """Where this node's certificate is: the stream is by TLS; empty: it is in plain."""
