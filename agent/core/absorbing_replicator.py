"""Takes what the replicator says into the state: facts only. Pure."""

from agent.core.copying import replace
from agent.core.limits import FLAPS_FORGOTTEN_NS, JOIN_AGAIN_NS, PEER_ASKED_NS, REPLICATOR_LIVED_NS, backoff_ns
from agent.core.settings import MS_NS
from agent.core.state import SERVES, Aside, Given, Link, MirrorState, Peer, Rep
from manager.model import asides
from manager.model import control as c
from manager.model.boots import after_loss
from manager.model.reasons import Reason
from manager.model.records import DiskIdentity
from manager.model.states import Run


def said(state: MirrorState, message: c.Event, now_ns: int) -> MirrorState:
    """``state`` after an event of the replicator."""
    match message:
        case c.Hello():
            return _hello(state, message, now_ns)
        case c.Serving(epoch):
            return _become(_noted(state, epoch, epoch), Rep.PROMOTING, Rep.SERVING, now_ns)
        case c.Frozen():
            return _become(state, Rep.FREEZING, Rep.FROZEN, now_ns)
        case c.StreamClosed(_, joining, identity):
            return _become(_stream_over(state, joining, identity), Rep.CLOSING, Rep.CLOSED, now_ns)
        case c.Following(primary, epoch):
            return _following(state, primary, epoch)
        case c.StreamLost(joining=joining, identity=identity):
            return replace(_stream_over(state, joining, identity), stream_up=False)
        case c.Joined(epoch, identity):
            return _joined(state, epoch, identity)
        case asides.SettingAside():
            return replace(state, aside=Aside.KEEPING)
        case asides.NotSetAside(full=full):
            return replace(state, aside=Aside.FULL if full else Aside.FAILED)
        case asides.SetAside():
            return replace(state, aside=Aside.NOTHING)
        case c.PromiseAsked():
            return replace(state, asked=message)
        case c.Promised():
            return _promised(state, message)
        case c.Fenced():
            return replace(state, killing_for=Reason.LEASE_LOST)
        case c.Idled() if state.rep in SERVES:
            # Past its deadline it has put its role away: an agent that came meanwhile has not heard Fenced.
            return replace(state, killing_for=Reason.LEASE_LOST)
        case c.Failed(_, _, memory_lost):
            # The record still names the boot id before: this node is taken for one that rebooted (S8).
            kept = replace(state, boot=after_loss(state.boot_id)) if memory_lost else state
            return _failed(kept, now_ns)
        case c.Refused("Verify" | "StopVerify", _):
            return state  # Whoever asked for the comparison is answered; it has no part in what the replicator is.
        case c.Refused():
            return _failed(state, now_ns)
        case _:
            return _peers(state, message, now_ns)


def _become(state: MirrorState, before: Rep, after: Rep, now_ns: int) -> MirrorState:
    return replace(state, rep=after, rep_since_ns=now_ns) if state.rep is before else state


def _following(state: MirrorState, primary: str, epoch: int) -> MirrorState:
    """A stream stands: of the primary that it was told, or was told by a former agent, whose word this one took over.

    That agent's word is not known here; of an epoch there is but one primary. A disk that vouched for nothing goes on
    doing so until its join is through (:func:`_joined`), whatever epoch the replicator notes on it.
    """
    if epoch != state.follow_epoch or state.follow_primary not in ("", primary):
        return state
    noted = state if state.disk is None else _noted(state, epoch, state.disk.copy_epoch)
    return replace(noted, stream_up=True, half_joined=None)


def _joined(state: MirrorState, epoch: int, identity: DiskIdentity) -> MirrorState:
    """It has everything on its disks; of a stream before the one that it was told of last it is known by that's end."""
    return state if epoch != state.follow_epoch else replace(state, disk=_as_told(state, identity))


def _stream_over(state: MirrorState, joining: bool | None, identity: DiskIdentity | None) -> MirrorState:
    """No stream stands any more. In the middle of a join its disks vouch for nothing, whatever was read of them before.

    Nor do those that cannot say so, which are not taken for bare either. What is in the middle of none, and vouches for
    nothing all the same, is yet to be set aside, or cannot be read: it is what it was known as.
    """
    if joining is not False:
        return replace(state, half_joined=joining is True, disk=None)
    return replace(state, half_joined=False, disk=state.disk if identity is None else _as_told(state, identity))


def _as_told(state: MirrorState, identity: DiskIdentity) -> DiskIdentity:
    """``identity``, of the etcd that the replicator was told of last: it may have read it just before it noted that."""
    if not state.told_store:
        return identity
    return replace(identity, revision=state.told_revision, store_id=state.told_store)


def _noted(state: MirrorState, epoch: int, whole_epoch: int) -> MirrorState:
    """The replicator has put ``epoch`` on its disk (it does so before it uses it, S8).

    With it stands there the etcd that it was told of, which may have been replaced since: that a stream came back does
    not say that this node may go by the one that is there now.
    """
    settings = state.settings
    revision = max(state.told_revision, 0 if state.disk is None else state.disk.revision)
    store_id = state.told_store if state.disk is None else state.disk.store_id
    disk = DiskIdentity(settings.cluster_id, settings.module_id, epoch, revision, store_id, whole_epoch)
    return replace(state, disk=disk)


def _hello(state: MirrorState, hello: c.Hello, now_ns: int) -> MirrorState:
    """A new process, or one that a former agent started; that one's stream, if it stands, is not told of again.

    Or the same again, when the connection to it was lost: what was said and told meanwhile has gone with that. It says
    first which streams it has, and is told again what the record is.
    """
    role = {"primary": Rep.FOUND_SERVING, "secondary": Rep.FOLLOWING}.get(hello.role, Rep.IDLE)
    follows = role is Rep.FOLLOWING
    asked = {n: replace(p, link=Link.ASKED, since_ns=now_ns) for n, p in state.peers.items() if p.link is not Link.LOST}
    return replace(
        state, looked=True, hello=hello, disk=hello.identity, rep=role, rep_since_ns=now_ns, stream_up=follows,
        follow_epoch=hello.epoch if follows else 0, follow_primary="", half_joined=None, told_revision=0, told_store="",
        aside=Aside.DUE if hello.diverged else Aside.NOTHING, peers=asked, told_record=0,
    )  # fmt: skip


def _failed(state: MirrorState, now_ns: int) -> MirrorState:
    """It cannot go on as what it was: it is ended, and a primary resigns."""
    lived = now_ns - state.rep_since_ns
    failures = 1 if lived >= REPLICATOR_LIVED_NS else state.rep_failures + 1
    return replace(
        state,
        killing_for=Reason.REPLICATOR_FAILED,
        rep_failures=failures,
        rep_start_after_ns=now_ns + backoff_ns(failures),
        resigning=Reason.REPLICATOR_FAILED if state.rep in SERVES and state.key_is_ours else state.resigning,
    )


def _promised(state: MirrorState, said: c.Promised) -> MirrorState:
    """Another node's promise, counted from before it was asked for, less what stopping takes."""
    if state.office is None or said.epoch != state.office.epoch or said.asked_ns > state.asked_ns:
        return state
    for_ns = said.for_ms * MS_NS - state.settings.taken_off_ns
    until_ns = said.asked_ns + for_ns
    before = state.given.get(said.node)
    if before is not None and before.instance == said.instance:
        until_ns = max(until_ns, before.until_ns)
    return replace(state, given={**state.given, said.node: Given(said.instance, until_ns, for_ns)})


def _peers(state: MirrorState, message: c.Event, now_ns: int) -> MirrorState:
    """What a primary hears of the others' streams."""
    match message:
        case c.PeerConnected(node, instance):
            return _connected(state, node, instance, now_ns)
        case c.PeerComplete(node, boot_id, instance, epoch):
            return _complete(state, node, boot_id, instance, epoch, now_ns)
        case c.PeerLost(node):
            return lost(state, node, now_ns)
        case _:
            return state


def _told_of(state: MirrorState, node: str, now_ns: int) -> Peer | None:
    """The stream that this agent asked for; of a replicator that was found serving, that which it says it has."""
    peer = state.peers.get(node)
    if peer is None and state.rep is Rep.FOUND_SERVING:
        return Peer(Link.ASKED, "", now_ns)
    return None if peer is None or peer.link is Link.LOST else peer


def _connected(state: MirrorState, node: str, instance: str, now_ns: int) -> MirrorState:
    peer = _told_of(state, node, now_ns)
    if peer is None:
        return state  # Of a stream that was given up meanwhile; Peer will be told anew.
    joined = replace(peer, link=Link.JOINING, instance=instance, since_ns=now_ns, connected_ns=now_ns)
    return replace(state, peers={**state.peers, node: joined})


def _complete(state: MirrorState, node: str, boot_id: str, instance: str, epoch: int, now_ns: int) -> MirrorState:
    peer = _told_of(state, node, now_ns)
    # It is told once, also while the record is not understood: what is served is what the disk has noted.
    served = state.disk.epoch if state.insync is None and state.disk is not None else state.epoch
    if peer is None or epoch != served:
        return state
    complete = replace(peer, link=Link.COMPLETE, instance=instance, boot_id=boot_id)
    return replace(state, peers={**state.peers, node: complete})


def lost(state: MirrorState, node: str, now_ns: int) -> MirrorState:
    """The stream to ``node`` is gone. One past its join point holds completions until the record is written (S2).

    One that has not been told complete, and is not listed, is no matter of the record. The replicator goes on trying to
    connect, but begins a stream once for each Peer: one whose join broke off is soon given up, and asked for anew. But
    it may have come past its join point: the replicator is told again that the record does not list it. So it is
    with one that was given up here before the replicator said so; unless a change that lists it may be under way.
    """
    peer = state.peers.get(node) or Peer(Link.LOST, "", now_ns)
    listed = state.insync is not None and state.insync.record.holder(node) is not None
    under_way = frozenset() if state.open is None else state.open.lists
    in_doubt = state.fence_record or node in under_way or node in state.late_lists
    if peer.link is Link.LOST and not listed and not in_doubt:
        state = replace(state, told_record=0)
    if peer.link in (Link.ASKED, Link.JOINING) and not listed:
        since_ns = now_ns if peer.link is Link.ASKED else now_ns - PEER_ASKED_NS + JOIN_AGAIN_NS
        again = replace(peer, link=Link.ASKED, since_ns=since_ns)
        return replace(state, peers={**state.peers, node: again}, told_record=0)
    fence = state.fence_record or peer.link is Link.COMPLETE
    gone = replace(peer, link=Link.LOST, since_ns=now_ns)
    # One that this primary never had, as after a hand-over, does not flap, nor one that an operator stops (S10).
    stopped = state.view is not None and state.view.wants(node) is Run.STOPPED
    if peer.connected_ns and not stopped:
        state = _flapped(state, node, now_ns)
    return replace(state, peers={**state.peers, node: gone}, fence_record=fence)


def _flapped(state: MirrorState, node: str, now_ns: int) -> MirrorState:
    """Once more, or for the first time in a long while."""
    before_ns = state.lost_ns.get(node)
    again = before_ns is not None and now_ns < before_ns + FLAPS_FORGOTTEN_NS
    flaps = state.flaps.get(node, 0) + 1 if again else 1
    return replace(state, lost_ns={**state.lost_ns, node: now_ns}, flaps={**state.flaps, node: flaps})
