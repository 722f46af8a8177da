"""What a farm module's folder says, as frozen dataclasses with every default. Durations are whole milliseconds."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from manager.model.config.module_config import AddressConfig, ScriptsConfig
from manager.model.states import ModuleKind


class Protocol(enum.StrEnum):
    """What a rule shares."""

    TCP = "tcp"
    UDP = "udp"


class Affinity(enum.StrEnum):
    """What keeps to one node."""

    CLIENT = "client"
    """All connections from one client address."""
    CONNECTION = "connection"
    """Each connection by itself: those of one client are shared too."""


class Traffic(enum.StrEnum):
    """When a node takes its share."""

    READY = "ready"
    """As soon as its application has been started."""
    SCRIPT = "script"
    """When a script says so: ``mirrorfarm farm open`` and ``close``."""


@dataclass(frozen=True, slots=True)
class RuleConfig:
    """One ``[[rule]]``: connections that are shared. What no rule names goes to the director."""

    protocol: Protocol
    first_port: int
    last_port: int
    """Not before ``first_port``."""
    affinity: Affinity = Affinity.CLIENT
    addresses: tuple[str, ...] = ()
    """Of the module's, without prefix; empty: all of them."""

    def covers(self, address: str) -> bool:
        """Whether it shares what comes for ``address``."""
        return not self.addresses or address in self.addresses


@dataclass(frozen=True, slots=True)
class FarmConfig:
    """A farm module, whole."""

    name: str
    kind: ModuleKind
    nodes: tuple[str, ...]
    """Two to sixteen."""
    addresses: tuple[AddressConfig, ...]
    """At least one."""
    rules: tuple[RuleConfig, ...]
    """At least one for each address; none shares what another one shares too."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """Node to its share of the connections beside the others', 0 to 100; 1 where there is no entry."""
    chain: tuple[tuple[str, ...], ...] = ()
    """Groups of nodes: the first one with a living node of a weight above 0 serves; empty: one group of all."""
    traffic: Traffic = Traffic.READY
    depends: tuple[str, ...] = ()
    """As a mirror's."""
    services: tuple[str, ...] = ()
    """As a mirror's; instead of start_both and stop_both."""
    limits: ScriptsConfig = field(default_factory=ScriptsConfig)
    env: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)

    def weight(self, node: str) -> int:
        """What the configuration gives ``node``."""
        return self.weights.get(node, 1)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The chain, whole: every node is in one of its groups."""
        return self.chain or (self.nodes,)
