"""What a module's folder says (``module.toml`` and ``scripts/``), as frozen dataclasses with every default.

Durations are whole milliseconds.
"""

import enum
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from manager.model.states import ModuleKind


class Acknowledge(enum.StrEnum):
    """What the peer has done with a plain write before it completes."""

    MEMORY = "memory"
    """Applied: in its page cache."""
    DISK = "disk"
    """Applied and synced."""


class Failover(enum.StrEnum):
    """Whether the peer takes over by itself."""

    ON = "on"
    OFF = "off"
    """Only the last primary starts by itself; another node when an operator names it."""


class AfterPowerLoss(enum.StrEnum):
    """Whether a node that rebooted may stand while no other one is there (S8)."""

    START = "start"
    """It stands after peer_timeout + TTL; the history says that unsynced writes may be missing."""
    WAIT = "wait"
    """It waits until every other listed node is back, or until an operator names it."""


@dataclass(frozen=True, slots=True)
class AddressConfig:
    """One ``[[address]]``: a virtual address that follows the primary, or a farm's director."""

    ip: str
    """In its canonical form, without the prefix."""
    prefix_length: int
    interface: str = ""
    """Empty: the interface that has an address of the same subnet."""
    probe: bool = True
    """Ask the network whether someone has the address before adding it."""
    reset_connections: bool = True
    """Reset the clients' TCP connections to the address when it is removed; never so in a farm, where they stay."""

    @property
    def family(self) -> int:
        """4 or 6."""
        return ipaddress.ip_address(self.ip).version

    @property
    def cidr(self) -> str:
        """``ip/prefix_length``."""
        return f"{self.ip}/{self.prefix_length}"


@dataclass(frozen=True, slots=True)
class ScriptsConfig:
    """Section ``[scripts]``: limits for scripts and for ``services``."""

    start_timeout_ms: int = 300_000
    """For prestart, start_prim and the start of each service; past it the start has failed."""
    stop_timeout_ms: int = 60_000
    """For stop_prim, poststop and the stop of each service; past it what is left is killed."""


@dataclass(frozen=True, slots=True)
class ReplicationConfig:
    """Section ``[replication]``."""

    peer_timeout_ms: int = 5_000
    """A peer that does not acknowledge for so long is dropped: PRIM becomes ALONE (S2)."""
    acknowledge: Acknowledge = Acknowledge.MEMORY
    compression: bool = True
    """Compress what shrinks (zstd)."""
    port: int = 0
    """TCP port of this module's stream, on each node; 0: any free one."""


@dataclass(frozen=True, slots=True)
class ResyncWindow:
    """One entry of ``resync.schedule``: a part of each day with a bandwidth of its own."""

    from_minute: int
    """Of the day, in the primary's local time."""
    to_minute: int
    """The first one that does not belong to it; not after ``from_minute``: it passes midnight."""
    bandwidth_bytes_s: int
    """0: no limit."""


@dataclass(frozen=True, slots=True)
class ResyncConfig:
    """Section ``[resync]``."""

    bandwidth_bytes_s: int = 0
    """What a resync sends to the peer at the most; 0: no limit."""
    schedule: tuple[ResyncWindow, ...] = ()
    """The first window that it is in counts; outside of all of them ``bandwidth_bytes_s``."""
    set_aside_bytes: int = 10 << 30
    """What may be kept on a node's disk of what it alone has, when another copy is forced on it (S12); 0: nothing.

    All that was kept before is counted.
    """


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class VerifyWindow:
    """One entry of ``verify.schedule``: when a comparison of both copies may begin, and go on."""

    from_minute: int
    """Of the day, in the primary's local time."""
    to_minute: int
    """The first one that does not belong to it; not after ``from_minute``: it passes midnight."""
    days: tuple[str, ...] = DAYS
    """On which it begins."""


@dataclass(frozen=True, slots=True)
class VerifyConfig:
    """Section ``[verify]``."""

    schedule: tuple[VerifyWindow, ...] = ()
    """In each one comparison begins, or the last one goes on; empty: only when an operator asks."""
    bandwidth_bytes_s: int = 0
    """What a comparison reads on each node in a second at the most; 0: no limit."""
    repair: bool = False
    """What one of the schedule finds to differ is made equal to the primary's copy."""


@dataclass(frozen=True, slots=True)
class ModuleConfig:
    """A mirror module, whole."""

    name: str
    kind: ModuleKind
    nodes: tuple[str, ...]
    directories: tuple[str, ...]
    """Absolute, normalised; no one of them inside another."""
    must_exist: tuple[str, ...] = ()
    """Absolute paths in ``directories`` without which this node does not become primary: guards an empty mount."""
    initial_primary: str = ""
    """The node that has the good data at the very first start (S9); empty: an operator says it with ``prim``."""
    failover: Failover = Failover.ON
    after_power_loss: AfterPowerLoss = AfterPowerLoss.START
    preferred_primary: str = ""
    """The module is swapped back to this node once it is in sync; empty: it stays where it is."""
    depends: tuple[str, ...] = ()
    """Modules without which its application is not started."""
    addresses: tuple[AddressConfig, ...] = ()
    services: tuple[str, ...] = ()
    """Services of the system, started in this order and stopped in reverse; instead of start_prim and stop_prim."""
    limits: ScriptsConfig = field(default_factory=ScriptsConfig)
    replication: ReplicationConfig = field(default_factory=ReplicationConfig)
    resync: ResyncConfig = field(default_factory=ResyncConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    env: Mapping[str, str] = field(default_factory=dict)
    """Given to scripts and services."""
    scripts: Mapping[str, str] = field(default_factory=dict)
    """The text of each script of the folder, by its name."""
