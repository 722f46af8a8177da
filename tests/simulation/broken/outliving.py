"""S5: whose promises are needed, for how long they count, and when they are over."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from agent.core import (
    absorbing_replicator,
    fencing,
    following,
    lease,
    leaving,
    membership,
    promising,
    serving,
    transactions,
)
from agent.core.copying import replace as changed
from agent.core.limits import KILL_NS
from agent.core.state import Leaving, MirrorState, Move, OpenTxn, Rep
from manager.model import control as c
from tests.simulation.broken.taking import OFFERS
from tests.simulation.broken.variant import CUT_OFF, NO_STORE, Variant, Where, with_core, with_parts
from tests.simulation.lease_keeping import LeaseKeeping
from tests.simulation.plan import Plan


def _by_one(state: MirrorState, now_ns: int) -> int:
    """One other node's promise is enough."""
    others = promising._others(state)
    if state.office is None or state.is_offering or not others:
        return _proof(state, now_ns)
    return max(promising._given_ns(state, node) for node in others)


_proof = promising.proof_ns


def _listed_only(state: MirrorState) -> frozenset[str]:
    """Not whom a change of unknown outcome may have listed."""
    return (frozenset() if state.insync is None else state.insync.record.nodes) - {state.node}


def _nothing_off(state: MirrorState, said: c.Promised) -> MirrorState:
    return _promised(state, replace(said, for_ms=said.for_ms + state.settings.taken_off_ns // 1_000_000))


_promised = absorbing_replicator._promised


def _at_once(state: MirrorState, now_ns: int) -> Move | None:
    """It serves within its own promise."""
    move = _promote(changed(state, promised_until_ns=0), now_ns)
    return None if move is None else Move(changed(move.state, promised_until_ns=state.promised_until_ns), move.commands)


_promote = serving.promote


def _once_released(state: MirrorState) -> int:
    """A release counts for whichever epoch the record is of."""
    record = None if state.insync is None else state.insync.record
    return 0 if record is not None and record.released else _bound(state)


_bound = promising.bound_ns


def _always_dead(state: MirrorState, *, nothing_left: bool) -> OpenTxn:
    return _resign(state, nothing_left=True)


_resign = transactions.resign


def _at_any_time(state: MirrorState, now_ns: int) -> bool:
    return True


def _ends_by_trying(state: MirrorState, now_ns: int) -> Move | None:
    move = _take_over(state, now_ns)
    if move is None or move.state.open is None:
        return move
    return Move(changed(move.state, promised_epoch=0, promised_until_ns=0), move.commands)


_take_over = following._take_over


def _for_ever(state: MirrorState, now_ns: int) -> bool:
    """Also when etcd answers, and has had no key of the primary's for long."""
    asked = state.asked
    if asked is None or state.rep is not Rep.FOLLOWING or not state.stream_up:
        return False
    would_stand = state.open is not None and state.open.commit.tag in promising._WOULD_STAND
    same = (asked.primary, asked.epoch) == (state.follow_primary, state.follow_epoch)
    return same and not would_stand and state.late_stand is None


@contextmanager
def _from_the_answer() -> Iterator[None]:
    """A lease counts from when its renewal was answered."""
    renewed = LeaseKeeping._renewed

    def late(self: LeaseKeeping, lease_id: int, sent: lease.Sent, began_ns: int, outcome: object) -> None:
        answered = replace(sent, at_ns=self._agent.node.clock.now_ns)
        renewed(self, lease_id, answered, began_ns, outcome)  # type: ignore[arg-type]

    LeaseKeeping._renewed = late  # type: ignore[method-assign]
    try:
        yield
    finally:
        LeaseKeeping._renewed = renewed  # type: ignore[method-assign]


def _asks_too_late(state: MirrorState, now_ns: int) -> Move | None:
    return None if state.store_heard else _ask(state, now_ns)


_ask = promising.ask


def _leaves_no_time(state: MirrorState, now_ns: int) -> bool:
    gone = state.store_heard and state.lease_holds(now_ns) and state.primary is None
    return not gone and _may_promise(state, now_ns)


_may_promise = promising._may_promise


def _offers_unheard(state: MirrorState, now: Leaving, now_ns: int) -> Move | None:
    move = _frozen(changed(state, watching=True), now, now_ns)
    return None if move is None else Move(changed(move.state, watching=state.watching), move.commands)


_frozen = leaving._frozen


def _never_better(state: MirrorState, now: Leaving, now_ns: int) -> bool:
    return False


def _not_waited_for_the_warden(state: MirrorState, now_ns: int) -> bool:
    return state.killing is None or now_ns >= state.killing_since_ns + KILL_NS


THREE = replace(CUT_OFF, nodes=("a", "b", "c"))
ADDED_LATE = Plan(faults=("added late",), mean_between_faults_s=14.0)
ADDED_AT_THE_END = Plan(faults=("added at the end",), mean_between_faults_s=14.0)
CUT_FOR_LONG = Plan(faults=("cut for long",), mean_between_faults_s=20.0, seconds=80)
UNDYING = Plan(faults=("undying",), mean_between_faults_s=25.0, ttl_s=20)
SLOW_ANSWERS = Plan(faults=("slow answers",), mean_between_faults_s=14.0)

VARIANTS = (
    Variant(
        "s5-asked-too-late", "Promises are asked for once etcd is silent.", Where.CORE,
        with_core(Plan(), (promising.ask, _asks_too_late)), "expected 'pause 1s'", scenario="spoiled-record",
    ),
    Variant(
        "s5-no-time-to-resume", "A secondary promises nothing once the key is gone.", Where.CORE,
        with_core(Plan(), (promising._may_promise, _leaves_no_time)), "expected 'epoch 1'",
        scenario="cut-from-store-short",
    ),
    Variant(
        "s1-offered-unheard", "A place is offered though etcd is silent.", Where.CORE,
        with_core(Plan(), (leaving._frozen, _offers_unheard), (leaving._is_better_here, _never_better)),
        "expected 'application a'", scenario="swap-store-silent",
    ),
    Variant(
        "s5-one-promise-of-two", "One other node's promise is enough, where the record lists two.", Where.CORE,
        with_core(THREE, (promising.proof_ns, _by_one)), "S5",
    ),
    Variant(
        "s5-doubtful-is-not-listed", "It does not ask whom a change of unknown outcome may have listed.", Where.CORE,
        with_core(ADDED_LATE, (promising._others, _listed_only)), "S5",
    ),
    Variant(
        "s5-promise-to-its-end", "Nothing is taken off a promise for what stopping takes, and for clocks.", Where.CORE,
        with_core(CUT_FOR_LONG, (absorbing_replicator._promised, _nothing_off)), "S5",
    ),
    Variant(
        "s5-released-alive", "A place counts as given up though not all that served is dead.", Where.CORE,
        with_core(UNDYING, (transactions.resign, _always_dead)), "S5",
        redundant="What does not die keeps its place until its warden has ended it: nothing is left to be promised to.",
    ),
    Variant(
        "s5-given-up-before-the-warden",
        "A place is given up ten seconds after a kill that does not end, whatever the warden was told.",
        Where.CORE, with_core(UNDYING, (fencing._has_ended, _not_waited_for_the_warden)), "S5",
    ),
    Variant(
        "s5-serves-within-its-promise", "A node that has become primary serves within its own promise.", Where.CORE,
        with_core(CUT_OFF, (serving.promote, _at_once)), "",
        redundant="It stands only once that has run out, and promises nothing while its own stand is not settled; a "
        "hand-over releases it. The model has it taken away with either of these.",
    ),
    Variant(
        "s5-released-for-ever", "That a place was given up counts in later epochs.", Where.CORE,
        with_core(CUT_OFF, (promising.bound_ns, _once_released)), "",
        redundant="The record of a new epoch is made anew, and says nothing of it.",
    ),
    Variant(
        "s5-listed-past-the-lease", "A node is listed though the lease is about to end, or the warden knows of more.",
        Where.CORE, with_core(ADDED_AT_THE_END, (membership._may_serve_beside_another, _at_any_time)), "",
        redundant="Whoever is about to be listed is asked for its promise in the same step, and does not stand before "
        "what the warden knows is over. In the model the agent dies between the two, and it is noticed.",
    ),
    Variant(
        "s5-promise-ended-by-trying", "A promise ends when the node asks to take over, not when it has.", Where.CORE,
        with_core(OFFERS, (following._take_over, _ends_by_trying)), "",
        redundant="What was promised before an offer is over before the primary's key is, and after it is withdrawn a "
        "promise is asked for anew. In the model time goes otherwise, and it is noticed.",
    ),
    Variant(
        "s5-promises-for-ever", "A secondary promises for as long as it is asked, key or not.", Where.CORE,
        with_core(NO_STORE, (promising._may_promise, _for_ever)), "",
        redundant="Who asks serves, and nobody else does then. The rule is for one that cannot have its key again: "
        "another one takes its place.",
    ),
    Variant(
        "s5-counted-from-the-renewals-answer", "A lease counts from the answer to its renewal.", Where.MODEL,
        with_parts(SLOW_ANSWERS, around=_from_the_answer), "",
        redundant="What is answered after a second does not count, and a second is taken off. The model notices it.",
    ),
)  # fmt: skip
