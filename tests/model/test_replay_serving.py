"""The timed model's traces, replayed through the shipped cores: who serves when is of the code, too (S5, S7)."""

import os
import random
from dataclasses import replace

import pytest

from agent.core import fencing
from agent.core.mirror import RULES, Rule
from agent.core.state import MirrorState
from manager.model.errors import InvariantViolated
from tests.model.broken import BROKEN
from tests.model.replay_words import Parted, Stricter, verb_of
from tests.model.serving.replay import Replay
from tests.model.serving.replay_compare import allowed, compare
from tests.model.serving.replay_words import is_replayable
from tests.model.serving.search import steps
from tests.model.serving.state import Bounds, Budget, Rules
from tests.model.traces import kept, steps_of
from tests.simulation.broken import VARIANTS
from tests.simulation.broken.variant import patched

SOAK = os.environ.get("MIRRORFARM_SOAK") == "1"
WALKS = 2_000 if SOAK else 10
"""Of each kind."""
STEPS = 80

TWO = Bounds(Budget(crash=2, agent=1, lost=2, delay=3, change=6, swap=2, release=2, slow=3), ttl=3, promise=3, epochs=8)
ALONE = Bounds(
    Budget(crash=1, agent=1, lost=1, delay=2, change=6, swap=1, slow=2), ttl=3, promise=2, epochs=8, listed=1
)
THREE = Bounds(Budget(crash=1, agent=1, lost=1, delay=1, change=3, swap=1, slow=1), nodes=3, ttl=3, promise=2, epochs=8)
KINDS = {"two nodes": TWO, "alone at the start": ALONE, "three nodes": THREE}

pytestmark = pytest.mark.timeout(6 * 3600 if SOAK else 600)


def walk(seed: int, bounds: Bounds, rules: tuple[Rule, ...] = RULES) -> list[str]:
    """One random walk of the model, led along by the shipped cores; what happened."""
    chance, agents, state = random.Random(seed), Replay(bounds, rules), bounds.initial()
    agents.begin(state)
    for _ in range(STEPS):
        compare(agents, state, allowed(bounds, state))
        found = [(text, after) for text, after in steps(bounds, state) if is_replayable(agents, state, text)]
        if not found:
            break
        # What goes wrong is rarer than what goes on.
        weights = [1 if after.budget != state.budget else 4 for _, after in found]
        text, after = chance.choices(found, weights)[0]
        try:
            agents.follow(state, text, after)
        except Stricter:
            break
        state = after
    return agents.happened


def test_the_shipped_cores_serve_when_the_model_does() -> None:
    seen: dict[str, int] = {}
    first = random.SystemRandom().randrange(10**9) if SOAK else 1
    for kind, bounds in KINDS.items():
        for seed in range(first, first + WALKS):
            try:
                happened = walk(seed, bounds)
            except (Parted, InvariantViolated) as error:
                pytest.fail(f"{kind}, seed {seed}: {error}")
            for text in happened:
                verb = verb_of(text.partition(": ")[2] or text)
                seen[verb] = seen.get(verb, 0) + 1
    # A replay in which a node never does what matters would prove nothing.
    for verb in (
        "renews", "hears", "asks", "promises", "stands", "serves", "resumes", "adds", "drops", "writes", "reads",
        "gives", "takes", "withdraws", "adopts", "delayed", "its", "starts", "time",
    ):  # fmt: skip
        assert seen.get(verb, 0) >= 3, (verb, seen)


PART_AT = {
    "lease-from-answer": "A: hears that its lease was renewed",
    "promise-from-answer": "A: hears the promise of B",
    "one-promise-of-two": "A: hears the promise of B",
    "unsettled-drop-done": "A: drops B, delayed",
    "unsettled-add-not-done": "A: drops B, delayed",
    "adds-past-told": "A: adds B",
    "promise-not-kept": "B: promises A not to stand",
    "promise-forgotten": "B: starts",
    "promise-while-unsettled": "B: stands, delayed",
    "promise-ended-by-trying": "B: takes over from A, delayed",
    "released-alive": "A: gives up its place",
    "released-for-ever": "A: adds B",
    "offer-while-serving": "A: is frozen, and offers its place to B",
    "withdraw-by-time-serving": "B: takes over from A",
    "elect-key-serving": "B: stands",
    "elect-revision-serving": "etcd: delayed elect of A: done",
    "resume-revision-serving": "A: resumes epoch 1",
    "resume-key-and-revision-serving": "A: resumes epoch 1",
    "resume-rewrites-serving": "A: resumes epoch 1",
    "change-key-serving": "etcd: delayed release of A: done",
    "change-revision-serving": "etcd: delayed add of A: done",
    "serves-past-limit": "time passes",
}
"""The kept traces of broken rules: the step after which the shipped cores are not what the broken model is."""


@pytest.mark.parametrize("name", [name for name, broken in BROKEN.items() if isinstance(broken.bounds, Bounds)])
def test_the_shipped_cores_do_not_go_the_way_of_a_broken_rule(name: str) -> None:
    way, _ = _way(name, RULES)
    assert way[-1] == PART_AT[name]


GOES = {
    "promise-from-answer": "s5-counted-from-the-answer",
    "one-promise-of-two": "s5-one-promise-of-two",
    "unsettled-drop-done": "s5-alone-before-it-is-settled",
    "promise-not-kept": "s5-promise-does-not-bind",
    "promise-forgotten": "s5-forgotten-at-restart",
    "promise-ended-by-trying": "s5-promise-ended-by-trying",
    "serves-past-limit": "s7-agent-does-not-kill",
}
"""The same rule taken away from the shipped core, by the simulation's name for it."""


@pytest.mark.parametrize("name", GOES)
def test_a_core_without_the_rule_goes_that_way(name: str) -> None:
    parts = VARIANTS[GOES[name]].plan.parts
    with parts.around():
        way, why = _way(name, parts.rules)
    # How far it goes is not said: what it does past that step may be of another rule, which it keeps.
    assert not why or len(way) > len(_way(name, RULES)[0])


def test_a_core_that_lists_past_its_lease_ends_its_right_to_serve() -> None:
    parts = VARIANTS["s5-listed-past-the-lease"].plan.parts
    with parts.around():
        way, why = _way("adds-past-told", parts.rules)
    assert way[-1] == PART_AT["adds-past-told"]
    assert "does not serve on" in why


def _way(name: str, rules: tuple[Rule, ...]) -> tuple[list[str], str]:
    """The steps of a kept trace, to the first after which the cores are not what its model is, and how they differ."""
    broken = BROKEN[name]
    assert isinstance(broken.bounds, Bounds)
    bounds = replace(broken.bounds, rules=Rules().without(*broken.without))
    agents, state = Replay(bounds, rules), bounds.initial()
    agents.begin(state)
    compare(agents, state, allowed(bounds, state))
    for text in steps_of(kept(name)):
        after = dict(steps(bounds, state))[text]
        try:
            agents.follow(state, text, after)
            compare(agents, after, allowed(bounds, after))
        except Parted as parted:
            return agents.happened, str(parted)
        state = after
    return agents.happened, ""


_has_ended = fencing._has_ended


def _at_once(state: MirrorState, now_ns: int) -> bool:
    """A place is given up though what served there lives."""
    return True


NOTICED = (
    "s1-election-without-the-record",
    "s1-not-listed",
    "s1-resume-without-the-record",
    "s1-hand-over-without-the-record",
    "s1-given-up-untested",
    "s1-adopted-untested",
    "s2-change-without-the-record",
    "s5-doubtful-is-not-listed",
    "s5-no-promise-needed",
    "s5-forgotten-at-restart",
    "s5-promise-does-not-bind",
    "s7-agent-does-not-kill",
)
"""Rules taken away from the shipped core, by the simulation's names for them."""


@pytest.mark.parametrize("name", NOTICED)
def test_a_core_without_a_rule_parts_from_the_model(name: str) -> None:
    parts = VARIANTS[name].plan.parts
    with parts.around():
        assert _parts(parts.rules), f"not noticed: {name}"


def test_a_core_that_gives_up_its_place_alive_parts_from_the_model() -> None:
    with patched((_has_ended, _at_once))():
        assert _parts(RULES)


def _parts(rules: tuple[Rule, ...]) -> bool:
    for seed in range(1, 1 + WALKS):
        for bounds in KINDS.values():
            try:
                walk(seed, bounds, rules)
            except Parted:
                return True
    return False
