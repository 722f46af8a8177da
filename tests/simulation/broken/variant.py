"""What a broken variant is, and how a rule is taken away from the shipped core."""

import enum
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.core.commands import Commit
from agent.core.mirror import RULES, Rule
from agent.core.state import MirrorState, Move
from manager.store.api import CreateRevisionIs, Guard, KeyAbsent, ModRevisionIs
from tests.simulation import faults
from tests.simulation.broken import circumstances
from tests.simulation.plan import SHIPPED, Parts, Plan
from tests.simulation.schedule import Group

_CORE = ("agent.core", "tests.simulation.lease_keeping", "tests.simulation.machine")
TRACES = Path(__file__).parent.parent / "traces"


class Where(enum.StrEnum):
    """Where the rule lives."""

    CORE = "agent core"
    COMPLETIONS = "completions"
    TRACKER = "tracker"
    KEEPER = "keeper of the list"
    MODEL = "replicator, as modelled"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is simulated: how a plan of its own is played."""

    run: Callable[[int, Any, list[Group] | None], object]
    """Of a seed, by a plan, with what happens; ``None``: what its schedule says."""
    schedule_of: Callable[[int, Any], list[Group]]
    shipped: Callable[[Any], Any]
    """The plan, with all as it is shipped."""
    directory: Path
    """Where its traces are kept."""
    uncounted: tuple[str, ...]
    """With what words violations begin that prove little, as that it does not come back."""


MIRROR = Kind(
    faults.run, circumstances.schedule_of, lambda plan: replace(plan, parts=SHIPPED), TRACES,
    ("convergence", "rest", "the first start"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Variant:
    """One rule taken away."""

    name: str
    """A rule's number first: ``s1-...``, ``r-...``, ``a12-...``; also the name of its trace."""
    what: str
    where: enum.StrEnum
    plan: Any
    """Of its kind."""
    finds: str
    """With what words a violation begins that shows it."""
    redundant: str = ""
    """Why nothing notices it; empty: it is noticed."""
    kind: Kind = MIRROR
    scenario: str = ""
    """The kept scenario that expects what it breaks; empty: it shows in a run of its plan."""


Pair = tuple[Callable[..., Any], Callable[..., Any]]


def patched(*pairs: Pair) -> Callable[[], Any]:
    """A context in which the core's functions are others, wherever a module of the core has them: by name, or in a
    tuple, a set or a mapping of them. What was reckoned by the others is not remembered."""

    @contextmanager
    def context() -> Iterator[None]:
        modules = [module for name, module in list(sys.modules.items()) if name.startswith(_CORE)]
        changed = [
            (module, word, value, other)
            for module in modules
            for word, value in list(vars(module).items())
            if (other := _with_others(value, pairs)) is not value
        ]
        if not changed:
            raise LookupError(f"nothing in {_CORE} is one of {[old for old, _ in pairs]}")
        try:
            for module, word, _, other in changed:
                setattr(module, word, other)
            _forget(modules)
            yield
        finally:
            for module, word, value, _ in changed:
                setattr(module, word, value)
            _forget(modules)

    return context


def _with_others(value: Any, pairs: tuple[Pair, ...]) -> Any:
    """``value`` itself, if none of the functions is it or in it."""
    others = {id(old): new for old, new in pairs}
    if isinstance(value, tuple | frozenset) and any(id(v) in others for v in value):
        return type(value)(others.get(id(v), v) for v in value)
    if isinstance(value, Mapping) and any(id(v) in others for v in value.values()):
        return {key: others.get(id(v), v) for key, v in value.items()}
    return others.get(id(value), value)


def _forget(modules: list[Any]) -> None:
    for module in modules:
        for value in list(vars(module).values()):
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def with_core(plan: Plan, *pairs: Pair) -> Plan:
    """``plan`` with the core's functions changed: also where they are rules."""
    others = dict(pairs)
    rules = tuple(others.get(rule, rule) for rule in RULES)
    return replace(plan, parts=replace(plan.parts, rules=rules, around=patched(*pairs)))


def with_parts(plan: Plan, **parts: Any) -> Plan:
    """``plan`` with other classes."""
    return replace(plan, parts=replace(Parts(), **parts))


def without_guards(rule: Rule, dropped: Callable[[Guard, MirrorState], bool]) -> Rule:
    """``rule``, its transactions without the guards that are ``dropped``."""

    def broken(state: MirrorState, now_ns: int) -> Move | None:
        move = rule(state, now_ns)
        if move is None or move.state.open is None:
            return move
        commands = tuple(_strip(c, state, dropped) if isinstance(c, Commit) else c for c in move.commands)
        return Move(move.state, commands)

    return broken


def _strip(command: Commit, state: MirrorState, dropped: Callable[[Guard, MirrorState], bool]) -> Commit:
    guards = tuple(g for g in command.txn.guards if not dropped(g, state))
    return replace(command, txn=replace(command.txn, guards=guards))


def is_record(guard: Guard, state: MirrorState) -> bool:
    """It tests the record's revision."""
    return isinstance(guard, ModRevisionIs | KeyAbsent) and guard.key == state.settings.keys.insync


def is_key(guard: Guard, state: MirrorState) -> bool:
    """It tests the primary key."""
    return isinstance(guard, CreateRevisionIs | KeyAbsent) and guard.key == state.settings.keys.primary


ROUGH_STORE = Plan(store_faults=0.3, faults=("machine", "operators", "store", "blind"))
"""What needs requests that are executed long after they were given up."""
PEERS = Plan(faults=("machine", "operators"))
"""What needs links, processes and operators only."""
POWER = Plan(faults=("machine", "power", "power"), mean_between_faults_s=4.0)
FREEZES = Plan(faults=("machine", "freezes", "freezes"), mean_between_faults_s=4.0)
NO_STORE = Plan(faults=("store", "store", "machine"), mean_between_faults_s=4.0)
CUT_OFF = Plan(faults=("cut off", "cut off", "machine"), mean_between_faults_s=4.0)
"""One node without the store, longer than a lease."""
WRONG_CLOCKS = Plan(faults=("clocks", "blind", "cut off", "machine"), store_faults=0.15, mean_between_faults_s=3.0)
"""What only counts where a clock is wrong by more than the margin."""
