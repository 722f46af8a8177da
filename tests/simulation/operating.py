"""What a careful operator does where the module waits for one: he names the copy that counts (docs/operations.md).

He sees what ``mirrorfarm why`` and the agents' logs show, and names no copy against what etcd says before he sees every
node's. He knows no copy's content, nor anything else that only the simulation knows.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.core import forcing
from manager.model.reasons import Reason
from manager.model.records import MemberRecord
from manager.model.states import ModuleState, Readiness

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

_STORE = frozenset({Reason.STORE_REPLACED, Reason.STORE_WENT_BACK})
"""What he may decide against, once he knows the newest copy."""


def decide(cluster: "Cluster") -> None:
    """Name a copy, where none serves and a node says that it waits for that; rebuild etcd, if it does not list it."""
    if not cluster.clock.etcd.up or cluster.primary:
        return
    shown = {node: member for node in cluster.plan.nodes if (member := cluster.member(node)) is not None}
    blocked = {node: Reason(m.reason) for node, m in shown.items() if m.readiness is Readiness.BLOCKED}
    if _STORE & set(blocked.values()):
        _decide_against_store(cluster, shown, blocked)
        return
    for node, reason in blocked.items():
        if reason is Reason.FAILOVER_OFF and not _was_told_of_another(cluster, node):
            cluster.request("prim", node)
            return


def _was_told_of_another(cluster: "Cluster", node: str) -> bool:
    """When he named it last it was refused: it has lost its memory, and one that has not is there."""
    asked = [r for r in cluster.requests() if r.node == node and r.action == "prim"]
    return cluster.plan.reads_answers and bool(asked) and asked[-1].reason == Reason.REBOOTED_SINCE_LISTED


def waits_for_answer(cluster: "Cluster") -> bool:
    """A copy that he has named is about to go on: he neither saves nor restores etcd now, his word is for this one."""
    asked = [r for r in cluster.requests() if r.action == "prim"]
    return cluster.plan.reads_answers and any(r.status in ("pending", "accepted") for r in asked)


def force(cluster: "Cluster", node: str, words: Sequence[str]) -> None:
    """``mirrorfarm prim --force``: the last primary is named as off, or turned off by the hook (``fence``).

    ``wrong``: he names another one, by mistake. What else he accepts, beside that ``node`` is not listed, are the other
    words. Nobody is there to read it where no agent runs.
    """
    record = cluster.store.record
    if record is None:
        return
    off = node if "wrong" in words else record.last_primary
    if cluster.nodes[node].agent is not None and "fence" not in words:
        cluster.forced.off.add((node, off))
    accepts = (str(Reason.NOT_IN_SYNC), *(word for word in words if word not in ("fence", "wrong")))
    how = {forcing.FENCE if "fence" in words else forcing.OFF: off}
    cluster.request("prim", node, accept=",".join(accepts), **how)


def put_disks_right(cluster: "Cluster") -> None:
    """Each node has its own disk again."""
    for node in cluster.nodes.values():
        owner = cluster.nodes[node.copy.owner]
        if owner is not node:
            for machine in (node, owner):
                machine.crash(power=True)
            node.exchange(owner)


def restart_failed(cluster: "Cluster") -> None:
    """Ask again where an application failed: what he asked for may have been refused, as the cleaning was under way."""
    for node in cluster.plan.nodes:
        member = cluster.member(node)
        if member is not None and (member.readiness, member.reason) == (Readiness.BLOCKED, Reason.APPLICATION_FAILED):
            cluster.request("restart", node)


def _decide_against_store(cluster: "Cluster", shown: dict[str, MemberRecord], blocked: dict[str, Reason]) -> None:
    """Once every node is there, and none serves nor follows: its disk says what it has seen."""
    waits = all(m.state is ModuleState.WAIT and m.endpoint is not None for m in shown.values())
    if len(shown) < len(cluster.plan.nodes) or not waits:
        return
    node, record = _newest(cluster, shown), cluster.store.record
    if record is not None and node not in record.nodes:
        cluster.rebuild_store()
    elif blocked.get(node) in _STORE:
        cluster.request("prim", node, accept=str(blocked[node]))


def _newest(cluster: "Cluster", shown: dict[str, MemberRecord]) -> str:
    """The copy of the highest epoch; of two the one that was ALONE in it, or else was the primary last."""
    seen = {node: 0 if m.disk is None else m.disk.copy_epoch for node, m in shown.items()}
    epoch = max(seen.values())
    lines = [
        (state is ModuleState.ALONE and at_epoch == epoch, at_ns, node)
        for node in shown
        for at_ns, at_epoch, state in cluster.nodes[node].served
        if seen[node] == epoch
    ]
    return max(lines)[2] if lines else max(seen, key=lambda node: seen[node])
