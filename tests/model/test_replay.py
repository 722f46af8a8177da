"""The model's traces, replayed through the shipped cores: the model is of the code, or it says nothing of it."""

import os
import random
from dataclasses import replace

import pytest

from agent.core import absorbing, following, membership, promising, serving
from agent.core import events as e
from agent.core.commands import Command, Commit
from agent.core.mirror import RULES, Rule
from agent.core.state import MirrorState, Move
from manager.model.errors import InvariantViolated
from tests.model import replay_completions, replay_words
from tests.model.broken import BROKEN
from tests.model.plans import FSYNC, WRITE
from tests.model.replay import Replay
from tests.model.replay_agent import KEYS
from tests.model.replay_completions import Orders
from tests.model.replay_words import Parted, Stricter
from tests.model.rules import Rules
from tests.model.search import search, steps
from tests.model.state import Budget, State, Step
from tests.model.traces import kept, steps_of
from tests.model.world import Bounds, World
from tests.simulation.broken import VARIANTS
from tests.simulation.broken.variant import patched

SOAK = os.environ.get("MIRRORFARM_SOAK") == "1"
WALKS = 5_000 if SOAK else 40
"""Of each kind."""
STEPS = 80

PAIR = Bounds(
    (WRITE, WRITE, FSYNC), Budget(power=1, crash=1, cut=2, lease=2, lost=1, delay=2, swap=1, sync=4), epochs=6
)
KINDS = {
    "a pair": PAIR,
    "alone at the start": replace(PAIR, start="alone"),
    "the first start": replace(PAIR, start="first"),
    "a restored store": replace(PAIR, restores=True),
}

pytestmark = pytest.mark.timeout(6 * 3600 if SOAK else 600)


def walk(seed: int, bounds: Bounds, rules: tuple[Rule, ...] = RULES) -> tuple[list[str], bool]:
    """One random walk of the model, led along by the shipped cores; what happened, and whether these could not go on.

    They cannot where they, or etcd, allow less than the model.
    """
    world, chance = World(bounds), random.Random(seed)
    agents, state = Replay(world, rules), world.initial()
    agents.begin()
    orders = Orders(world, agents)
    orders.begin(state)
    agents.refuses(state)
    for _ in range(STEPS):
        step = _choose(world, state, chance)
        if step is None:
            break
        try:
            agents.follow(state, step)
        except Stricter:
            return agents.happened, True
        orders.follow(state, step)
        state = step.state
        agents.refuses(state)
    return agents.happened, False


def _choose(world: World, state: State, chance: random.Random) -> Step | None:
    found = [s for s in steps(world, state) if _is_replayable(state, s)]
    # What goes wrong is rarer than what goes on.
    weights = [1 if s.state.budget != state.budget else 4 for s in found]
    return chance.choices(found, weights)[0] if found else None


def _is_replayable(state: State, step: Step) -> bool:
    return replay_words.is_replayable(state, step) and replay_completions.is_replayable(state, step)


def test_the_shipped_cores_do_what_the_model_does_and_nothing_else() -> None:
    seen: dict[str, int] = {}
    walks = ended = 0
    first = random.SystemRandom().randrange(10**9) if SOAK else 1
    for kind, bounds in KINDS.items():
        for seed in range(first, first + WALKS):
            try:
                happened, stricter = walk(seed, bounds)
            except (Parted, InvariantViolated) as error:
                pytest.fail(f"{kind}, seed {seed}: {error}")
            walks, ended = walks + 1, ended + stricter
            for text in happened:
                verb = replay_words.verb_of(text.partition(": ")[2])
                seen[verb] = seen.get(verb, 0) + 1
    # A replay in which a node never does what matters would prove nothing.
    for verb in (
        "stands", "takes", "adds", "drops", "writes", "withdraws", "resumes", "is", "issues", "delayed",
        "names", "etcd",
    ):  # fmt: skip
        assert seen.get(verb, 0) >= 3, (verb, seen)
    assert ended < walks / 4, (ended, walks)


PART_AT = {
    "elect-key": "B: stands: primary of epoch 2, alone in the record",
    "elect-revision": "etcd: delayed elect of A: done",
    "elect-membership": "B: stands: primary of epoch 2, alone in the record",
    "resume-revision": "A: resumes epoch 1",
    "resume-other-process": "A: drops B",
    "resume-rewrites-and-own-key": "etcd: delayed add B of A: done",
    "take-over-revision": "etcd: delayed take over of B: done",
    "take-over-key-and-revision": "etcd: delayed take over of B: done",
    "take-over-boot": "B: takes over from A: primary of epoch 2, both in the record",
    "offer-undrained": "A: is frozen, and offers its place to B",
    "offer-unfrozen": "A: issues operation 1 (write 0) at 1",
    "withdraw-by-time": "B: takes over from A: primary of epoch 2, both in the record",
    "release-before-settled": "A: applies and completes operation 1",
    "complete-without-drop": "A: applies and completes operation 1",
    "change-key-and-revision": "A: drops B",
    "change-revision": "etcd: delayed add B of A: done",
    "join-point-not-waited-for": "A: applies and completes operation 1",
    "unknown-add-not-waited-for": "A: applies and completes operation 1",
    "stream-while-unsettled": "etcd: delayed elect of A: done",
    "settled-by-reading": "etcd: delayed add B of A: done",
    "unknown-is-failed": "A: takes it that drop B was done",
    "any-boot": "A: stands: primary of epoch 2, alone in the record",
    "absence-read": "etcd: delayed elect of B: done",
    "restored-store": "B: stands: primary of epoch 2, alone in the record",
    "restored-store-by-epoch": "B: stands: primary of epoch 2, alone in the record",
    "unnamed-data": "A: stands: primary of epoch 1, alone in the record",
}
"""The traces of broken rules that live in the shipped cores: the step that these do not take."""

ANOTHER_WAY = {
    "elect-revision": Bounds((WRITE,), Budget(lease=2, delay=1), epochs=3),
    "stream-while-unsettled": Bounds((WRITE,), Budget(lease=2, delay=1), epochs=3),
    "change-revision": Bounds((WRITE,), Budget(cut=2, lease=1, delay=1, sync=1), epochs=3),
}
"""Whose kept trace goes a way on which a core stops before the rule matters: the bounds of one that it follows."""


def _way(name: str) -> tuple[Bounds, tuple[str, ...]]:
    """The shortest way to what is wrong without a rule: as it is kept, or the shortest that a core follows."""
    broken = BROKEN[name]
    bounds = ANOTHER_WAY.get(name, broken.bounds)
    assert isinstance(bounds, Bounds)
    bounds = replace(bounds, rules=Rules().without(*broken.without))
    if name not in ANOTHER_WAY:
        return bounds, steps_of(kept(name))
    found = search(bounds, may=_is_replayable)
    assert found.violation.startswith(broken.noticed_as)
    return bounds, found.trace


def _led(name: str, rules: tuple[Rule, ...] = RULES) -> tuple[list[str], str]:
    """The steps of that way to the first that the cores do not take, and why they do not; empty: they take all."""
    bounds, way = _way(name)
    world = World(bounds)
    agents, state = Replay(world, rules), world.initial()
    agents.begin()
    orders = Orders(world, agents)
    orders.begin(state)
    for text in way:
        step = next(s for s in steps(world, state) if s.text == text)
        try:
            agents.follow(state, step)
            orders.follow(state, step)
        except Parted as parted:
            return agents.happened, str(parted)
        state = step.state
    return agents.happened, ""


@pytest.mark.parametrize("name", PART_AT)
def test_the_shipped_cores_do_not_go_the_way_of_a_broken_rule(name: str) -> None:
    taken, why = _led(name)
    assert why
    assert taken[-1] == PART_AT[name]


GOES = (
    ("elect-membership", "s1-not-listed"),
    ("release-before-settled", "s2-released-before-the-drop"),
    ("settled-by-reading", "s6-not-written-anew"),
    ("any-boot", "s8-rebooted-stands"),
    ("restored-store", "s8-another-etcd"),
    ("restored-store-by-epoch", "s8-another-etcd"),
    ("unnamed-data", "s9-first-start-by-itself"),
)
"""The same rule taken away from the shipped core, by the simulation's name for it."""


@pytest.mark.parametrize(("name", "variant"), GOES)
def test_a_core_without_the_rule_goes_that_way(name: str, variant: str) -> None:
    parts = VARIANTS[variant].plan.parts
    with parts.around():
        taken, why = _led(name, parts.rules)
    # How far it goes is not said: what it does past that step may be of another rule, which it keeps.
    assert not why or len(taken) > len(_led(name)[0])


def _without_guards(rule: Rule, of: str) -> Rule:
    """``rule``, its transactions without the guards on one key."""

    def broken(state: MirrorState, now_ns: int) -> Move | None:
        move = rule(state, now_ns)
        if move is None or move.state.open is None or move.state.open is state.open:
            return move

        def strip(command: Command) -> Command:
            if not isinstance(command, Commit):
                return command
            guards = tuple(g for g in command.txn.guards if g.key != of)
            return replace(command, txn=replace(command.txn, guards=guards))

        return Move(move.state, tuple(strip(command) for command in move.commands))

    return broken


def _never(state: MirrorState, now_ns: int) -> Move | None:
    return None


def _instead(old: Rule, new: Rule) -> tuple[Rule, ...]:
    return tuple(new if rule is old else rule for rule in RULES)


BROKEN_CORES = {
    "an election does not test the record": _instead(following.stand, _without_guards(following.stand, KEYS.insync)),
    "a change of the record does not test the key": _instead(
        membership.write_record, _without_guards(membership.write_record, KEYS.primary)
    ),
    "a resume does not test the record": _instead(promising.resume, _without_guards(promising.resume, KEYS.insync)),
    "nothing is dropped or added": _instead(membership.write_record, _never),
    "nothing is resumed": _instead(promising.resume, _never),
    "the replicator is not told of the record": _instead(serving.tell_record, _never),
}


NOTICED = (
    "s1-not-listed",
    "s1-resume-without-proof",
    "s2-listed-while-joining",
    "s8-another-etcd",
    "s8-older-store",
    "s8-rebooted-stands",
    "s8-resumes-in-another-etcd",
    "s9-first-start-by-itself",
)
"""Rules taken away from the shipped core, by the simulation's names for them."""


@pytest.mark.parametrize("name", BROKEN_CORES)
def test_a_core_without_a_rule_parts_from_the_model(name: str) -> None:
    assert _parts(BROKEN_CORES[name]), f"not noticed: {name}"


@pytest.mark.parametrize("name", NOTICED)
def test_a_core_without_a_rule_of_the_simulations_parts_from_the_model(name: str) -> None:
    parts = VARIANTS[name].plan.parts
    with parts.around():
        assert _parts(parts.rules), f"not noticed: {name}"


def _parts(rules: tuple[Rule, ...]) -> bool:
    for seed in range(1, 1 + WALKS):
        for bounds in KINDS.values():
            try:
                walk(seed, bounds, rules)
            except Parted:
                return True
    return False


_unknown = absorbing._unknown


def _forgotten(state: MirrorState, tag: e.Tag, now_ns: int) -> MirrorState:
    """What got no answer is not remembered: what is read counts (S6)."""
    after = _unknown(state, tag, now_ns)
    return replace(after, late_stand=None, late_record=None, late_lists=frozenset())


def test_a_core_that_forgets_what_is_in_doubt_parts_from_the_model() -> None:
    with patched((_unknown, _forgotten))():
        assert _parts(RULES)
