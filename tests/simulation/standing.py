"""Who stood, and whether it might: after a loss of memory, by the configuration, by an operator's word (S8, S9, S12).

As ``checkers``: they look at what really happened, and know no simulation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from manager.model.reasons import Reason
from manager.model.records import HistoryRecord, InsyncRecord
from tests.simulation.checkers import SECOND_NS, Violation
from tests.simulation.words import BY_WORD


def require_failover(node: str, before: str, because: str, *, off: bool) -> None:
    """Where failover is ``off``, as ``node`` was shown before it stands, only the last primary stands by itself (S8).

    An operator may name another one, or force its copy: that he has, ``words`` judges.

    Raises:
        Violation: another one does, and no operator has named it.
    """
    if off and before not in ("", node) and because not in BY_WORD:
        raise Violation(f"S8: {node} stands in the place of {before}, because of {because}, with failover off")


def require_all_new(node: str, away: Iterable[str], known: Iterable[str]) -> None:
    """``node`` begins because the configuration names it: all nodes are there, and none has had the data (S9).

    Raises:
        Violation: some are ``away``, or ``known`` to have had it.
    """
    if sorted(away) or sorted(known):
        raise Violation(f"S9: {node} began by the configuration: not there are {sorted(away)}, had it {sorted(known)}")


WITHOUT_MEMORY = frozenset({Reason.POWER_LOSS_OF_ALL, Reason.POWER_LOSS_OTHERS_AWAY, Reason.PROMOTED_BY_OPERATOR})
"""By which the history says that writes which were not synced may be missing."""


def require_said(node: str, because: str) -> None:
    """One that stands without its memory, beside others that the record lists, has the history say so (S8).

    Raises:
        Violation: it does not.
    """
    if because not in WITHOUT_MEMORY:
        raise Violation(f"S8: {node} serves without its memory, and the history says: {because}")


def require_back(node: str, away: Iterable[str]) -> None:
    """Where the others are waited for, one stands without its memory once they are back and have lost theirs (S8).

    Raises:
        Violation: some are ``away``.
    """
    if sorted(away):
        raise Violation(f"S8: {node} serves without its memory, and {sorted(away)} are waited for")


def require_decided(node: str, record: InsyncRecord) -> None:
    """The first epoch in a restored or rebuilt etcd is one that an operator begins (S8).

    Raises:
        Violation: it is not.
    """
    if record.decided != record.epoch:
        raise Violation(f"S8: {node} serves epoch {record.epoch} in another etcd, and no operator has decided")


def require_whole(node: str) -> None:
    """``node`` was named, whose copy is in the middle of a join: whoever says so, it does not serve (S8, S12).

    Raises:
        Violation: always.
    """
    raise Violation(f"S12: {node} serves by an operator's word, whose copy is in the middle of a join")


def require_told(record: InsyncRecord, told: HistoryRecord | None) -> None:
    """By whose word an epoch has begun, and what may be missing by that, stands in the history (S8, S12).

    At the first start nothing can be missing of what those know that are there.

    Raises:
        Violation: it does not.
    """
    if told is None or (told.node, told.reason) != (record.last_primary, record.because):
        raise Violation(f"S12: {record.last_primary} was named, and the history says {told}")
    if told.reason != Reason.FIRST_START and not told.detail:
        raise Violation(f"S12: {record.last_primary} was named, and the history does not say what may be missing")


@dataclass(slots=True)
class Registrations:
    """When each agent was last registered: who lost its memory stands only when nobody with one is there (S8)."""

    seen_ns: dict[str, int] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)

    def note(self, node: str, now_ns: int, *, present: bool) -> None:
        """Its registration was made, or is gone."""
        self.seen_ns[node] = now_ns
        (self.present.add if present else self.present.discard)(node)

    def judge(self, promoted: str, others: Iterable[str], now_ns: int, least_ns: int) -> None:
        """``promoted`` has lost its memory; ``others`` are listed, and have kept theirs.

        Raises:
            Violation: one of them was there within ``least_ns``.
        """
        for node in others:
            absent_ns = 0 if node in self.present else now_ns - self.seen_ns.get(node, 0)
            if node in self.present or absent_ns < least_ns:
                raise Violation(
                    f"S8: {promoted} was promoted without its memory; {node}, listed, had it, and was registered "
                    f"{absent_ns / SECOND_NS:.1f} s before"
                )


class Asked(Protocol):
    """A machine, as far as who asks whether it is there can tell."""

    @property
    def application_runs(self) -> bool:
        """Its application works."""
        ...

    def answers_at(self, name: str) -> bool:
        """Whether the machine of that name answers when this one asks."""
        ...


ASKED_WITHIN_NS = 45 * SECOND_NS
"""How long before a forced start the last primary did not answer: by any clock, and with what takes time between."""


@dataclass(slots=True)
class Forced:
    """Forced starts (S12): only while the last primary is not registered, and did not answer a moment ago."""

    machines: Mapping[str, Asked]
    silent_ns: dict[tuple[str, str], int] = field(default_factory=dict)
    """When a node last did not hear another one."""
    off: set[tuple[str, str]] = field(default_factory=set)
    """For a start of which node it was said, to its agent, which other one is off; or the hook has turned it off."""
    wrong: set[str] = field(default_factory=set)
    """What served when an operator said that it was off."""

    def look(self, now_ns: int) -> None:
        """To be asked often."""
        for one, machine in self.machines.items():
            for other in self.machines:
                if one != other and not machine.answers_at(other):
                    self.silent(one, other, now_ns)

    def silent(self, one: str, other: str, now_ns: int) -> None:
        """``other`` does not answer ``one``."""
        self.silent_ns[one, other] = now_ns

    def judge(self, node: str, last: str, registered: Iterable[str], now_ns: int) -> None:
        """The copy of ``node`` goes on in the place of that of ``last``.

        Raises:
            Violation: that one is there.
        """
        if last in registered:
            raise Violation(f"S12: {node} was forced, and {last}, the last primary, is registered")
        silent_ns = self.silent_ns.get((node, last))
        if silent_ns is None or now_ns > silent_ns + ASKED_WITHIN_NS:
            raise Violation(f"S12: {node} was forced, and {last}, the last primary, has answered all the time")
        if (node, last) not in self.off:
            raise Violation(f"S12: {node} was forced, and nobody has told its agent that {last} is off")
        if self.machines[last].application_runs:
            self.wrong.add(last)

    @property
    def is_wrong(self) -> bool:
        """One of those still serves."""
        self.wrong = {name for name in self.wrong if self.machines[name].application_runs}
        return bool(self.wrong)
