"""S2, S4: the shipped completions, and the order in which a primary applies, as modelled."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from replicator.core.completions import Completions
from tests.simulation.broken.variant import PEERS, POWER, Variant, Where, with_parts
from tests.simulation.checkers import Write
from tests.simulation.primary import Item, Primary
from tests.simulation.replicator import Replicator


class _LostIsNotWaitedFor(Completions[Any]):
    """A node whose stream is gone is required no more."""

    __slots__ = ()

    def lost(self, node: str) -> None:
        super().lost(node)
        self._require(self._required - {node})


class _ListedIsNotWaitedFor(Completions[Any]):
    """Only the streams that stand are waited for, whatever the record lists."""

    __slots__ = ()

    def settled(self, number: int, holders: Iterable[str]) -> None:
        super().settled(number, ())


class _OldRecordsCount(Completions[Any]):
    """A record of a lower number takes back what a newer one said."""

    __slots__ = ()

    def settled(self, number: int, holders: Iterable[str]) -> None:
        self._number = -1
        super().settled(number, holders)


class _NotBeforeTheJoinPoint(Completions[Any]):
    """A node past its join point is waited for only once the record lists it."""

    __slots__ = ()

    def join_point(self, node: str) -> None:
        self._streams[node].complete = True
        self._reckon()


class _LocalFirst(Primary):
    """A write is on this node's own disk before it is sent."""

    def _issue(self, item: Item) -> None:
        if isinstance(item, Write) and not self.copy.full:
            self.copy.cache[item.block] = item.number
        super()._issue(item)


class _ListedBeforeItIsDurable(Replicator):
    """It reports everything up to the join point before that is on its disk."""

    def _sync_whole(self) -> None:
        pass


SLOW_LINKS = replace(PEERS, faults=("slow", "slow", "machine"), mean_between_faults_s=3.0)

VARIANTS = (
    Variant(
        "s2-lost-is-not-waited-for", "A lost node holds nothing, the record or not.", Where.COMPLETIONS,
        with_parts(PEERS, completions=_LostIsNotWaitedFor), "S2",
    ),
    Variant(
        "s2-listed-is-not-waited-for", "A listed node without a stream holds nothing.", Where.COMPLETIONS,
        with_parts(PEERS, completions=_ListedIsNotWaitedFor), "",
    ),
    Variant(
        "s2-not-before-it-is-listed", "A node past its join point is waited for only once it is listed.",
        Where.COMPLETIONS, with_parts(SLOW_LINKS, completions=_NotBeforeTheJoinPoint), "S2",
    ),
    Variant(
        "s2-old-records-count", "An older record's settling is taken after a newer one's.", Where.COMPLETIONS,
        with_parts(PEERS, completions=_OldRecordsCount), "",
        redundant="The agent tells records in their order over one socket; an older one never comes after a newer one. "
        "The check stands for an adopted replicator's former agent.",
    ),
    Variant(
        "s2-listed-before-it-is-durable", "A joined node is listed before the join is on its disk.", Where.MODEL,
        with_parts(replace(POWER, faults=("power",)), replicator=_ListedBeforeItIsDurable), "P2",
    ),
    Variant(
        "s4-local-first", "A write is applied on the primary before it is sent.", Where.MODEL,
        with_parts(PEERS, primary=_LocalFirst), "S4",
    ),
)  # fmt: skip
