"""S1: how a place is taken, offered, resumed and adopted, one test after the other."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.core import following, leaving, standing, transactions
from agent.core.copying import replace as changed
from agent.core.state import Known, Leaving, MirrorState, Move, OpenTxn, Rep
from manager.model import control as c
from manager.model.codec import decode, encode
from manager.model.records import HandOver, InsyncRecord
from manager.store.api import Guard, Put
from replicator.core.completions import Completions, Gate
from tests.simulation.broken.recording import CUTS
from tests.simulation.broken.variant import (
    PEERS,
    ROUGH_STORE,
    Variant,
    Where,
    is_key,
    with_core,
    with_parts,
    without_guards,
)
from tests.simulation.plan import Plan
from tests.simulation.primary import Primary

Build = Callable[..., OpenTxn]


def _with(txn: OpenTxn, **changes: Any) -> OpenTxn:
    return replace(txn, commit=replace(txn.commit, txn=replace(txn.commit.txn, **changes)))


def _without(build: Build, dropped: Callable[[Guard, MirrorState], bool]) -> Build:
    """``build``, its transactions without the guards that are ``dropped``."""

    def built(state: MirrorState, *args: Any, **kwargs: Any) -> OpenTxn:
        txn = build(state, *args, **kwargs)
        return _with(txn, guards=tuple(g for g in txn.commit.txn.guards if not dropped(g, state)))

    return built


def _without_the_record(build: Build) -> Build:
    """``build``, its transactions leave the record as it is."""

    def built(state: MirrorState, *args: Any, **kwargs: Any) -> OpenTxn:
        txn = build(state, *args, **kwargs)
        insync = state.settings.keys.insync
        return _with(txn, then=tuple(p for p in txn.commit.txn.then if not (isinstance(p, Put) and p.key == insync)))

    return built


def _any(guard: Guard, state: MirrorState) -> bool:
    return True


def _beside_a_primary(state: MirrorState, now_ns: int) -> Move | None:
    """As if there were no primary."""
    if state.primary is None or state.key_is_ours:
        return _stand(state, now_ns)
    move = _stand(changed(state, known=Known(state.revision + 1, None, state.insync)), now_ns)
    return None if move is None else Move(changed(move.state, known=state.known), move.commands)


_stand = following.stand


def _with_the_others(state: MirrorState, *args: Any, **kwargs: Any) -> OpenTxn:
    """The others stay listed."""
    txn = _elect(state, *args, **kwargs)
    if state.insync is None:
        return txn
    others = tuple(h for h in state.insync.record.holders if h.node != state.node)

    def keep(put: Any) -> Any:
        if not isinstance(put, Put) or put.key != state.settings.keys.insync:
            return put
        record = decode(InsyncRecord, put.value)
        return replace(put, value=encode(replace(record, holders=(*record.holders, *others))))

    return _with(txn, then=tuple(keep(put) for put in txn.commit.txn.then))


_elect = transactions.elect


def _offers_at_once(state: MirrorState, now_ns: int) -> Move | None:
    """The application is not stopped, nor anything frozen."""
    now = state.leaving
    if now is not None and state.is_primary and not now.withdrawing and state.rep is Rep.SERVING:
        return leaving._frozen(state, now, now_ns)
    return _walk(state, now_ns)


_walk = leaving.walk


def _offers_unfrozen(state: MirrorState) -> HandOver | None:
    now = state.leaving
    if now is None or not now.offered_ns or now.withdrawing or not state.is_primary:
        return None
    return HandOver(now.to, state.epoch, now.number, str(leaving._HISTORY[now.why]))


def _offered_unfrozen(state: MirrorState) -> bool:
    view, other = state.view, state.other_primary
    seen = None if view is None else view.members.get(other)
    if view is None or seen is None:
        return False
    as_frozen = replace(seen, record=replace(seen.record, frozen=True))
    return _offered(changed(state, view=replace(view, members={**view.members, other: as_frozen})))


_offered = standing.offered_to_us


def _offered_after_a_reboot(state: MirrorState) -> bool:
    own = None if state.insync is None else state.insync.record.holder(state.node)
    return own is not None and _offered(changed(state, boot=own.boot_id))


def _withdraws_by_time(state: MirrorState, now_ns: int) -> Move | None:
    move = _cancel(state, now_ns)
    withdraws = move is not None and move.state.leaving is not None and move.state.leaving.withdrawing
    return leaving._stay(state, now_ns) if withdraws else move


_cancel = leaving.cancel


def _offers_in_doubt(state: MirrorState, now: Leaving, now_ns: int) -> Move | None:
    move = _frozen(changed(state, late_record=None), now, now_ns)
    return None if move is None else Move(changed(move.state, late_record=state.late_record), move.commands)


_frozen = leaving._frozen


class _Undrained(Primary):
    """It says that it is frozen while operations are under way."""

    def rest(self) -> None:
        frozen = self.completions.is_shut(Gate.FROZEN)
        super().rest()
        if frozen and self.process.serves and not self.frozen_told:
            self.frozen_told = True
            self.process.later(0, 2, lambda: self.process.tell(c.Frozen()))


class _NeverFrozen(Completions[Any]):
    """What comes after it has said that it is frozen is issued."""

    __slots__ = ()

    def shut(self, reason: Gate) -> None:
        if reason is not Gate.FROZEN:
            super().shut(reason)


SWAPS = replace(ROUGH_STORE, faults=("operators", "operators", "machine"), mean_between_faults_s=3.0)
BUSY_SWAPS = Plan(faults=("operators", "operators", "machine", "slow"), mean_between_faults_s=2.0)
AGENTS = replace(ROUGH_STORE, faults=("cut off", "machine"), mean_between_faults_s=3.0)
OFFERS = Plan(store_faults=0.3, faults=("offered", "machine"))
ADDED_IN_VAIN = Plan(faults=("added in vain",), mean_between_faults_s=14.0)
TAKEN_LATE = Plan(faults=("taken late",), mean_between_faults_s=14.0, ttl_s=30)

VARIANTS = (
    Variant(
        "s1-beside-a-primary", "A node stands although there is a primary: that is neither looked at nor tested.",
        Where.CORE, with_core(PEERS, (following.stand, without_guards(_beside_a_primary, is_key))), "S1",
    ),
    Variant(
        "s1-election-without-the-key", "An election does not test that there is no primary key.", Where.CORE,
        with_core(ROUGH_STORE, (following.stand, without_guards(following.stand, is_key))), "",
        redundant="Whoever has become primary meanwhile has written the record, whose revision is tested.",
    ),
    Variant(
        "s1-election-with-the-others", "An election leaves the others in the record.", Where.CORE,
        with_core(PEERS, (transactions.elect, _with_the_others)), "S1",
    ),
    Variant(
        "s1-resume-not-written-anew", "A resume leaves the record as it is.", Where.CORE,
        with_core(AGENTS, (transactions.resume, _without_the_record(transactions.resume))), "",
        redundant="The key is another one then, and what was sent before tests its own; the model has both taken away.",
    ),
    Variant(
        "s1-adopted-untested", "An agent that adopts a replicator tests neither the key nor the record.", Where.CORE,
        with_core(AGENTS, (transactions.adopt, _without(transactions.adopt, _any))), "S1",
    ),
    Variant(
        "s1-adopted-not-written-anew", "An agent that adopts a replicator leaves the record as it is.", Where.CORE,
        with_core(ADDED_IN_VAIN, (transactions.adopt, _without_the_record(transactions.adopt))), "S2",
    ),
    Variant(
        "s1-given-up-untested", "A node that gives its place up tests neither the key nor the record.", Where.CORE,
        with_core(CUTS, (transactions.resign, _without(transactions.resign, _any))), "S1",
    ),
    Variant(
        "s1-hand-over-without-the-key", "A hand-over does not test the key of the one that offers.", Where.CORE,
        with_core(OFFERS, (transactions.take_over, _without(transactions.take_over, is_key))), "",
        redundant="Whoever else has become primary has written the record, whose revision is tested.",
    ),
    Variant(
        "s1-offered-while-serving", "A place is offered while the application runs, with nothing frozen.", Where.CORE,
        with_core(SWAPS, (leaving.walk, _offers_at_once), (leaving.offer, _offers_unfrozen),
                  (standing.offered_to_us, _offered_unfrozen)), "",
    ),
    Variant(
        "s1-offered-undrained", "A place is offered while operations are under way.", Where.MODEL,
        with_parts(BUSY_SWAPS, primary=_Undrained), "",
    ),
    Variant(
        "s1-issues-on", "What comes after it has frozen is issued.", Where.COMPLETIONS,
        with_parts(BUSY_SWAPS, completions=_NeverFrozen), "",
        redundant="The application has been stopped before, and nobody else writes there; the model notices it.",
    ),
    Variant(
        "s1-offered-in-doubt", "A place is offered while a change of the record is in doubt.", Where.CORE,
        with_core(OFFERS, (leaving._frozen, _offers_in_doubt)), "",
        redundant="The change and the hand-over are guarded by the same revision: one of them succeeds.",
    ),
    Variant(
        "s1-withdrawn-by-time", "What was offered is withdrawn by time, and the record not written anew.", Where.CORE,
        with_core(TAKEN_LATE, (leaving.cancel, _withdraws_by_time)), "",
        redundant="Who wants to take it has closed its stream, so that the one that goes on takes it out of the "
        "record, which is a change of it. In the model it need not at once, and it is noticed.",
    ),
    Variant(
        "s1-taken-over-after-a-reboot", "A node takes over that has rebooted since it was listed.", Where.CORE,
        with_core(OFFERS, (standing.offered_to_us, _offered_after_a_reboot)), "S8",
    ),
)  # fmt: skip
