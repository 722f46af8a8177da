"""Why a module is what it is on a node, link by link: whom it waits for, whom that one waits for, and so on. Pure.

The cause of a node's own state is the first link, and stands elsewhere. A chain ends where the next cause is not known
here, where nobody is waited for, or where it would come back to a node that was named.
"""

from collections.abc import Iterator

from manager.cli.node_words import readiness_word, state_word, takes_over, why_with_detail
from manager.model.api import ModuleView, NodeState, WhyResult
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Readiness

MOST_LINKS = 8

_WAITS_FOR_A_PRIMARY = frozenset(
    {
        Reason.NOT_IN_SYNC,
        Reason.DISK_IDENTITY_MISSING,
        Reason.REBOOTED_SINCE_LISTED,
        Reason.FAILOVER_OFF,
        Reason.WAITING_FOR_LAST_PRIMARY,
        Reason.WAITING_FOR_PREFERRED,
        Reason.PROMISED_NOT_TO_STAND,
    }
)
"""Causes with which a node does nothing by itself while no other one serves."""
_WAITS_FOR_THE_PRIMARY = frozenset(
    {
        Reason.CATCHING_UP,
        Reason.SETTING_ASIDE,
        Reason.WAITING_FOR_PRIMARY_LEASE,
        Reason.STORE_WENT_BACK,
        Reason.STORE_REPLACED,
        Reason.WAITING_TO_STOP,
        Reason.HANDING_OVER,
    }
)
"""Causes that have to do with the node that serves, if one does."""


def chain_lines(result: WhyResult) -> list[str]:
    """The links after the first one, the nearest first."""
    node = result.module.on(result.node)
    if node is None or not result.store_reachable:
        return []  # Of other nodes nothing is known without etcd, and that it is away is said.
    seen = {(result.module.name, result.node)}
    waited = {module.name: module for module in result.waited}
    return list(_from(result.module, node, waited, seen))[:MOST_LINKS]


def _from(
    module: ModuleView, node: NodeState, waited: dict[str, ModuleView], seen: set[tuple[str, str]]
) -> Iterator[str]:
    if node.reason == Reason.WAITING_FOR_MODULE:
        for other in waited.values():
            yield from (f"{other.name}: {_is(other, n)}" for n in other.nodes)
        return
    for next_node, how in _next(module, node):
        if (module.name, next_node.node) in seen:
            continue
        seen.add((module.name, next_node.node))
        yield f"{how}{_is(module, next_node)}"
        yield from _from(module, next_node, waited, seen)


def _next(module: ModuleView, node: NodeState) -> list[tuple[NodeState, str]]:
    """Which nodes this one's state comes from, and how."""
    others = [n for n in module.nodes if n is not node]
    if node.farm is not None:
        stuck = node.reason in (Reason.WAITING_FOR_DIRECTOR, Reason.DIRECTOR_UNKNOWN)
        return [(n, "") for n in others] if stuck else []
    if node.reason == Reason.SERVING_WITHOUT_PEER:
        return [(n, "") for n in others]
    primary = module.on(module.primary)
    if node.reason in _WAITS_FOR_THE_PRIMARY and primary is not None and primary is not node:
        return [(primary, "the primary: ")]
    if node.reason in _WAITS_FOR_A_PRIMARY and not module.primary:
        holders = [n for n in others if n.node in (module.holders or ())]
        last = "there is no primary; it was primary last, and holds every completed write: "
        held = "there is no primary; it holds every completed write: "
        return [(n, last if n.node == module.last_primary else held) for n in holders]
    return []


def _is(module: ModuleView, node: NodeState) -> str:
    says = why_with_detail(module.name, node, failover=takes_over(module))
    if node.state is None:
        return f"{node.node} is unknown: {says}."
    ready = "" if node.readiness is Readiness.READY or node.state is ModuleState.STOP else f", {readiness_word(node)}"
    return f"{node.node} is {state_word(node)}{ready}: {says}"
