"""What a careful operator does where the module waits for one: he names the copy that counts (docs/operations.md).

He sees what ``mirrorfarm why`` and the agents' logs show, and names no copy against what etcd says before he sees every
node's. He knows no copy's content, nor anything else that only the simulation knows.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agent.core import forcing
from manager.cli.accepting import MAY_LOSE
from manager.model.reasons import Reason
from manager.model.records import InsyncRecord, MemberRecord
from manager.model.states import ModuleState, Readiness, Run
from tests.simulation.clockwork import MS_NS, SECOND_NS

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
    """When he named it last it was refused, and the record is the same since: it has lost its memory, and one that has
    not is there."""
    asked = [r for r in cluster.requests_since_record() if r.node == node and r.action == "prim"]
    return cluster.plan.reads_answers and bool(asked) and asked[-1].reason == Reason.REBOOTED_SINCE_LISTED


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


class Insisting:
    """``mirrorfarm prim`` of one who says yes to whatever he is asked, without looking at any other copy.

    Where he is refused for what passes, he asks again a moment later; in the end he does without.
    """

    def __init__(self, cluster: "Cluster", node: str, words: Sequence[str]) -> None:
        """``words``: ``force`` for ``--force``."""
        self._cluster, self._node, self._forced = cluster, node, "force" in words
        self._until_ns = cluster.clock.now_ns + _INSISTS_NS
        self._accepted: list[str] = []
        self._off: dict[str, str] = {}
        self._request = ""
        cluster.hasty.add(node)
        self._ask()

    def _ask(self) -> None:
        cluster = self._cluster
        if cluster.clock.now_ns >= self._until_ns:
            return
        if not cluster.clock.etcd.up:
            cluster.clock.after(_AGAIN_NS, self._ask)
            return
        self._request = cluster.request("prim", self._node, accept=",".join(self._accepted), **self._off)
        cluster.clock.after(_LOOKS_NS, self._look)

    def _look(self) -> None:
        cluster, asked = self._cluster, None
        if cluster.clock.etcd.up:
            asked = next((r for r in cluster.requests() if r.request_id == self._request), None)
        if asked is None or asked.status == "pending":
            if cluster.clock.now_ns < self._until_ns:
                cluster.clock.after(_LOOKS_NS, self._look)
            else:
                cluster.withdraw(self._request)
        elif asked.status == "refused":
            cluster.clock.after(_LOOKS_NS if self._says_yes(Reason(asked.reason)) else _AGAIN_NS, self._ask)

    def _says_yes(self, reason: Reason) -> bool:
        """Whether it is something that he may decide, and has not yet."""
        cluster, record = self._cluster, self._cluster.store.record
        may = reason in MAY_LOSE or (self._forced and reason is Reason.NOT_IN_SYNC)
        if may and reason not in self._accepted:
            self._accepted.append(reason)
            return True
        if reason is not Reason.NOT_CONFIRMED_OFF or self._off or record is None or not self._forced:
            return False
        self._off = {forcing.OFF: record.last_primary}
        cluster.forced.off.add((self._node, record.last_primary))
        return True


_INSISTS_NS, _AGAIN_NS, _LOOKS_NS = 25 * SECOND_NS, 2 * SECOND_NS, 300 * MS_NS


def put_later_copies_right(cluster: "Cluster") -> None:
    """What ``why`` says of a node whose disk has seen what etcd does not know of, while another one serves.

    Its data is saved, the module stopped there, ``.mirrorfarm`` removed, the agent, which has seen etcd go back, begun
    anew, and the module started. To be asked now and then.
    """
    for node, machine in cluster.nodes.items():
        member, stage = cluster.member(node), cluster.later_copies.get(node, 0)
        waits = member is not None and member.readiness is Readiness.BLOCKED and _has_seen_more(cluster, node, member)
        if stage == _STOPPED:
            if machine.replicator is None and member is None:
                machine.copy.forget()
                cluster.flapping.forget()
                machine.kill_agent()
                machine.start()
                cluster.note(f"(what {node} has is saved, and it is of nobody)")
                cluster.want(Run.STARTED, node)
                del cluster.later_copies[node]
        elif not waits or not cluster.primary:
            cluster.later_copies.pop(node, None)
        else:
            cluster.later_copies[node] = stage + 1
            if stage + 1 == _STOPPED:
                cluster.want(Run.STOPPED, node)


_NO_COPY = frozenset({Reason.NOT_IN_SYNC, Reason.DISK_IDENTITY_MISSING, Reason.REPLICATOR_FAILED})
_OFF_NS = 60 * SECOND_NS


def force_what_is_left(cluster: "Cluster") -> None:
    """Nobody that the record lists has a whole copy, as where one in the middle of a join was named: the last primary
    is turned off, and the copy forced that served last (docs/operations.md). To be asked now and then."""
    record, shown = cluster.store.record, {n: m for n in cluster.plan.nodes if (m := cluster.member(n)) is not None}
    stuck = all(m.readiness is Readiness.BLOCKED and Reason(m.reason) in _NO_COPY for m in shown.values())
    left = [n for n, m in shown.items() if m.reason == Reason.NOT_IN_SYNC and cluster.nodes[n].served]
    cluster.stuck = cluster.stuck + 1 if stuck and len(shown) == len(cluster.plan.nodes) and not cluster.primary else 0
    if cluster.stuck < _STOPPED or record is None or not left:
        return
    off = cluster.nodes[record.last_primary]
    cluster.note(f"({off.name} is turned off, and a copy forced)")
    off.crash(power=True)
    Insisting(cluster, max(left, key=lambda n: cluster.nodes[n].served[-1][0]), ["force"])
    cluster.clock.after(_OFF_NS, off.start)


def _has_seen_more(cluster: "Cluster", node: str, member: MemberRecord) -> bool:
    """Its agent says so; or, where it was in the middle of a join, the words of its replicator do."""
    identity, record = cluster.nodes[node].copy.identity, cluster.store.record
    older = identity is not None and record is not None and identity.epoch > record.epoch
    reason = Reason(member.reason)
    return reason in _STORE or (reason is Reason.REPLICATOR_FAILED and older)


_STOPPED = 2


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
    if record is not None and not _is_listed_for_what_it_has(record, node, shown[node]):
        cluster.rebuild_store()
    elif blocked.get(node) in _STORE:
        cluster.request("prim", node, accept=str(blocked[node]))


def _is_listed_for_what_it_has(record: InsyncRecord, node: str, member: MemberRecord) -> bool:
    """Else ``prim`` refuses it: that record is of another history, in which it took part."""
    holder = record.holder(node)
    return holder is not None and (member.disk is None or member.disk.epoch >= holder.epoch)


def _newest(cluster: "Cluster", shown: dict[str, MemberRecord]) -> str:
    """The copy of the highest epoch; of two the one that was ALONE in it, or else was the primary last."""
    seen = {node: 0 if m.disk is None else m.disk.copy_epoch for node, m in shown.items()}
    epoch = max(seen.values())
    if cluster.promises.overruled:
        return _named_last(cluster, shown, seen)
    lines = [
        (state is ModuleState.ALONE and at_epoch == epoch, at_ns, node)
        for node in shown
        for at_ns, at_epoch, state in cluster.nodes[node].served
        if seen[node] == epoch
    ]
    return max(lines)[2] if lines else max(seen, key=lambda node: seen[node])


def _named_last(cluster: "Cluster", shown: dict[str, MemberRecord], seen: dict[str, int]) -> str:
    """Once a copy was named in haste its epochs are not above those of one that was away: who served last counts."""
    lines = [(cluster.nodes[node].served[-1][0], node) for node in shown if seen[node] and cluster.nodes[node].served]
    return max(lines)[1] if lines else max(seen, key=lambda node: seen[node])
