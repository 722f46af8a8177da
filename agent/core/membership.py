"""As primary: who is connected, who is taken out of the in-sync record, who is put in (S2, S6, S10). Pure."""

from agent.core import transactions
from agent.core.absorbing_replicator import lost
from agent.core.boots import has_lost_memory
from agent.core.commands import Tell
from agent.core.copying import replace
from agent.core.limits import LATELY_NS, PEER_ASKED_NS, STABLE_NS
from agent.core.opening import commit, may_commit
from agent.core.settings import SECOND_NS
from agent.core.state import Link, MirrorState, Move, Peer, Rep
from manager.model import control
from manager.model.records import Holder, MemberRecord
from manager.model.resources import Unsteady
from manager.model.states import ModuleState


def write_record(state: MirrorState, now_ns: int) -> Move | None:
    """Drop who is lost, add who has everything, or only write it anew where its being known is in doubt."""
    if not state.is_primary or state.insync is None or not may_commit(state, now_ns):
        return None
    withdrawing = state.leaving is not None and state.leaving.withdrawing
    if state.rep not in (Rep.SERVING, Rep.FREEZING) and not (state.rep is Rep.FROZEN and _is_due_frozen(state)):
        return None
    wanted = wanted_holders(state, now_ns)
    if not (wanted != state.insync.record.holders or _is_doubtful(state) or withdrawing):
        return None
    return commit(state, transactions.write_record(state, wanted))


def _is_due_frozen(state: MirrorState) -> bool:
    """An offer is withdrawn; or it cannot be made, as long as a change of unknown outcome may still execute (S6)."""
    leaving = state.leaving
    if leaving is None or leaving.withdrawing:
        return leaving is not None
    return leaving.to != "" and not leaving.offered_ns and state.late_record == state.insync_revision


def _is_doubtful(state: MirrorState) -> bool:
    """A request of unknown outcome may still execute (S6), or a peer past its join point was lost before it was listed.

    Either way the record is written as wanted, so that what was sent before can no longer succeed.
    """
    return state.late_record == state.insync_revision or state.fence_record


def wanted_holders(state: MirrorState, now_ns: int) -> tuple[Holder, ...]:
    """Who shall be listed: those listed that are not lost, and those that have everything and are stable."""
    if state.insync is None:
        return ()
    own = Holder(state.node, state.boot_id, state.instance, state.epoch)
    kept = [own if h.node == state.node else h for h in state.insync.record.holders if not is_lost(state, h, now_ns)]
    listed = {h.node for h in kept}
    adds = state.leaving is None and _may_serve_beside_another(state, now_ns)
    for node, peer in sorted(state.peers.items()):
        if peer.link is not Link.COMPLETE or node in listed or not adds:
            continue
        complete = Holder(node, peer.boot_id, peer.instance, state.epoch)
        if not has_lost_memory(state.view, complete) and _is_stable(state, node, peer, now_ns):
            kept.append(complete)
    return tuple(kept)


def _may_serve_beside_another(state: MirrorState, now_ns: int) -> bool:
    """Its lease lasts for long enough to ask for a promise and hear it, and as long as it has told that it may serve.

    Alone in the record it needs neither; from the moment that another node may be listed it serves by its lease, or by
    that node's promise (S5): who lists one without either ends its own right to serve. And what serves goes on until
    the instant that it was told, even if this agent dies now (S7), while the other one may stand at the lease's end.
    """
    told = state.lease is not None and state.told_until_ns <= state.lease.deadline_ns
    return told and state.lease_holds(now_ns + 2 * state.settings.ask_every_ns)


def is_lost(state: MirrorState, holder: Holder, now_ns: int) -> bool:
    """A listed node that does not hold what completes from now on."""
    if holder.node == state.node or state.rep is Rep.FROZEN:
        return False
    if has_lost_memory(state.view, holder):
        return True
    peer = state.peers.get(holder.node)
    if peer is None or peer.link is Link.ASKED:
        since_ns = state.rep_since_ns if peer is None else peer.since_ns
        return now_ns >= since_ns + state.settings.peer_timeout_ns
    return peer.link is Link.LOST


def _is_stable(state: MirrorState, node: str, peer: Peer, now_ns: int) -> bool:
    lost_ns = state.lost_ns.get(node)
    return (
        lost_ns is None or now_ns >= lost_ns + LATELY_NS or now_ns >= peer.connected_ns + stable_after_ns(state, node)
    )


def stable_after_ns(state: MirrorState, node: str) -> int:
    """How long a peer that was lost lately must have been connected before it is listed: longer after each loss."""
    return min(LATELY_NS, STABLE_NS << min(max(0, state.flaps.get(node, 1) - 1), _MOST_DOUBLINGS))


_MOST_DOUBLINGS = 10
UNSTEADY_FROM = 2
"""So many losses in a row are shown."""


def unsteady(state: MirrorState, now_ns: int) -> tuple[Unsteady, ...]:
    """The peers that flap and are not listed for it."""
    listed = frozenset() if state.insync is None else state.insync.record.nodes
    return tuple(
        Unsteady(node, losses, stable_after_ns(state, node) // SECOND_NS)
        for node, losses in sorted(state.flaps.items())
        if losses >= UNSTEADY_FROM and node not in listed and now_ns < state.lost_ns.get(node, 0) + LATELY_NS
    )


def tell_peers(state: MirrorState, now_ns: int) -> Move | None:
    """Which streams the replicator is to keep: to each node that follows this epoch.

    Only while the record is settled, told, and as wanted: so that no Settled which leaves a node out is on its way to
    the replicator when that node's stream comes past its join point. The replicator lets no stream to a listed node,
    or one lost past its join point, begin before it is told of a record without it. Of a record that is not understood
    the last one that was settled counts: who it lists is waited for, so the streams that stand are kept.
    """
    if not state.is_primary or state.rep is not Rep.SERVING or state.view is None or state.leaving is not None:
        return None
    if state.record_is_unreadable:
        return None
    for node in state.settings.peers:
        move = _tell_peer(state, node, state.view.member(node), now_ns)
        if move is not None:
            return move
    return None


def _tell_peer(state: MirrorState, node: str, member: MemberRecord | None, now_ns: int) -> Move | None:
    peer = state.peers.get(node)
    follows = member is not None and _follows(state, member)
    if peer is None or peer.link is Link.LOST:
        if not _is_settled_without(state, node, now_ns):
            return None
        if follows and member is not None:
            return _ask(state, node, member, now_ns)
        forgotten = replace(state, peers={n: p for n, p in state.peers.items() if n != node})
        return None if peer is None else Move(forgotten, (Tell(control.Forget(node)),))
    # One without an instance is of an agent that has just begun: its replicator may be the same, and follow.
    gone = member is not None and member.instance != "" and (not follows or member.instance != peer.instance)
    stuck = peer.link is Link.ASKED and now_ns >= peer.since_ns + PEER_ASKED_NS
    if gone or stuck:
        # What its stream says from here on is of one that was given up.
        given_up = lost(replace(state, peers={**state.peers, node: replace(peer, link=_given_up(peer))}), node, now_ns)
        return Move(given_up, (Tell(control.Forget(node)),))
    return None


def _given_up(peer: Peer) -> Link:
    return Link.COMPLETE if peer.link is Link.COMPLETE else Link.LOST


def _ask(state: MirrorState, node: str, member: MemberRecord, now_ns: int) -> Move | None:
    if member.endpoint is None:
        return None
    asked = Peer(Link.ASKED, member.instance, now_ns)
    told = Tell(control.Peer(node, member.endpoint.host, member.endpoint.port))
    return Move(replace(state, peers={**state.peers, node: asked}), (told,))


def _follows(state: MirrorState, member: MemberRecord) -> bool:
    """Its replicator takes the stream of this epoch."""
    return (
        member.endpoint is not None
        and member.instance != ""
        and member.epoch == state.epoch
        and member.state in (ModuleState.WAIT, ModuleState.SECOND)
    )


def _is_settled_without(state: MirrorState, node: str, now_ns: int) -> bool:
    """The record does not list ``node``, the replicator knows it, and nothing under way, or due, changes it."""
    insync = state.insync
    return (
        insync is not None
        and insync.record.holder(node) is None
        and not state.fence_record
        and state.open is None
        and state.late_record is None
        and state.told_record == insync.mod_revision
        and wanted_holders(state, now_ns) == insync.record.holders
    )


def instants(state: MirrorState) -> list[int]:
    """When time alone may change something of all this."""
    timeout_ns = state.settings.peer_timeout_ns
    at = [state.rep_since_ns + timeout_ns]
    for node, peer in state.peers.items():
        at += [peer.since_ns + timeout_ns, peer.since_ns + PEER_ASKED_NS]
        at += [peer.connected_ns + stable_after_ns(state, node), state.lost_ns.get(node, 0) + LATELY_NS]
    return at
