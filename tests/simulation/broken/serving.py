"""S3, S4, S7: in what order a replicator applies and completes, and what is left behind when it may serve no more."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from agent.core import fencing
from agent.core.state import MirrorState
from manager.model import control as c
from manager.model.reasons import Reason
from replicator.core.completions import Completions
from tests.simulation.broken.taking import AGENTS
from tests.simulation.broken.variant import (
    CUT_OFF,
    FREEZES,
    PEERS,
    ROUGH_STORE,
    WRONG_CLOCKS,
    Variant,
    Where,
    with_core,
    with_parts,
)
from tests.simulation.checkers import Write
from tests.simulation.machine import Machine
from tests.simulation.plan import Plan
from tests.simulation.primary import Primary
from tests.simulation.replicator import Replicator
from tests.simulation.stream import Fsync, Stream


class _ClosedBeforeItIsApplied(Replicator):
    """What has come is applied a little later, and acknowledged then; the stream is closed without waiting for it."""

    _last_ns = 0

    def received(self, stream: Stream, place: int, item: Write | Fsync | None) -> None:
        if not self.alive or not stream.open_there or not isinstance(item, Write):
            super().received(stream, place, item)
            return
        clock, write = self.place.clock, item

        def apply() -> None:
            if self.alive:
                self._touch(stream, write.block)
                self.copy.cache[write.block] = write.number
            if self.alive and stream.open_there:
                self.acknowledge(stream, place)

        self._last_ns = max(self._last_ns, clock.now_ns + clock.between(0, 80))
        clock.after(self._last_ns - clock.now_ns, apply, self.actor)


class _WelcomesAnyEpoch(Replicator):
    """It takes a stream of whatever epoch, and of whomever."""

    def welcomes(self, primary: Replicator) -> bool:
        taken = self.alive and self.role == "secondary" and not self.actor.frozen
        return taken and not (self.failure is not None and self.failure.memory_lost)


class _TakesALowerEpoch(Replicator):
    """It serves and follows in an epoch below the one that its disk has noted."""

    def _forget(self, epoch: int) -> None:
        known = self.copy.identity
        if known is not None and known.epoch > epoch:
            self.copy.identity = replace(known, epoch=epoch)

    def _serve(self, command: c.Serve) -> None:
        self._forget(command.epoch - 1)
        super()._serve(command)

    def _follow(self, command: c.Follow) -> None:
        self._forget(command.epoch)
        super()._follow(command)


class _CompletesFirst(Primary):
    """A write is completed before it is applied here."""

    def _apply(self, write: Write) -> None:
        clock, cache = self.place.clock, self.copy.cache

        def apply() -> None:
            cache[write.block] = max(write.number, cache[write.block])

        clock.after(clock.between(1, 60), apply, self.process.actor)


class _OutOfOrder(Primary):
    """Now and then one is applied before those that came before it."""

    def _apply(self, write: Write) -> None:
        before = self.copy.cache[write.block]
        super()._apply(write)
        if before and self.place.clock.chance(0.05):
            self.copy.cache[write.block] = before


class _LeavesTheApplication(Replicator):
    """At its deadline it does not kill the application."""

    def fence(self) -> None:
        kill, self.on_death = self.on_death, lambda: None
        super().fence()
        self.on_death = kill


class _CompletesOn(Completions[Any]):
    """What is under way at the deadline is completed all the same."""

    __slots__ = ()

    def fence(self) -> None:
        pass


@contextmanager
def _without_end() -> Iterator[None]:
    """The kernel is told no end of the address."""
    until = Machine.address_until

    def for_ever(self: Machine, local_ns: int) -> None:
        until(self, local_ns + (1 << 50) if local_ns else 0)

    Machine.address_until = for_ever  # type: ignore[method-assign]
    try:
        yield
    finally:
        Machine.address_until = until  # type: ignore[method-assign]


def _whatever_it_is(state: MirrorState) -> bool:
    return True


def _nothing_is_left(state: MirrorState) -> Reason | None:
    return None


LONG_FREEZES = Plan(faults=("freezes", "cut off", "machine"), mean_between_faults_s=3.0)

VARIANTS = (
    Variant(
        "s3-closed-before-it-is-applied", "A node stands while what has come to it is not applied.", Where.MODEL,
        with_parts(PEERS, replicator=_ClosedBeforeItIsApplied), "",
    ),
    Variant(
        "s3-any-epoch", "A stream is taken of another epoch than the one that is followed.", Where.MODEL,
        with_parts(ROUGH_STORE, replicator=_WelcomesAnyEpoch), "",
        redundant="A node follows the epoch of the primary key, and closes the stream before it stands. The model, "
        "without both, notices it.",
    ),
    Variant(
        "s3-a-lower-epoch", "A replicator serves and follows in an epoch below the one on its disk.", Where.MODEL,
        with_parts(ROUGH_STORE, replicator=_TakesALowerEpoch), "",
        redundant="Its agent asks for none: each election is above what the disk shows. The check stands for an agent "
        "of before.",
    ),
    Variant(
        "s4-completed-before-it-is-applied", "A write is completed before it is applied here.", Where.MODEL,
        with_parts(PEERS, primary=_CompletesFirst), "S2",
    ),
    Variant(
        "s4-out-of-order", "Writes are applied here in another order than there.", Where.MODEL,
        with_parts(PEERS, primary=_OutOfOrder), "S2",
    ),
    Variant(
        "s7-adopts-whatever-it-is", "An agent adopts a replicator whose key is gone, or of another epoch.", Where.CORE,
        with_core(AGENTS, (fencing.may_be_adopted, _whatever_it_is)), "",
    ),
    Variant(
        "s7-leaves-the-application", "At its deadline the warden does not kill the application.", Where.MODEL,
        with_parts(FREEZES, replicator=_LeavesTheApplication), "S5",
    ),
    Variant(
        "s7-address-without-end", "The kernel is told no end of the virtual address.", Where.MODEL,
        with_parts(LONG_FREEZES, around=_without_end), "S5",
    ),
    Variant(
        "s7-completes-on", "What is under way at the deadline is completed all the same.", Where.COMPLETIONS,
        with_parts(WRONG_CLOCKS, completions=_CompletesOn), "",
        redundant="Every other listed node has acknowledged it before, and the application that could begin another "
        "write is dead.",
    ),
    Variant(
        "s7-left-behind", "An agent does not end at once what a former one left of a module that is not to run.",
        Where.CORE, with_core(CUT_OFF, (fencing._left_behind, _nothing_is_left)), "",
        redundant="The warden ends it at the deadline that it was told last.",
    ),
)  # fmt: skip
