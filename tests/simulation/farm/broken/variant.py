"""What a broken variant of a farm is."""

import enum
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from agent.core.events import Tag
from agent.core.farm import transactions
from agent.core.farm.state import FarmState, Move
from manager.store.api import Change, Guard
from tests.simulation.broken.variant import TRACES, Kind, Pair, Variant, patched
from tests.simulation.farm import faults
from tests.simulation.farm.plan import Plan

FARM = Kind(faults.run, faults.schedule_of, lambda plan: replace(plan, around=nullcontext), TRACES / "farm", ())
SHORT = Plan(seconds=14, mean_between_faults_s=4.0)


class Where(enum.StrEnum):
    """The part of the farm's core that has the rule."""

    SLOTS = "slots"
    DIRECTING = "directing"
    ELECTING = "electing"
    MEMBER = "member"
    PARTING = "parting"
    PROMISING = "promising"
    SUSPECTING = "suspecting"
    LIVING = "living"
    TRANSACTIONS = "transactions"


def variant(name: str, what: str, where: Where, plan: Plan, finds: str, *pairs: Pair, redundant: str = "") -> Variant:
    """One rule taken away: the core's functions are others."""
    return Variant(name, what, where, replace(plan, around=patched(*pairs)), finds, redundant, FARM)


def without_guards(dropped: Callable[[Guard, FarmState, str], bool], of: Tag | None = None) -> Pair:
    """The transactions (``of`` that tag, or all) lack the guards that are ``dropped``: of an address, in a state."""
    shipped = transactions._commit

    def commit(state: FarmState, tag: Tag, address: str, guards: tuple[Guard, ...], change: Change) -> Move:
        kept = tuple(g for g in guards if of not in (None, tag) or not dropped(g, state, address))
        return shipped(state, tag, address, kept, change)

    return shipped, commit
