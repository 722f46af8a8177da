"""S1, S9, S11: how a node becomes primary."""

from dataclasses import replace

from agent.core import following, promising, standing, transactions
from agent.core.commands import Commit
from agent.core.opening import commit, may_commit
from agent.core.standing import Verdict
from agent.core.state import SERVES, MirrorState, Move, OpenTxn, Rep
from manager.model.codec import decode, encode
from manager.model.reasons import Reason
from manager.model.records import Holder, InsyncRecord, PrimaryRecord
from manager.store.api import Put
from tests.simulation.broken.variant import (
    CUT_OFF,
    NO_STORE,
    PEERS,
    POWER,
    ROUGH_STORE,
    Variant,
    Where,
    is_key,
    is_record,
    with_core,
    without_guards,
)
from tests.simulation.plan import Plan


def _stands_unlisted(state: MirrorState, record: InsyncRecord, now_ns: int) -> Verdict:
    if record.holder(state.node) is None and state.hello is not None:
        return Verdict(True, Reason.PRIMARY_LOST)
    return _listed(state, record, now_ns)


_listed = standing._listed


def _begins_by_itself(state: MirrorState, now_ns: int) -> Verdict:
    return Verdict(True, Reason.FIRST_START)


def _in_the_same_epoch(state: MirrorState, *args: object, **kwargs: object) -> OpenTxn:
    """Once it had an epoch, the next one is the same."""
    txn = _elect(state, *args, **kwargs)  # type: ignore[arg-type]
    if state.insync is None:
        return txn
    epoch = state.insync.record.epoch
    puts = []
    for put in txn.commit.txn.then:
        assert isinstance(put, Put)
        primary = put.key == state.settings.keys.primary
        record = decode(PrimaryRecord, put.value) if primary else decode(InsyncRecord, put.value)
        puts.append(replace(put, value=encode(replace(record, epoch=epoch))))
    changed = replace(txn.commit.txn, then=tuple(puts))
    return replace(txn, commit=Commit(txn.commit.tag, changed))


_elect = transactions.elect


def _resumes_without_proof(state: MirrorState, now_ns: int) -> Move | None:
    if state.office is None or state.is_primary or state.rep not in SERVES or state.rep is Rep.FOUND_SERVING:
        return None
    ready = state.store_heard and state.lease_holds(now_ns) and may_commit(state, now_ns) and state.primary is None
    return commit(state, transactions.resume(state)) if ready else None


def _any_process(state: MirrorState) -> bool:
    return True


def _offered_any_number(state: MirrorState) -> bool:
    """Whatever has become of the record since the offer."""
    if state.primary is None or state.view is None or state.insync is None or state.key_is_ours:
        return False
    member = state.view.member(state.primary.record.node)
    if member is None or member.hand_over is None or member.hand_over.to != state.node:
        return False
    return state.insync.record.holder(state.node) is not None


def _takes_over_with_everyone(state: MirrorState, holders: tuple[Holder, ...], reason: Reason) -> OpenTxn:
    txn = _take_over(state, holders, reason)
    guards = tuple(g for g in txn.commit.txn.guards if not is_record(g, state))
    return replace(txn, commit=replace(txn.commit, txn=replace(txn.commit.txn, guards=guards)))


_take_over = transactions.take_over

STALE = Plan(store_faults=0, faults=("stale",), mean_between_faults_s=60.0)
SWAPS = replace(ROUGH_STORE, faults=("operators", "operators", "machine"), mean_between_faults_s=3.0)

VARIANTS = (
    Variant(
        "s1-election-without-the-record", "An election does not test the record's revision.", Where.CORE,
        with_core(ROUGH_STORE, (following.stand, without_guards(following.stand, is_record))), "S1",
    ),
    Variant(
        "s1-not-listed", "A node that the record does not list stands.", Where.CORE,
        with_core(PEERS, (standing._listed, _stands_unlisted)), "P4",
    ),
    Variant(
        "s1-resume-without-the-record", "A resume does not test the record's revision.", Where.CORE,
        with_core(STALE, (promising.resume, without_guards(promising.resume, is_record))),
        "S1",
    ),
    Variant(
        "s1-resume-over-another", "A resume does not test that there is no primary, nor the record.", Where.CORE,
        with_core(
            STALE,
            (promising.resume, without_guards(promising.resume, lambda g, s: is_record(g, s) or is_key(g, s))),
        ),
        "S1",
    ),
    Variant(
        "s1-resume-without-proof", "A resume, and serving until then, need no proof.", Where.CORE,
        with_core(NO_STORE, (promising.resume, _resumes_without_proof), (promising.proof_ns, lambda s, now: now * 2)),
        "S5",
    ),
    Variant(
        "s1-resume-with-another-process", "It resumes although the other one listed is another process by now.",
        Where.CORE, with_core(CUT_OFF, (promising._same_processes, _any_process)), "",
        redundant="Completions wait for every listed node past its join point whatever the agent says, and the key of "
        "the resumed primary lets it take the lost one out, guarded by the record. The rule saves a doubtful moment, "
        "no write.",
    ),
    Variant(
        "s1-hand-over-without-the-record", "A hand-over does not test the record's revision, nor the offer's number.",
        Where.CORE,
        with_core(
            SWAPS, (transactions.take_over, _takes_over_with_everyone), (standing.offered_to_us, _offered_any_number)
        ),
        "",
    ),
    Variant(
        "s10-the-same-epoch-again", "A replicator that starts as primary takes the epoch that was.", Where.CORE,
        with_core(PEERS, (transactions.elect, _in_the_same_epoch)), "S1",
    ),
    Variant(
        "s9-first-start-by-itself", "The first one to look begins.", Where.CORE,
        with_core(Plan(), (standing._first_start, _begins_by_itself)), "S9",
    ),
    Variant(
        "s11-a-read-decides", "An election is a put after a look, not a transaction.", Where.CORE,
        with_core(
            replace(POWER, store_faults=0.3),
            (following.stand, without_guards(following.stand, lambda g, s: is_record(g, s) or is_key(g, s))),
        ),
        "S1",
    ),
)  # fmt: skip
