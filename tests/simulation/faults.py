"""What happens to a simulated cluster, at random: crashes, cuts, lost leases, operators."""

from collections.abc import Callable

from manager.model.states import Run
from tests.simulation.clockwork import SECOND_NS
from tests.simulation.cluster import Cluster, isolate
from tests.simulation.network import STORE
from tests.simulation.node import TTL_S, Node

Fault = Callable[[Cluster, Node], str]


def crash(cluster: Cluster, node: Node) -> str:
    """All processes die; the kernel lives."""
    node.crash(power=False)
    _start_later(cluster, node)
    return "crashes"


def power_loss(cluster: Cluster, node: Node) -> str:
    """The machine loses power."""
    node.crash(power=True)
    _start_later(cluster, node)
    return "loses power"


def power_loss_of_all(cluster: Cluster, node: Node) -> str:
    """Every machine does."""
    for each in cluster.nodes.values():
        each.crash(power=True)
        _start_later(cluster, each)
    return "and all others lose power"


def _start_later(cluster: Cluster, node: Node) -> None:
    cluster.clock.after(cluster.clock.between(500, 25_000), node.start)


def agent_dies(cluster: Cluster, node: Node) -> str:
    """kill -9 of the agent; init starts it again, soon or late."""
    node.kill_agent()
    cluster.clock.after(cluster.clock.between(50, 12_000), node.start)
    return "loses its agent"


def replicator_dies(cluster: Cluster, node: Node) -> str:
    """kill -9 of the replicator."""
    node.kill_replicator()
    return "loses its replicator"


def node_is_isolated(cluster: Cluster, node: Node) -> str:
    """Cut off from everyone, for a while."""
    isolate(cluster, node.name)
    _heal_later(cluster)
    return "is isolated"


def store_is_cut(cluster: Cluster, node: Node) -> str:
    """Cut off from the store only."""
    cluster.network.cuts.add(frozenset((node.name, STORE)))
    _heal_later(cluster)
    return "is cut from the store"


def store_is_away(cluster: Cluster, node: Node) -> str:
    """The store answers nobody."""
    cluster.network.cuts |= {frozenset((name, STORE)) for name in cluster.nodes}
    _heal_later(cluster)
    return "sees no store, nobody does"


def peers_are_cut(cluster: Cluster, node: Node) -> str:
    """The link between the nodes."""
    cluster.network.cuts |= {frozenset((node.name, other)) for other in cluster.nodes if other != node.name}
    _heal_later(cluster)
    return "is cut from its peers"


def _heal_later(cluster: Cluster) -> None:
    cluster.clock.after(cluster.clock.between(200, 15_000), cluster.network.cuts.clear)


def lease_expires(cluster: Cluster, node: Node) -> str:
    """The store lets a live node's lease go."""
    kv = cluster.clock.etcd.get_now(f"/mirrorfarm/sim/nodes/{node.name}")
    if kv is not None:
        cluster.promises.clocks_doubted_until_ns = cluster.clock.now_ns + 2 * TTL_S * SECOND_NS
        cluster.clock.etcd.expire(kv.lease)
    return "loses its lease"


def operator_swaps(cluster: Cluster, node: Node) -> str:
    """On the primary, or elsewhere in vain."""
    cluster.request("swap", cluster.primary or node.name)
    return "is asked to swap, or the primary is"


def operator_restarts(cluster: Cluster, node: Node) -> str:
    """The application, or what failed."""
    cluster.request("restart", node.name)
    return "is asked to restart"


def operator_stops_one(cluster: Cluster, node: Node) -> str:
    """And starts it again later."""
    cluster.want(Run.STOPPED, node.name)
    cluster.clock.after(cluster.clock.between(500, 15_000), lambda: cluster.want(Run.STARTED, node.name))
    return "is stopped for a while"


def operator_stops_all(cluster: Cluster, node: Node) -> str:
    """And starts all again later."""
    cluster.want(Run.STOPPED)
    cluster.clock.after(cluster.clock.between(500, 25_000), lambda: cluster.want(Run.STARTED))
    return "and all others are stopped for a while"


MACHINE: tuple[Fault, ...] = (
    crash, crash, agent_dies, replicator_dies, node_is_isolated, store_is_cut, store_is_away, peers_are_cut,
    lease_expires,
)  # fmt: skip
POWER: tuple[Fault, ...] = (power_loss, power_loss, power_loss_of_all)
OPERATORS: tuple[Fault, ...] = (
    operator_swaps,
    operator_swaps,
    operator_restarts,
    operator_stops_one,
    operator_stops_all,
)


def rough_times(cluster: Cluster) -> None:
    """Let them happen for as long as the plan says."""
    plan, clock = cluster.plan, cluster.clock
    choice = MACHINE + (POWER if plan.power else ()) + (OPERATORS if plan.operators else ())
    end_ns = clock.now_ns + plan.seconds * SECOND_NS
    while clock.now_ns < end_ns:
        # Faults come singly, and now and then close together.
        mean_ms = 1000 * plan.mean_between_faults_s * (0.1 if clock.chance(0.3) else 1.3)
        clock.run_for(clock.between(0, 2 * mean_ms))
        node = cluster.nodes[clock.random.choice(plan.nodes)]
        fault = clock.random.choice(choice)
        cluster.note(f"{node.name} {fault(cluster, node)}")


def run(cluster: Cluster) -> None:
    """One whole run: first start, rough times, healing, convergence."""
    cluster.begin()
    rough_times(cluster)
    cluster.end()
