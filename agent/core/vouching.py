"""What this node's disk and etcd say against each other (S8, S12). Pure.

A disk notes the highest epoch and revision that it has seen, and which etcd cluster that was. An etcd that knows less,
or is another one, was restored from a backup or rebuilt: it may not know which copy is the newest, and only an operator
can say. Once one has (``mirrorfarm prim``), the epoch that began so is written into the record, and nodes that have
seen only earlier ones follow it. What they have that the named copy may never have had is set aside first.
"""

from agent.core.copying import replace
from agent.core.state import MirrorState
from manager.model.reasons import Reason

STORE_OBJECTIONS = frozenset({Reason.STORE_WENT_BACK, Reason.STORE_REPLACED})
"""What an operator may decide against."""


def disk_objection(state: MirrorState) -> Reason | None:
    """Why this node does not stand by itself; ``None``: its disk has nothing against this etcd."""
    view, disk, settings = state.view, state.disk, state.settings
    if state.hello is not None and state.hello.foreign:
        return Reason.DISK_OF_OTHER_CLUSTER
    if disk is not None and (disk.cluster_id, disk.module_id) != (settings.cluster_id, settings.module_id):
        return Reason.DISK_OF_OTHER_CLUSTER
    if disk is not None and disk.store_id and state.store_id not in ("", disk.store_id):
        return Reason.STORE_REPLACED
    if state.went_back or (view is not None and view.cluster_id not in ("", settings.cluster_id)):
        return Reason.STORE_WENT_BACK
    if disk is not None and view is not None and (disk.epoch > state.epoch or disk.revision > state.revision):
        return Reason.STORE_WENT_BACK
    return None


def follow_objection(state: MirrorState) -> Reason | None:
    """Why this node does not follow the primary there is: that would overwrite what an operator has to look at.

    Where there is nothing to overwrite it does, whatever it saw of etcd; but in no epoch below one that its disk has
    noted, which its replicator would refuse.
    """
    bare = has_nothing_of_its_own(state)
    objection = disk_objection(replace(state, went_back=False) if bare and state.went_back else state)
    if objection is None and bare and _noted_epoch(state) > state.epoch:
        objection = Reason.STORE_WENT_BACK
    return None if objection in STORE_OBJECTIONS and _was_decided(state) else objection


def _was_decided(state: MirrorState) -> bool:
    """An operator has named another node's copy in an epoch that is newer than all that this disk has seen.

    A copy that has diverged sets aside what is its own before anything of it is changed, whoever is made equal to whom:
    it may have noted that epoch in another etcd.
    """
    if state.primary is None or state.insync is None or state.primary.record.epoch != state.epoch:
        return False
    decided = state.insync.record.decided
    if state.disk is not None:
        return decided > state.disk.epoch
    noted = _noted_epoch(state)
    return decided > noted or (decided == noted > 0 and is_whole_but_diverged(state))


def has_nothing_of_its_own(state: MirrorState) -> bool:
    """Its disk is blank, or in the middle of a join: what it is made equal to overwrites nothing."""
    hello = state.hello
    if hello is None or state.disk is not None or state.half_joined is False:
        return False
    return hello.seen_epoch == 0 and not is_whole_but_diverged(state)


def is_whole_but_diverged(state: MirrorState) -> bool:
    """Its disk vouches for nothing before it has set aside what is its own (S12), and nothing of it was changed yet."""
    return state.hello is not None and state.hello.diverged


def is_half_joined(state: MirrorState) -> bool:
    """Its disk is in the middle of a join: neither whole, nor blank.

    So it is from when it is told to follow, if it vouched for nothing then.
    """
    if state.disk is not None or state.hello is None:
        return False
    if state.half_joined is not None:
        return state.half_joined  # What the replicator has seen on the disk since.
    begun = state.follow_epoch > 0 and not is_whole_but_diverged(state)
    return begun or state.hello.joining_epoch is not None


def _noted_epoch(state: MirrorState) -> int:
    """The highest epoch that this node's disk has noted, by what its process found there and was told since."""
    hello = state.hello
    if hello is None:
        return state.follow_epoch
    return max(state.follow_epoch, hello.seen_epoch, hello.joining_epoch or 0)


def has_diverged(state: MirrorState) -> bool:
    """An operator has had another copy go on since, whatever this one's disk has: it may have what that one lacks.

    One disk of several is enough: the others may have been replaced. One that is in the middle of no join has all of
    the epoch that it followed, though what it vouches for cannot be read.
    """
    decided = _decided_epoch(state)
    if state.disk is not None:
        return decided > state.disk.epoch
    seen = 0 if state.hello is None else state.hello.seen_epoch
    if state.half_joined is False:
        seen = max(seen, state.follow_epoch)
    return decided > seen > 0


def is_to_part(state: MirrorState) -> bool:
    """An operator has had a copy go on since this process was told whom to follow.

    A join of that stream may come to its end at this moment: whether this copy has diverged from the one that he named
    is known once no stream of another one stands.
    """
    return state.follow_epoch > 0 and _decided_epoch(state) > state.follow_epoch


def _decided_epoch(state: MirrorState) -> int:
    return 0 if state.insync is None else state.insync.record.decided


def acknowledged(state: MirrorState, revision: int) -> MirrorState:
    """The replicator is told of this etcd at ``revision``, and notes it: what the disk had against it is settled."""
    disk = state.disk
    if disk is not None:
        disk = replace(disk, revision=min(disk.revision, state.revision), store_id=state.store_id)
    return replace(state, went_back=False, disk=disk, told_revision=revision, told_store=state.store_id)


def highest_epoch(state: MirrorState) -> int:
    """The highest epoch that a disk of this module has seen, of this node's and of those that are there.

    This node's has seen the one that its replicator was told to follow, whether its stream has come or not; and of
    several disks that together vouch for nothing, one may have seen it.
    """
    members = () if state.view is None else tuple(m.record.disk for m in state.view.members.values())
    return max((_noted_epoch(state), *(d.epoch for d in (state.disk, *members) if d is not None)))
