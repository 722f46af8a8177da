"""What the core of one farm module is given once: who it is, where its keys are, and its time limits."""

from dataclasses import dataclass

from agent.core.copying import derived
from manager.model.config.farm_config import FarmConfig, Traffic
from manager.model.keys import ClusterKeys, ModuleKeys

SECOND_NS = 1_000_000_000
DEAD_AFTER_NS = 1_500_000_000


@dataclass(frozen=True)
class Settings:
    """Fixed while the module runs; the runtime makes a new state for a new configuration. Without ``slots``, so that
    what follows from it is reckoned once (``agent.core.copying``)."""

    cluster: ClusterKeys
    node: str
    config: FarmConfig
    boot_id: str
    module_id: str
    generation: int = 0
    """Of ``config``, as it was applied; for people."""
    start_limit_ns: int = 600 * SECOND_NS
    """The longest that StartApplication can take; past it the core takes it for hung."""
    stop_limit_ns: int = 180 * SECOND_NS
    """The longest that StopApplication can take; past it the core kills."""
    dead_after_ns: int = DEAD_AFTER_NS
    """A member that has not answered the director's probes for so long is dead."""
    spread_after_ns: int = 30 * SECOND_NS
    """So long nothing has changed before a director of several addresses hands one over to a node with fewer."""
    hand_on_ns: int = 2 * SECOND_NS
    """How long a node that stops goes on forwarding what clients still send to it; how long etcd is silent before it
    counts as gone; and how long it waits then for its slots to be other nodes'."""

    @property
    def module(self) -> str:
        """The module's name."""
        return self.config.name

    @derived
    def keys(self) -> ModuleKeys:
        """The module's keys."""
        return self.cluster.module(self.module)

    @property
    def depends(self) -> tuple[str, ...]:
        """Modules without which its application is not started."""
        return self.config.depends

    @property
    def script_traffic(self) -> bool:
        """Its scripts say when a node takes its share."""
        return self.config.traffic is Traffic.SCRIPT

    @derived
    def addresses(self) -> tuple[str, ...]:
        """The module's virtual addresses, without their prefix lengths."""
        return tuple(a.ip for a in self.config.addresses)
