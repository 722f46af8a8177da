"""Whether the nodes' leases go together, and each node promises what lets a pair outlive etcd. Pure."""

from collections.abc import Iterator

from manager.cli.checks.finding import Finding, ok, warning
from manager.model.api import NodeInfo, RegisteredNode
from manager.model.config.durations import format_duration


def leases(info: NodeInfo) -> Iterator[Finding]:
    """By the registrations, as this node's agent has them from etcd; nothing, where it is not registered itself."""
    own = next((node for node in info.nodes if node.node == info.node), None)
    if own is None or not own.ttl_ms:
        return
    others = [node for node in info.nodes if node is not own and node.ttl_ms]
    different = [node for node in others if node.ttl_ms != own.ttl_ms]
    if different:
        yield _different(own, different)
    else:
        alike = f", as on {', '.join(node.node for node in others)}" if others else ""
        yield ok("lease", f"ttl {format_duration(own.ttl_ms)}{alike}")
    for node in info.nodes:
        if not node.promises:
            yield _without_a_note(node.node)


def _different(own: RegisteredNode, others: list[RegisteredNode]) -> Finding:
    known = ", ".join(f"{node.node} {format_duration(node.ttl_ms)}" for node in others)
    return warning(
        "lease",
        f"lease.ttl is {format_duration(own.ttl_ms)} here, and another one elsewhere: {known}. A node whose ttl is "
        "longer than the primary's takes over as much later.",
        "Set the same ttl in each node's agent.toml, and exchange the agents, one after the other: "
        "/etc/init.d/mirrorfarm-agent upgrade.",
    )


def _without_a_note(node: str) -> Finding:
    return warning(
        "lease",
        f"{node} cannot note on its disk for how long it promises not to become primary, so it promises nothing: "
        "where all of etcd is lost, the node that is primary beside it stops serving when its lease ends. No data is "
        "concerned.",
        f"Make room in /var/lib/mirrorfarm on {node}, or mend that disk (promise.unnoted in its agent.log says what is "
        "wrong), then: /etc/init.d/mirrorfarm-agent upgrade.",
    )
