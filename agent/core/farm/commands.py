"""What the core of one farm module wants done, beside what any module's wants (``agent.core.commands``).

Of those this core gives: Commit, PublishMember, AnswerRequest, Prepare, Finish, StartApplication, AdoptApplication,
StopApplication, ServeUntil, KillEverything and WakeAt, with the same meaning (ServeUntil: the life of the addresses
that this node answers for). Begun in the order given.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core.commands import (
    AdoptApplication,
    AnswerRequest,
    Commit,
    Finish,
    KillEverything,
    Prepare,
    PublishMember,
    ServeUntil,
    StartApplication,
    StopApplication,
    WakeAt,
)
from manager.model.farm import SlotTable


@dataclass(frozen=True, slots=True)
class LoadRules:
    """Have the kernel share by ``tables``, as of this node. Answered by Loaded or LoadFailed.

    The latest one counts: one that comes before the former is answered replaces it, and only it is answered.
    """

    tables: Mapping[str, SlotTable]
    """Address to its table."""
    macs: Mapping[str, Mapping[str, str]]
    """Address to the MACs of all other nodes as they were told last, by node, dead ones too; frames from these are
    taken, never forwarded."""


@dataclass(frozen=True, slots=True)
class UnloadRules:
    """Take all rules of the module out of the kernel. No event answers it."""


@dataclass(frozen=True, slots=True)
class HoldAddresses:
    """Hold all addresses without answering for them on the network. Answered by AddressesHeld or HoldFailed."""


@dataclass(frozen=True, slots=True)
class ReleaseAddresses:
    """Hold none any more, and reset the connections to them. Answered by AddressesReleased."""


@dataclass(frozen=True, slots=True)
class Direct:
    """Answer the network for ``address`` (probe, add, announce), until the instant of the last ServeUntil.

    Renewed with each ServeUntil from now on. Answered by Directing or DirectFailed; by nothing if Undirect comes
    before.
    """

    address: str
    probed: bool = False
    """The network need not be asked first who has it: a director before has; one that was taken for dead may answer
    yet."""


@dataclass(frozen=True, slots=True)
class Undirect:
    """Do not any more; connections stay. Answered by Undirected."""

    address: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Probe these nodes four times a second from now on. Each answer is an Answered, each refusal a Refused.

    While any are, this agent renews its registration more often, so that who does not hear it sees there that it
    lives.
    """

    endpoints: Mapping[str, str]
    """Node to the address of its agent; empty: nobody is probed."""
    directs: Mapping[str, int] = field(default_factory=dict)
    """The addresses that this node answers for by its key, with the number of the table that its kernel shares each by:
    each question says so."""


@dataclass(frozen=True, slots=True)
class AnswerProbes:
    """What this node answers to a director's probes from now on; before the first one it answers nothing."""

    ready: bool
    numbers: Mapping[str, int]
    busy: Mapping[str, frozenset[int]]
    adopting: bool = False
    """A former agent's application lives here, and is being taken over."""
    promises: Mapping[str, str] = field(default_factory=dict)
    """Address to the director that is promised that this node does not direct it: told to that one alone."""
    is_open: bool = True
    """What begins may go to it; else its weight counts as 0."""


@dataclass(frozen=True, slots=True)
class CountConnections:
    """Look which of these slots have connections here. Answered by Counted, unless another one comes before."""

    slots: Mapping[str, frozenset[int]]
    """Address to slots."""


Command = (
    LoadRules | UnloadRules | HoldAddresses | ReleaseAddresses | Direct | Undirect | Probe | AnswerProbes
    | CountConnections | Commit | PublishMember | AnswerRequest | Prepare | Finish | StartApplication
    | AdoptApplication | StopApplication | ServeUntil | KillEverything | WakeAt
)  # fmt: skip
