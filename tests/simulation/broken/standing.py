"""S8: who may stand after a loss of memory, with another disk, before another etcd."""

from dataclasses import replace

from agent.core import absorbing, following, requests, standing, switches, vouching
from agent.core.standing import Verdict
from agent.core.state import MirrorState, Move
from manager.model.boots import after_loss
from manager.model.reasons import Reason
from manager.model.records import DiskIdentity, Holder
from manager.store.api import CreateRevisionIs, KeyAbsent
from tests.simulation.broken.variant import POWER, Variant, Where, with_core, without_guards
from tests.simulation.plan import Plan


def _stands_with_any_boot(state: MirrorState, others: tuple[Holder, ...], now_ns: int) -> Verdict:
    return Verdict(True, Reason.PRIMARY_LOST)


def _says_nothing(state: MirrorState, others: tuple[Holder, ...], now_ns: int) -> Verdict:
    """The history says what it says of any other take-over."""
    decided = _without_memory(state, others, now_ns)
    return replace(decided, reason=Reason.PRIMARY_LOST) if decided.may else decided


def _whoever_is_there(state: MirrorState, others: tuple[Holder, ...], now_ns: int) -> Verdict:
    """That all others are away is not looked at for any time."""
    decided = _without_memory(state, others, now_ns)
    return decided if decided.until_ns > now_ns * 4 else Verdict(True, decided.reason, decided.guards)


_without_memory = standing._without_memory


def _is_registration(guard: object, state: MirrorState) -> bool:
    nodes = {state.settings.cluster.node(node) for node in state.settings.nodes}
    return isinstance(guard, CreateRevisionIs | KeyAbsent) and guard.key in nodes


def _any_disk(state: MirrorState, now_ns: int) -> Move | None:
    own = None if state.insync is None else state.insync.record.holder(state.node)
    if own is None or state.hello is None or (state.disk is not None and state.disk.epoch >= own.epoch):
        return _stand(state, now_ns)
    settings = state.settings
    vouched = DiskIdentity(settings.cluster_id, settings.module_id, own.epoch, 0, state.store_id)
    move = _stand(replace(state, disk=vouched), now_ns)
    return None if move is None else Move(replace(move.state, disk=state.disk), move.commands)


_stand = following.stand


def _no_objection(state: MirrorState) -> Reason | None:
    return None


def _as_it_was(state: MirrorState, now_ns: int) -> MirrorState:
    return state


def _never(state: MirrorState, now_ns: int) -> bool:
    return False


def _same_boot(boot_id: str) -> str:
    return boot_id


def _is_on(state: MirrorState) -> bool:
    return False


RESTORED = Plan(faults=("machine", "power", "operators", "restored", "restored"))
DISKS = Plan(faults=("disks", "disks", "machine"), mean_between_faults_s=4.0)

VARIANTS = (
    Variant(
        "s8-rebooted-stands", "A node that has lost its memory stands at once.", Where.CORE,
        with_core(POWER, (standing._without_memory, _stands_with_any_boot)), "",
    ),
    Variant(
        "s8-absence-untested", "That nobody else is there is not tested by the transaction.", Where.CORE,
        with_core(
            Plan(faults=("late stand",), mean_between_faults_s=20.0),
            (following.stand, without_guards(following.stand, _is_registration)),
        ),
        "S8",
    ),
    Variant(
        "s8-absence-for-no-time", "That nobody else is there counts at once.", Where.CORE,
        with_core(POWER, (standing._without_memory, _whoever_is_there)), "S8",
    ),
    Variant(
        "s8-memory-lost-unsaid", "The history does not say that who stands has lost what it had in memory.", Where.CORE,
        with_core(POWER, (standing._without_memory, _says_nothing)), "S8",
    ),
    Variant(
        "s8-any-disk", "A node stands with a disk that does not vouch for what it was listed for.", Where.CORE,
        with_core(replace(DISKS, faults=("replaced", "machine")), (following.stand, _any_disk)), "",
    ),
    Variant(
        "s8-failover-off-ignored", "Failover is off, for maintenance or by the configuration, and a node stands.",
        Where.CORE, with_core(Plan(faults=("switches", "machine")), (switches.failover_is_off, _is_on)), "S8",
    ),
    Variant(
        "s8-older-store", "A store that went back to a backup is taken as any other.", Where.CORE,
        with_core(Plan(faults=("backup", "machine")), (vouching.disk_objection, _no_objection)), "",
    ),
    Variant(
        "s8-decided-at-once", "An operator decides while a restored etcd still shows nodes that are not there.",
        Where.CORE, with_core(RESTORED, (requests._is_new_store, _never)), "",
    ),
    Variant(
        "s8-forgetful-listed", "A peer that says it has lost its memory is lost only once its stream is.", Where.CORE,
        with_core(Plan(faults=("machine", "power", "disks", "disks", "operators")),
                  (absorbing._forgetful, _as_it_was)), "",
    ),
    Variant(
        "s8-memory-lost-ignored", "An error on writeback is a failure like any other.", Where.CORE,
        with_core(DISKS, (after_loss, _same_boot)), "",
    ),
)  # fmt: skip
