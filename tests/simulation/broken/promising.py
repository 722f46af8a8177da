"""S5: until when a primary may serve, and what a secondary promises."""

from dataclasses import replace

from agent.core import absorbing_replicator, lease, promising
from agent.core.state import Given, MirrorState
from manager.model import control as c
from manager.store.api import StorePoint
from tests.simulation.broken.variant import CUT_OFF, NO_STORE, Variant, Where, with_core
from tests.simulation.plan import Plan

MS_NS = 1_000_000


def _needs_no_promise(state: MirrorState, now_ns: int) -> int:
    if state.office is None:
        return 0
    return now_ns + state.settings.promise_ns - state.settings.taken_off_ns


def _forgets_at_restart(state: MirrorState) -> int:
    record = None if state.insync is None else state.insync.record
    if record is None or record.released == record.epoch:
        return 0
    return state.promised_until_ns if state.promised_epoch == record.epoch else 0


def _goes_by_its_own_lease(state: MirrorState) -> int:
    """What a former agent has promised by a longer lease than this one's does not bind."""
    return _bound(replace(state, settings=replace(state.settings, former_promise_until_ns=0)))


def _only_to_the_epoch_of_the_record(state: MirrorState) -> int:
    """What it promised to one of a later epoch, which a restored etcd does not know, does not bind."""
    record = None if state.insync is None else state.insync.record
    later = record is None or state.promised_epoch > record.epoch
    return _bound(replace(state, promised_epoch=0, promised_until_ns=0) if later else state)


_bound = promising.bound_ns


def _anywhere(watched: StorePoint, read: StorePoint) -> bool:
    return True


def _whichever_etcd_answers(watched: StorePoint, answered: StorePoint) -> bool:
    return True


def _is_not_bound(state: MirrorState) -> int:
    return 0


def _counted_from_the_answer(state: MirrorState, message: c.Event, now_ns: int) -> MirrorState:
    if not isinstance(message, c.Promised) or state.office is None or message.epoch != state.office.epoch:
        return _said(state, message, now_ns)
    until_ns = now_ns + message.for_ms * MS_NS - state.settings.taken_off_ns
    return replace(state, given={**state.given, message.node: Given(message.instance, until_ns)})


_said = absorbing_replicator.said


def _alone_before_it_is_settled(state: MirrorState) -> frozenset[str]:
    """A drop that is under way, or of which nothing was heard, counts as done."""
    listed = frozenset() if state.insync is None else state.insync.record.nodes
    listed = state.late_lists or listed
    if state.open is not None and state.open.lists:
        listed = state.open.lists
    return listed - {state.node}


def _any_process(state: MirrorState, node: str) -> int:
    given = state.given.get(node)
    return 0 if given is None else given.until_ns


def _past_an_offer(state: MirrorState, now_ns: int) -> int:
    """A promise counts although this primary has offered its place."""
    leaving = state.leaving
    offered = state if leaving is None else replace(state, leaving=replace(leaving, offered_ns=0))
    return _proof(offered, now_ns)


_proof = promising.proof_ns


def _to_the_very_end(sent_ns: int, ttl_s: int, margin_ns: int) -> int:
    return sent_ns + ttl_s * 1_000_000_000


LATE = Plan(faults=("late answers",), mean_between_faults_s=20.0, seconds=80)
ISOLATED = Plan(faults=("isolated",), mean_between_faults_s=8.0)
SWAPS = Plan(faults=("operators", "operators", "cut off"), mean_between_faults_s=2.0)

OTHER_LEASES = Plan(seconds=90, ttl_s=12, faults=("other leases",), mean_between_faults_s=30.0)
ALONE = Plan(seconds=90, faults=("restored as one is alone",), mean_between_faults_s=60.0)
UNSEEN = Plan(faults=("restored unseen",), mean_between_faults_s=12.0)

VARIANTS = (
    Variant(
        "s5-no-promise-needed", "A primary outlives its lease without anybody's promise.", Where.CORE,
        with_core(NO_STORE, (promising.proof_ns, _needs_no_promise)), "S5",
    ),
    Variant(
        "s5-forgotten-at-restart", "An agent that restarts does not wait out what it may have promised.", Where.CORE,
        with_core(CUT_OFF, (promising.bound_ns, _forgets_at_restart)), "S5",
    ),
    Variant(
        "s5-promised-by-a-longer-lease", "An agent waits out what it would have promised, not its former one.",
        Where.CORE, with_core(OTHER_LEASES, (promising.bound_ns, _goes_by_its_own_lease)), "S5",
    ),
    Variant(
        "s5-promise-does-not-bind", "A secondary stands whatever it has promised.", Where.CORE,
        with_core(CUT_OFF, (promising.bound_ns, _is_not_bound)), "S5",
    ),
    Variant(
        "s5-counted-from-the-answer", "A promise counts from when it came, not from before it was asked for.",
        Where.CORE, with_core(LATE, (absorbing_replicator.said, _counted_from_the_answer)), "S5",
    ),
    Variant(
        "s5-alone-before-it-is-settled", "A drop of the other one that is under way counts as done.", Where.CORE,
        with_core(ISOLATED, (promising._others, _alone_before_it_is_settled)), "S5",
    ),
    Variant(
        "s5-promise-of-another-process", "The promise of a former process of the other node counts.", Where.CORE,
        with_core(CUT_OFF, (promising._given_ns, _any_process)), "",
        redundant="An agent that has just started waits out the longest that it can have promised, whichever of its "
        "replicators told of it: the promise of a former process is kept as well.",
    ),
    Variant(
        "s5-promise-past-an-offer", "A promise counts although this primary has offered its place.", Where.CORE,
        with_core(SWAPS, (promising.proof_ns, _past_an_offer)), "",
        redundant="What is offered is frozen: the application is stopped and the address dropped before. The resume "
        "tests the offer by itself.",
    ),
    Variant(
        "s5-nothing-taken-off", "A lease lasts to its very end by this node's clock.",
        Where.CORE,
        with_core(ISOLATED, (lease.deadline_ns, _to_the_very_end)), "S5",
    ),
    Variant(
        "s5-a-promise-of-a-later-epoch",
        "A promise does not bind in a restored etcd that does not know the epoch for which it was given.",
        Where.CORE, with_core(UNSEEN, (promising.bound_ns, _only_to_the_epoch_of_the_record)), "S5",
        redundant="There nobody stands but by an operator's word, which is taken once a lease's time has gone by since "
        "the node saw that etcd. A promise is shorter, and one that its former agent made by a longer lease is over by "
        "then, too.",
    ),
    Variant(
        "s5-a-lease-of-another-etcd", "A renewal counts that an etcd has answered whose keys this node does not see.",
        Where.CORE, with_core(UNSEEN, (lease.is_of_watched, _whichever_etcd_answers)), "S5",
    ),
    Variant(
        "s8-renews-elsewhere", "Who hears that another etcd answers goes on renewing there what its backup shows.",
        Where.CORE, with_core(ALONE, (lease.answers_again, _anywhere)), "S5",
    ),
)  # fmt: skip
