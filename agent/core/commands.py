"""What the core of one module wants done. The runtime does them in the order given; order is the contract.

"In order" means begun in order. A command that takes time (all but Tell, ServeUntil, PublishMember and WakeAt) runs
beside the others, and its end is an event of its own; a command is not begun before the ones before it have been
*begun*. Tell and ServeUntil go into the replicator's control connection before the next command is looked at.
"""

from dataclasses import dataclass

from agent.core.events import Tag
from manager.model import control
from manager.model.reasons import Reason
from manager.model.records import HistoryRecord, MemberRecord
from manager.store.api import Txn


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a script is told of why it runs (the application adapter's ``Context``, field by field)."""

    state: str
    next_state: str
    action: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit ``txn`` once; answered by exactly one of TxnSettled, TxnFailed, TxnUnknown with the same ``tag``.

    There is never a second one under way for a module. With ``history``, its ``at`` is to be filled in with the wall
    time and a put of it under ``history/<epoch>`` added to the transaction.
    """

    tag: Tag
    txn: Txn
    history: HistoryRecord | None = None


@dataclass(frozen=True, slots=True)
class PublishMember:
    """Keep ``members/<node>`` equal to this from now on, on the agent's lease; ``None``: keep it absent.

    The runtime writes at once and in order, retries, and puts it again on a new lease, or when the watch shows
    something else. No event answers it.
    """

    record: MemberRecord | None


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """Write this answer into the operator's request, unless it has been answered for good. No event answers it."""

    request_id: str
    status: str
    """``accepted``, ``refused``, ``done`` or ``failed``."""
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StartReplicator:
    """Adopt the module's replicator when one lives, else start one. Answered by its Hello, or ReplicatorGone."""


@dataclass(frozen=True, slots=True)
class ServeUntil:
    """This node may serve until ``deadline_ns`` (S5): tell the replicator, which fences then by itself, and give the
    virtual addresses, those held and those added from now on, a life in the kernel until then (S7).
    """

    deadline_ns: int


@dataclass(frozen=True, slots=True)
class StopReplicator:
    """End it in order (Quit, then by force). Answered by ReplicatorStopped, within a bounded time."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Send this to the replicator. When it cannot be sent the replicator is gone, and ReplicatorGone says so."""

    command: control.Command


@dataclass(frozen=True, slots=True)
class Prepare:
    """Write the scripts, make the cgroup, run ``prestart``. Answered by Prepared or PrepareFailed."""

    context: RunContext


@dataclass(frozen=True, slots=True)
class Finish:
    """Run ``poststop`` and remove what is left. Answered by Finished."""

    context: RunContext


@dataclass(frozen=True, slots=True)
class StartApplication:
    """Start the application. Answered by ApplicationStarted or ApplicationFailed.

    Nothing is answered when StopApplication or KillEverything comes before it has been started.
    """

    context: RunContext


@dataclass(frozen=True, slots=True)
class AdoptApplication:
    """A former agent started it: ApplicationStarted if something of it lives, else ApplicationFailed."""


@dataclass(frozen=True, slots=True)
class StopApplication:
    """Stop the application, by force after its time. Answered by ApplicationStopped.

    A start that is under way is ended first.
    """

    context: RunContext


@dataclass(frozen=True, slots=True)
class AddAddresses:
    """Probe and add all addresses, until the instant of the last ServeUntil, and renew them with each from now on.

    Those that are there already and ours are taken over. Answered by AddressesAdded or AddressesFailed; nothing is
    answered when DropAddresses or KillEverything comes before. Without any address: AddressesAdded at once.
    """


@dataclass(frozen=True, slots=True)
class DropAddresses:
    """Remove the addresses and reset their connections. Answered by AddressesDropped."""


@dataclass(frozen=True, slots=True)
class ProbeNode:
    """Ask ``node`` at all of ``addresses`` whether it is there (S12). Answered by NodeProbed, within seconds."""

    request_id: str
    node: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fence:
    """Run the module's script ``fence``, which turns ``node`` off (S12). Answered by FenceEnded, within its time.

    Nothing is answered when another command for the application, or KillEverything, comes before it has ended.
    """

    request_id: str
    node: str
    epoch: int
    """Of the in-sync record."""


@dataclass(frozen=True, slots=True)
class KillEverything:
    """Stop serving now, without asking anyone (S7). Answered by Killed.

    SIGKILL to the application, addresses dropped, FUSE connections aborted, mounts undone, replicator killed; what was
    under way of the commands above is abandoned and answers nothing.
    """

    reason: Reason


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Give a Tick at ``instant_ns`` (CLOCK_BOOTTIME); replaces the one before. Past instants: at once."""

    instant_ns: int


Command = (
    Commit | PublishMember | AnswerRequest | StartReplicator | StopReplicator | ServeUntil | Tell | Prepare | Finish
    | StartApplication | AdoptApplication | StopApplication | AddAddresses | DropAddresses | ProbeNode | Fence
    | KillEverything | WakeAt
)  # fmt: skip
