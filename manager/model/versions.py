"""Which versions of what nodes say to each other this release speaks, and what two releases have in common.

Each interface counts its versions by itself, and one is counted on only where an older release would take what is new
for something else: fields, words, calls and kinds of messages that may be passed over need no other number
(docs/adr/0020-releases-side-by-side.md). Pure; what is refused, and with which words, is each interface's own matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NewType

RecordVersion = NewType("RecordVersion", int)
"""Of a record in etcd: one whose version this release does not speak is not read at all (``manager.model.codec``)."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """The versions of one interface that an end speaks, both ends included."""

    oldest: int
    newest: int

    def agree(self, other: "Spoken") -> int | None:
        """The one that both are to speak: the newest that the older end knows; ``None``: they have none in common."""
        newest = min(self.newest, other.newest)
        return newest if newest >= max(self.oldest, other.oldest) else None

    def __contains__(self, version: int) -> bool:
        """Whether ``version`` is one of them."""
        return self.oldest <= version <= self.newest

    def __str__(self) -> str:
        """For people."""
        return str(self.newest) if self.oldest == self.newest else f"{self.oldest} to {self.newest}"


def said(newest: int, oldest: int) -> Spoken:
    """What an end that says both numbers speaks; ``oldest`` 0: it has said one alone, and speaks no other."""
    return Spoken(min(oldest, newest) if oldest > 0 else newest, newest)


RECORDS: Final = Spoken(1, 1)
"""What stands in etcd. The oldest is what this release writes; it reads all up to the newest, from the first on.

So a release reads a new version before the next one writes it, and any two neighbours read each other.
"""
STREAM: Final = Spoken(1, 1)
"""Between two replicators (docs/PROTOCOL.md)."""
CHANNEL: Final = Spoken(1, 1)
"""Between two agents."""
PROBES: Final = Spoken(2, 2)
"""Between the agents of a farm."""
CONTROL: Final = Spoken(1, 1)
"""Between an agent and a replicator of its own node."""

SPEAKS: Final[Mapping[str, tuple[int, ...]]] = {
    name: (spoken.oldest, spoken.newest)
    for name, spoken in (("records", RECORDS), ("stream", STREAM), ("channel", CHANNEL), ("probes", PROBES))
}
"""As a node's registration says it: interface to the oldest and the newest version."""


def strange(others: Mapping[str, Sequence[int]], own: Mapping[str, Sequence[int]] = SPEAKS) -> tuple[str, ...]:
    """The interfaces in which a node that says ``others`` has no version in common with one that says ``own``.

    Of an interface that one of them does not name nothing can be said, so it is not among them.
    """
    both = ((name, _read(own[name]), _read(numbers)) for name, numbers in others.items() if name in own)
    return tuple(name for name, mine, its in both if mine is not None and its is not None and mine.agree(its) is None)


def _read(numbers: Sequence[int]) -> Spoken | None:
    """``None``: no two numbers, as another release may say it."""
    return Spoken(numbers[0], numbers[1]) if len(numbers) == 2 else None
