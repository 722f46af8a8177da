"""What the core of one module is given once: who it is, where its keys are, and its time limits."""

from dataclasses import dataclass

from manager.model.config.module_config import AfterPowerLoss, Failover
from manager.model.keys import ClusterKeys, ModuleKeys

MS_NS = 1_000_000
SECOND_NS = 1_000 * MS_NS


@dataclass(frozen=True, slots=True)
class Settings:
    """Fixed while the module runs; the runtime makes a new state for a new configuration."""

    cluster: ClusterKeys
    module: str
    node: str
    nodes: tuple[str, ...]
    """All nodes of the module."""
    boot_id: str
    cluster_id: str
    module_id: str
    replication_host: str
    """Where the other nodes reach this node's replicator."""
    initial_primary: str = ""
    start_limit_ns: int = 600 * SECOND_NS
    """The longest that StartApplication can take (all its services); past it the core takes it for hung."""
    stop_limit_ns: int = 180 * SECOND_NS
    """The longest that StopApplication can take; past it the core kills."""
    peer_timeout_ns: int = 5 * SECOND_NS
    ttl_ns: int = 10 * SECOND_NS
    promise_ns: int = 8 * SECOND_NS
    """For how long this node promises not to stand (S5): no longer than a lease lasts after its last renewal."""
    former_promise_until_ns: int = 0
    """Until when a promise may last that a former agent made by a longer lease (``promise_note``)."""
    promises: bool = True
    """Whether it promises at all: what the next agent would not know of is not promised."""
    ask_every_ns: int = 1 * SECOND_NS
    """How often a primary asks for promises."""
    taken_off_ns: int = 3 * SECOND_NS
    """Taken off the end of a promise to this node, as of a lease: what stopping takes, and clocks of other speed."""
    failover: Failover = Failover.ON
    after_power_loss: AfterPowerLoss = AfterPowerLoss.START
    preferred_primary: str = ""
    """Empty: none."""
    depends: tuple[str, ...] = ()
    """Modules without which its application is not started."""

    @property
    def keys(self) -> ModuleKeys:
        """The module's keys."""
        return self.cluster.module(self.module)

    @property
    def peers(self) -> tuple[str, ...]:
        """The module's other nodes."""
        return tuple(n for n in self.nodes if n != self.node)
