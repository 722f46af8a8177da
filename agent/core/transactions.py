"""The transactions that change a module's primary key and in-sync record, built in one place (S1, S2). Pure."""

from typing import Any

from agent.core.commands import Commit
from agent.core.copying import replace
from agent.core.events import Tag
from agent.core.state import MirrorState, OpenTxn
from agent.core.view import Seen
from manager.model.codec import encode
from manager.model.errors import InvariantViolated
from manager.model.keys import ModuleKeys
from manager.model.reasons import Reason
from manager.model.records import HistoryRecord, Holder, InsyncRecord, PrimaryRecord
from manager.store.api import CreateRevisionIs, Delete, Get, Guard, KeyAbsent, ModRevisionIs, Put, Txn


def elect(state: MirrorState, reason: Reason, guards: tuple[Guard, ...], detail: str = "", above: int = 0) -> OpenTxn:
    """Become primary where there is none: epoch+1, this node alone.

    Args:
        state: of this node.
        reason: what the history says.
        guards: what standing adds (S8, S9).
        detail: what the history says beyond the reason.
        above: an epoch that a disk has seen and etcd may not know, where an operator has decided; else 0.
    """
    absent = KeyAbsent(state.settings.keys.primary)
    return _stand(state, Tag.ELECT, (absent, *guards), (_own_holder(state),), reason, detail, above)


def take_over(state: MirrorState, holders: tuple[Holder, ...], reason: Reason) -> OpenTxn:
    """Become primary in place of one that has handed over: guarded by its key and the record's revision."""
    if state.primary is None:
        raise InvariantViolated("a hand-over without a primary")
    theirs = CreateRevisionIs(state.settings.keys.primary, state.primary.create_revision)
    return _stand(state, Tag.TAKE_OVER, (theirs,), (_own_holder(state), *holders), reason)


def _own_holder(state: MirrorState) -> Holder:
    """This node as it stands: the epoch is what its disk has noted, not the one that it will note when it serves."""
    noted = 0 if state.disk is None else state.disk.epoch
    return Holder(state.node, state.boot_id, state.instance, noted)


def _stand(
    state: MirrorState, tag: Tag, guards: tuple[Guard, ...], holders: tuple[Holder, ...], reason: Reason,
    detail: str = "", above: int = 0,
) -> OpenTxn:  # fmt: skip
    if state.lease is None:
        raise InvariantViolated("a node stands without a lease")
    keys = state.settings.keys
    old = state.insync
    as_read: Guard = KeyAbsent(keys.insync) if old is None else ModRevisionIs(keys.insync, old.mod_revision)
    before = InsyncRecord(0, 0, "", ()) if old is None else old.record
    epoch = max(before.epoch, above) + 1
    decided = epoch if above else before.decided
    record = InsyncRecord(epoch, before.number + 1, state.node, holders, because=str(reason), decided=decided)
    primary = PrimaryRecord(state.node, epoch, state.instance)
    txn = Txn(
        guards=(*guards, as_read),
        then=(Put(keys.primary, encode(primary), state.lease.lease_id), Put(keys.insync, encode(record))),
        otherwise=_both(keys),
    )
    history = HistoryRecord(epoch, state.node, before.last_primary, str(reason), at="", detail=detail)
    return OpenTxn(Commit(tag, txn, history), 0 if old is None else old.mod_revision)


def write_record(state: MirrorState, holders: tuple[Holder, ...]) -> OpenTxn:
    """Write the record as this primary wants it: guarded by its own key and by the record as it knows it (S2, S6)."""
    if state.primary is None or state.insync is None or not state.is_primary:
        raise InvariantViolated("only the primary changes the in-sync record")
    keys = state.settings.keys
    record = _anew(state.insync.record, holders=holders)
    txn = Txn(_as_known(keys, state.primary, state.insync), (Put(keys.insync, encode(record)),), _both(keys))
    return OpenTxn(Commit(Tag.RECORD, txn), state.insync.mod_revision, record.nodes)


def adopt(state: MirrorState) -> OpenTxn:
    """Put the key on this agent's lease, and write the record anew, so that a former agent's requests are void (S6)."""
    if state.primary is None or state.insync is None or state.lease is None:
        raise InvariantViolated("nothing to adopt")
    keys = state.settings.keys
    record = _anew(state.insync.record)
    txn = Txn(
        guards=_as_known(keys, state.primary, state.insync),
        then=(Put(keys.primary, encode(state.primary.record), state.lease.lease_id), Put(keys.insync, encode(record))),
        otherwise=_both(keys),
    )
    return OpenTxn(Commit(Tag.ADOPT, txn), state.insync.mod_revision)


def resume(state: MirrorState) -> OpenTxn:
    """Put the key anew where it expired, in the same epoch, and write the record anew: older requests are void (S1)."""
    if state.office is None or state.insync is None or state.lease is None:
        raise InvariantViolated("nothing to resume")
    keys = state.settings.keys
    record = _anew(state.insync.record)
    primary = PrimaryRecord(state.node, state.office.epoch, state.office.instance)
    txn = Txn(
        guards=(KeyAbsent(keys.primary), ModRevisionIs(keys.insync, state.insync.mod_revision)),
        then=(Put(keys.primary, encode(primary), state.lease.lease_id), Put(keys.insync, encode(record))),
        otherwise=_both(keys),
    )
    return OpenTxn(Commit(Tag.RESUME, txn), state.insync.mod_revision)


def resign(state: MirrorState, *, nothing_left: bool) -> OpenTxn:
    """Delete this node's own primary key, that very one.

    ``nothing_left``: all that served is dead, which the record says then: no promise to this node binds any more.
    """
    primary, insync = state.primary, state.insync
    if primary is None or not state.key_is_ours:
        raise InvariantViolated("only its own key is deleted by a node")
    keys = state.settings.keys
    guards: tuple[Guard, ...] = (CreateRevisionIs(keys.primary, primary.create_revision),)
    then: tuple[Delete | Put, ...] = (Delete(keys.primary),)
    if nothing_left and insync is not None and insync.record.epoch == primary.record.epoch:
        record = _anew(insync.record, released=insync.record.epoch)
        guards = _as_known(keys, primary, insync)
        then = (*then, Put(keys.insync, encode(record)))
    txn = Txn(guards, then, _both(keys))
    return OpenTxn(Commit(Tag.RESIGN, txn), state.insync_revision)


def _anew(record: InsyncRecord, **changes: Any) -> InsyncRecord:
    """``record`` with ``changes``, by the next number: what is guarded by the former one can no longer succeed (S6)."""
    return replace(record, number=record.number + 1, **changes)


def _as_known(keys: ModuleKeys, primary: Seen[PrimaryRecord], insync: Seen[InsyncRecord]) -> tuple[Guard, ...]:
    """That very primary key is there, and the record is as it was read."""
    return (
        CreateRevisionIs(keys.primary, primary.create_revision),
        ModRevisionIs(keys.insync, insync.mod_revision),
    )


def _both(keys: ModuleKeys) -> tuple[Get, ...]:
    """What a transaction that is refused tells: both keys that decisions are guarded by."""
    return (Get(keys.primary), Get(keys.insync))
