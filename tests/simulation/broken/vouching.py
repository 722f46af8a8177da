"""S8, S9: what a loss of memory, a disk and a restored etcd keep a node from, one test after the other."""

from dataclasses import replace

from agent.core import absorbing, absorbing_replicator, fencing, following, membership, standing, vouching
from agent.core import events as e
from agent.core.copying import replace as changed
from agent.core.patience import away_limit_ns
from agent.core.standing import Verdict
from agent.core.state import FOREVER_NS, MirrorState
from manager.model import control as c
from manager.model.reasons import Reason
from manager.model.records import Holder
from tests.simulation.broken.standing import RESTORED
from tests.simulation.broken.variant import POWER, Variant, Where, with_core, with_parts
from tests.simulation.plan import Plan
from tests.simulation.replicator import Replicator


def _all_have_rebooted(state: MirrorState, others: tuple[Holder, ...], now_ns: int) -> Verdict:
    """Whoever is registered counts as one that has lost its memory."""
    view = state.view
    if view is None:
        return _without_memory(state, others, now_ns)
    nodes = {n: replace(s, record=replace(s.record, boot_id="another")) for n, s in view.nodes.items()}
    return _without_memory(changed(state, view=replace(view, nodes=nodes)), others, now_ns)


_without_memory = standing._without_memory


def _waits_for_nobody(state: MirrorState, node: str) -> int:
    since_ns = state.away_ns.get(node)
    return FOREVER_NS if since_ns is None else since_ns + away_limit_ns(state.settings)


def _as_it_was_known(state: MirrorState, boot_id: str) -> MirrorState:
    return state


def _with_any_memory(state: MirrorState, holder: Holder, now_ns: int) -> bool:
    return _is_lost(changed(state, view=None), holder, now_ns)


_is_lost = membership.is_lost


def _by_numbers(state: MirrorState) -> Reason | None:
    """Whether it is the same etcd is not looked at."""
    disk = state.disk
    other = disk is not None and disk.store_id and state.store_id not in ("", disk.store_id)
    return _objection(changed(state, disk=replace(disk, store_id="")) if other and disk is not None else state)


def _by_identity(state: MirrorState) -> Reason | None:
    """Only whether it is the same etcd is looked at."""
    found = _objection(state)
    return None if found is Reason.STORE_WENT_BACK else found


def _of_any_node(state: MirrorState) -> Reason | None:
    hello = state.hello
    return _objection(state if hello is None else changed(state, hello=replace(hello, foreign="")))


_objection = vouching.disk_objection


def _by_the_record_alone(state: MirrorState) -> int:
    """Whatever epoch a disk has seen."""
    return min(1, _highest(state))


_highest = vouching.highest_epoch


def _of_whichever_etcd(state: MirrorState, event: e.TxnSettled, now_ns: int) -> MirrorState:
    return _settled(state, replace(event, store_id=""), now_ns)


_settled = absorbing._settled


def _nothing(state: MirrorState) -> Reason | None:
    return None


def _never(state: MirrorState) -> bool:
    return False


def _had(state: MirrorState, epoch: int, whole_epoch: int) -> MirrorState:
    """The epoch that is followed counts as that of the copy."""
    return _noted(state, epoch, epoch)


_noted = absorbing_replicator._noted


class _VouchesHalfJoined(Replicator):
    """A copy that is in the middle of a join vouches for what it was before."""

    def hello(self) -> list[c.Event]:
        joining, self.copy.joining = self.copy.joining, False
        told = super().hello()
        self.copy.joining = joining
        return told

    def _serve(self, command: c.Serve) -> None:
        self.copy.joining = False
        super()._serve(command)


def _by_configuration(state: MirrorState, now_ns: int) -> Verdict:
    """Who else is there, and what they have, is not looked at."""
    if state.named or state.settings.initial_primary != state.node:
        return _first_start(state, now_ns)
    return Verdict(True, Reason.INITIAL_PRIMARY)


def _whatever_disks_have_seen(state: MirrorState, now_ns: int) -> Verdict:
    """Of the others it is looked at whether they are there, and not what they have."""
    view, settings = state.view, state.settings
    if view is None or state.named or settings.initial_primary != state.node:
        return _first_start(state, now_ns)
    all_there = all(node in view.nodes and view.member(node) is not None for node in settings.nodes)
    return Verdict(True, Reason.INITIAL_PRIMARY) if all_there else _first_start(state, now_ns)


_first_start = standing._first_start

WAITED_FOR = Plan(faults=("power",), mean_between_faults_s=4.0, after_power_loss="wait")
UNHEARD = Plan(faults=("unheard loss",), mean_between_faults_s=8.0)
EXCHANGED = Plan(seconds=90, mean_between_faults_s=15.0, faults=("exchanged",))
JOINING = Plan(seconds=90, mean_between_faults_s=12.0, faults=("forced joining",))
UNMOUNTED = Plan(faults=("unmounted",), mean_between_faults_s=14.0)
BACKUP = Plan(faults=("backup", "machine"))
KEY_OF_A_BACKUP = Plan(faults=("key of a backup",), mean_between_faults_s=14.0)
ANOTHER_ETCD = Plan(faults=("another etcd",), mean_between_faults_s=20.0, seconds=80, ttl_s=20)
HEARD_OF = Plan(faults=("heard of",), mean_between_faults_s=14.0)
BEGUN_ANEW = Plan(initial_primary="a", faults=("begun anew",), mean_between_faults_s=20.0)
INITIAL = Plan(initial_primary="a", faults=("machine",), seconds=5)

VARIANTS = (
    Variant(
        "s8-who-is-back-has-rebooted", "Of who is back it is not looked at whether it has kept its memory.", Where.CORE,
        with_core(POWER, (standing._without_memory, _all_have_rebooted)), "S8",
    ),
    Variant(
        "s8-waits-for-nobody", "Nobody is waited for though the configuration says so.", Where.CORE,
        with_core(WAITED_FOR, (standing._waited_for_until_ns, _waits_for_nobody)), "S8",
    ),
    Variant(
        "s8-loss-unheard", "A loss of memory that a replicator had on its way out is not heard of.", Where.CORE,
        with_core(UNHEARD, (absorbing._left, _as_it_was_known)), "convergence",
    ),
    Variant(
        "s8-forgetful-stays", "A node that has lost its memory is not taken out for that.", Where.CORE,
        with_core(POWER, (membership.is_lost, _with_any_memory)), "",
        redundant="It is taken out since its stream is lost, or counts as lost from when it says so.",
    ),
    Variant(
        "s8-another-etcd", "Whether etcd is the one that the disk has noted is not looked at.", Where.CORE,
        with_core(BACKUP, (vouching.disk_objection, _by_numbers)), "",
    ),
    Variant(
        "s8-by-identity-alone", "Whether etcd knows the epoch and revision that the disk has seen is not looked at.",
        Where.CORE, with_core(BACKUP, (vouching.disk_objection, _by_identity)), "",
        redundant="Each restored etcd has another id, as docs/operations.md wants it.",
    ),
    Variant(
        "s8-foreign-disk", "The disk of another node is taken for this one's.", Where.CORE,
        with_core(EXCHANGED, (vouching.disk_objection, _of_any_node)), "P2",
    ),
    Variant(
        "s8-half-joined-vouches", "A copy in the middle of a join vouches for what it was.", Where.MODEL,
        with_parts(JOINING, replicator=_VouchesHalfJoined), "S12",
    ),
    Variant(
        "s8-listed-for-what-it-lacks", "A node follows with a disk that lacks what the record lists it for.",
        Where.CORE, with_core(UNMOUNTED, (following._listed_for_what_it_lacks, _never)), "",
    ),
    Variant(
        "s8-decided-in-a-lower-epoch", "The epoch that an operator begins is not above all that disks have seen.",
        Where.CORE, with_core(RESTORED, (vouching.highest_epoch, _by_the_record_alone)), "",
        redundant="A replicator refuses to serve by an epoch that is not above what its disk has seen, the request "
        "fails at once, and each further one begins a higher epoch: tests/unit/agent/core/test_vouching.py.",
    ),
    Variant(
        "s8-answered-by-another-etcd", "An answer of another etcd counts as one of that which was meant.", Where.CORE,
        with_core(ANOTHER_ETCD, (absorbing._settled, _of_whichever_etcd)), "S1",
    ),
    Variant(
        "s8-elected-unawares", "A node serves that was elected in another etcd than it meant.", Where.CORE,
        with_core(ANOTHER_ETCD, (following._elected_unawares, _nothing)), "S1",
    ),
    Variant(
        "s8-key-of-the-past", "A key out of a backup, of an epoch that its process has left, is not given up.",
        Where.CORE, with_core(KEY_OF_A_BACKUP, (fencing._is_of_the_past, _never)), "",
        redundant="A disk objects to an etcd that was restored, and who was elected gives up there unless an operator "
        "has decided it in that etcd itself: s8-decided-in-the-etcd-before.",
    ),
    Variant(
        "s8-serves-another-epoch", "A node serves on whose key is of another epoch than it serves.", Where.CORE,
        with_core(KEY_OF_A_BACKUP, (fencing._serves_another_epoch, _never)), "",
        redundant="That comes out of a backup only, and each restored etcd has another id.",
    ),
    Variant(
        "s8-heard-of-is-had", "An agent shows the epoch that is followed as that of the copy.", Where.CORE,
        with_core(HEARD_OF, (absorbing_replicator._noted, _had)), "",
        redundant="The disk says it as it is, and so does each new process. An operator waits for every node, and of "
        "two copies of one epoch takes that which was served.",
    ),
    Variant(
        "s9-by-configuration-at-once", "The node that the configuration names begins before all are there.", Where.CORE,
        with_core(INITIAL, (standing._first_start, _by_configuration)), "S9",
    ),
    Variant(
        "s9-by-configuration-whatever-is-there",
        "The node that the configuration names begins though the disk of another one has had the data.", Where.CORE,
        with_core(BEGUN_ANEW, (standing._first_start, _whatever_disks_have_seen)), "S",
    ),
)  # fmt: skip
