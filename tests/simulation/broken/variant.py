"""What a broken variant is, and how a rule is taken away from the shipped core."""

import enum
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from agent.core.commands import Commit
from agent.core.mirror import RULES, Rule
from agent.core.state import MirrorState, Move
from manager.store.api import CreateRevisionIs, Guard, KeyAbsent, ModRevisionIs
from tests.simulation.plan import Parts, Plan

_CORE = ("agent.core", "tests.simulation.lease_keeping", "tests.simulation.machine")


class Where(enum.StrEnum):
    """Where the rule lives."""

    CORE = "agent core"
    COMPLETIONS = "completions"
    TRACKER = "tracker"
    KEEPER = "keeper of the list"
    MODEL = "replicator, as modelled"


@dataclass(frozen=True, slots=True)
class Variant:
    """One rule taken away."""

    name: str
    """A rule's number first: ``s1-...``, or ``r-...``; also the name of its trace."""
    what: str
    where: Where
    plan: Plan
    finds: str
    """With what words a violation begins that shows it."""
    redundant: str = ""
    """Why nothing notices it; empty: it is noticed."""


def patched(*pairs: tuple[Callable[..., Any], Callable[..., Any]]) -> Callable[[], Any]:
    """A context in which the core's functions are others, wherever a module of the core has them by name."""

    @contextmanager
    def context() -> Iterator[None]:
        changed: list[tuple[Any, str, Any]] = []
        try:
            for name, module in list(sys.modules.items()):
                if not name.startswith(_CORE):
                    continue
                for old, new in pairs:
                    for word, value in list(vars(module).items()):
                        if value is old:
                            setattr(module, word, new)
                            changed.append((module, word, old))
            if not changed:
                raise LookupError(f"nothing in {_CORE} is one of {[old for old, _ in pairs]}")
            yield
        finally:
            for module, word, old in changed:
                setattr(module, word, old)

    return context


def with_core(plan: Plan, *pairs: tuple[Callable[..., Any], Callable[..., Any]]) -> Plan:
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
