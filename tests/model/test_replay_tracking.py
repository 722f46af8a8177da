"""The model's steps through the shipped objects that track what the other node may lack: neither forgets more."""

import os
import random
from dataclasses import dataclass, replace
from typing import Any

import pytest

from manager.model.errors import InvariantViolated
from replicator.core.operations import Operation
from replicator.core.tracking import Tracker
from replicator.dirty_keeper import DirtyKeeper
from tests.model.broken import BROKEN
from tests.model.plans import FSYNC, TWO_ZONES, WRITE, WRITE_1
from tests.model.replay_process import SHIPPED
from tests.model.replay_tracking import TrackingReplay, is_replayable
from tests.model.replay_words import Parted, Stricter, verb_of
from tests.model.rules import Rules
from tests.model.search import search, steps
from tests.model.state import Budget, State, Step
from tests.model.test_replay import PART_AT as LED_THROUGH_THE_CORES
from tests.model.traces import kept, steps_of
from tests.model.world import Bounds, World
from tests.simulation.broken import VARIANTS
from tests.simulation.plan import Parts
from tests.simulation.volume import Copy

SOAK = os.environ.get("MIRRORFARM_SOAK") == "1"
WALKS = 5_000 if SOAK else 40
"""Of each kind."""
STEPS = 80


@dataclass(frozen=True, slots=True)
class Kind:
    """What is walked."""

    bounds: Bounds
    goes_on: int
    """So many times as often as something goes wrong, something goes on."""


ROUGH = Bounds(
    (WRITE, WRITE_1, FSYNC, WRITE, WRITE_1, WRITE),
    Budget(power=2, crash=2, cut=3, lease=2, lost=1, delay=1, fail=1, swap=1, sync=12),
    epochs=8,
    zones=TWO_ZONES,
    outstanding=2,
)
QUIET = Bounds(
    (WRITE, WRITE_1, FSYNC, WRITE, WRITE_1, WRITE_1, WRITE, FSYNC, WRITE, WRITE, WRITE_1, WRITE),
    Budget(power=2, cut=2, fail=1, swap=1, sync=40),
    epochs=6,
    zones=TWO_ZONES,
    outstanding=2,
)
KINDS = {
    "a pair": Kind(ROUGH, 4),
    "alone at the start": Kind(replace(ROUGH, start="alone"), 4),
    "long in sync": Kind(QUIET, 40),
}

pytestmark = pytest.mark.timeout(6 * 3600 if SOAK else 600)


def walk(seed: int, kind: Kind, parts: Parts = SHIPPED) -> TrackingReplay:
    """One random walk of the model, along which the shipped objects are led."""
    world, chance = World(kind.bounds), random.Random(seed)
    replay, state = TrackingReplay(world, parts, random.Random(seed)), world.initial()
    replay.begin(state)
    for _ in range(STEPS):
        step = _choose(world, state, chance, kind.goes_on)
        if step is None:
            break
        replay.follow(state, step)
        state = step.state
    return replay


def _choose(world: World, state: State, chance: random.Random, goes_on: int) -> Step | None:
    found = [s for s in steps(world, state) if is_replayable(state, s)]
    weights = [1 if _fails(s.state.budget, state.budget) else goes_on for s in found]
    return chance.choices(found, weights)[0] if found else None


def _fails(after: Budget, before: Budget) -> bool:
    return after._replace(sync=before.sync) != before


def test_what_is_tracked_is_what_the_model_needs_and_no_less() -> None:
    seen: dict[str, int] = {}
    first = random.SystemRandom().randrange(10**9) if SOAK else 1
    for name, kind in KINDS.items():
        for seed in range(first, first + WALKS):
            try:
                replay = walk(seed, kind)
            except (Parted, Stricter, InvariantViolated) as error:
                pytest.fail(f"{name}, seed {seed}: {error}")
            counted = [*replay.place.seen.items(), *((verb_of(text.partition(": ")[2]), 1) for text in replay.happened)]
            for what, times in counted:
                seen[what] = seen.get(what, 0) + times
    # A replay in which what matters never happens would prove nothing.
    for what in (
        "tracked join", "full compare", "list taken up", "no list", "barrier passed", "barrier forgotten there",
        "copies", "adds", "drops", "loses", "operation", "answers", "takes", "stands", "reads",
    ):  # fmt: skip
        assert seen.get(what, 0) >= 10, (what, seen)


PART_AT = {
    "local-first": "A: issues operation 1 (write 0) at 1",
    "acknowledge-received": "A: applies and completes operation 1",
    "closed-unapplied": "A: applies and completes operation 1",
    "join-point-in-memory": "A: adds B",
    "stream-open-and-no-epochs": "B: applies operation 1 at 1",
    "join-uncopied": "A: nothing is left to copy to B, join point 1",
    "forgets-when-copied": "A: hears that B has all up to -1 on its disk",
    "marks-when-applied": "A: issues operation 1 (write 0) at 1",
    "marks-after-applying": "A: issues operation 1 (write 0) at 1",
    "forgets-by-own-disk": "A: brings all up to 1 to its disk, and says so",
    "forgets-by-one-disk": "A: brings all up to 1 to its disk, and says so",
    "forgets-all-at-barrier": "A: hears that B has all up to 1 on its disk",
    "list-not-on-disk": "A: drops B",
    "failed-apply-unmarked": "A: hears that B has all up to 1 on its disk",
}
"""The traces of broken rules by which too little is marked, or too much forgotten: the step at which that shows."""
NOT_LED = {
    "list-not-voided": "a node is listed once both disks have the join point",
    "list-valid-and-copies-unmarked": "a node is listed once both disks have the join point",
    "rename-out-of-uncopied-zone": "what a rename needs first is copied by replicator/reaching.py",
    "copies-busy-zone": "when a block may be read for a copy is the primary's",
    "repairs-busy-zone": "when a block may be read for a repair is the primary's",
    "returning-without-its-list": "several secondaries are compared as a whole",
    "reconnects-other-process": "no stream is taken up again",
    "sent-twice": "no stream is taken up again",
}
"""Those that cannot be, and why."""


@pytest.mark.parametrize("name", PART_AT)
def test_the_shipped_lists_do_not_go_the_way_of_a_broken_rule(name: str) -> None:
    broken = BROKEN[name]
    assert isinstance(broken.bounds, Bounds)
    world = World(replace(broken.bounds, rules=Rules().without(*broken.without)))
    replay, state = TrackingReplay(world), world.initial()
    replay.begin(state)
    with pytest.raises(Parted):
        for text in steps_of(kept(name)):
            step = next(s for s in steps(world, state) if s.text == text)
            replay.follow(state, step)
            state = step.state
    assert replay.happened[-1] == PART_AT[name]


def test_each_rule_of_what_moves_data_is_led_or_named() -> None:
    rules = {"S2", "S3", "S4", "S10", "R"}
    moved = {n for n, b in BROKEN.items() if isinstance(b.bounds, Bounds) and rules & {*b.rule.split(", ")}}
    assert moved - LED_THROUGH_THE_CORES.keys() == PART_AT.keys() | NOT_LED.keys()
    assert not PART_AT.keys() & NOT_LED.keys()


@pytest.mark.parametrize("name", ["list-not-voided", "list-valid-and-copies-unmarked"])
def test_without_these_rules_nothing_is_wrong_where_both_disks_are_waited_for(name: str) -> None:
    broken = BROKEN[name]
    assert isinstance(broken.bounds, Bounds)
    result = search(replace(broken.bounds, rules=Rules().without(*broken.without)), may=is_replayable)
    assert result.complete
    assert not result.violation, str(result)


NOTICED = (
    "r-applies-before-the-mark-is-durable",
    "r-forgets-by-one-disk",
    "r-forgets-by-own-disk",
    "r-forgets-past-the-barrier",
    "r-list-in-memory-only",
    "r-list-not-voided",
    "r-list-valid-at-once",
    "r-no-list-is-empty",
    "r-secondary-marks-nothing",
)
"""Rules taken away from the shipped objects, by the simulation's names for them."""


class _LosesSince(Tracker):
    """What was marked since the join point is not taken along."""

    def to_memory(self) -> None:
        super().to_memory()
        self._generations[-1] = type(self._generations[-1])()


class _RemembersCache(Tracker):
    """What was forgotten at a barrier counts as marked."""

    def _forget_cache(self) -> None:
        pass


class _OneGeneration(Tracker):
    """What goes to the disk is what was marked since the last barrier."""

    def to_disk(self) -> list[bytes] | None:
        while len(self._generations) > 1:
            self._generations.popleft()
        return super().to_disk()


class _CopiesUnmarked(DirtyKeeper):
    """What goes to the peer beside the order is not marked."""

    def mark(self, operation: Operation) -> None:
        pass


class _ListedTooEarly(DirtyKeeper):
    """An operation that comes while the list is made is let pass."""

    def passes(self, operation: Operation) -> bool:
        return self._shut or super().passes(operation)


def _stays(copy: Copy) -> None:
    pass


BROKEN_OBJECTS: dict[str, dict[str, Any]] = {
    "marks since the join point are lost": {"tracker": _LosesSince},
    "what was forgotten counts as marked": {"tracker": _RemembersCache},
    "what no barrier was passed after is forgotten": {"tracker": _OneGeneration},
    "what is repaired or copied is not marked": {"keeper": _CopiesUnmarked},
    "operations pass while the list is being made": {"keeper": _ListedTooEarly},
}


@pytest.mark.parametrize("name", NOTICED)
def test_lists_without_a_rule_of_the_simulations_part_from_the_model(name: str) -> None:
    assert _parts(VARIANTS[name].plan.parts), f"not noticed: {name}"


@pytest.mark.parametrize("name", BROKEN_OBJECTS)
def test_lists_without_a_rule_part_from_the_model(name: str) -> None:
    assert _parts(replace(SHIPPED, **BROKEN_OBJECTS[name])), f"not noticed: {name}"


def _parts(parts: Parts) -> bool:
    for seed in range(1, 1 + WALKS):
        for kind in KINDS.values():
            try:
                walk(seed, kind, parts)
            except Parted:
                return True
    return False
