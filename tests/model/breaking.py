"""What it means to take a rule away, and the small bounds within which that is noticed."""

from dataclasses import dataclass, replace
from typing import Final

from tests.model import search as files
from tests.model.plans import FSYNC, ONE_ZONE, WRITE, WRITE_1
from tests.model.rules import Rules
from tests.model.search import Result
from tests.model.serving import search as serving
from tests.model.serving import state as timed
from tests.model.state import Budget
from tests.model.world import Bounds


@dataclass(frozen=True, slots=True)
class Broken:
    """A protocol without one of its rules."""

    rule: str
    """Of docs/SAFETY.md: S1 to S11, or R for the resync."""
    says: str
    """What is done instead."""
    without: tuple[str, ...]
    bounds: Bounds | timed.Bounds
    noticed_as: str
    """How the violation begins."""

    def search(self, most_states: int = 10_000_000) -> Result:
        """The shortest way to a violation."""
        if isinstance(self.bounds, timed.Bounds):
            return serving.search(replace(self.bounds, rules=timed.Rules().without(*self.without)), most_states)
        return files.search(replace(self.bounds, rules=Rules().without(*self.without)), most_states)


@dataclass(frozen=True, slots=True)
class Covered:
    """A rule whose loss is not noticed alone."""

    rule: str
    without: str
    bounds: Bounds | timed.Bounds
    why: str
    pair: str
    """The entry of BROKEN where it is missing together with what covers it; empty: it is of no safety."""


POWER: Final = Bounds((WRITE,), Budget(power=2, sync=3), epochs=4)
LATE: Final = Bounds((WRITE,), Budget(power=1, cut=1, lease=1, delay=1, sync=1), epochs=3)
LOST: Final = Bounds((WRITE, WRITE), Budget(cut=2, lease=1, lost=1, delay=1, sync=1), epochs=3)
ALONE: Final = Bounds((WRITE, FSYNC), Budget(power=2, cut=1, sync=1), epochs=2, start="alone")
SWAP: Final = Bounds((WRITE, WRITE), Budget(crash=1, lease=1, delay=1, swap=1), epochs=3)
FAILS: Final = Bounds((WRITE, WRITE_1), Budget(cut=2, fail=1, sync=3), epochs=3, zones=ONE_ZONE, outstanding=2)
CUT: Final = Bounds((WRITE,), Budget(power=2, cut=1, sync=2), epochs=4)
AWAY: Final = Bounds((WRITE,), Budget(power=2, lease=1, delay=1, sync=1), epochs=3)
RESTORED: Final = Bounds((WRITE, WRITE), Budget(cut=1, sync=1), epochs=3, restores=True)
RESUMED: Final = Bounds((WRITE,), Budget(lease=2, cut=1, delay=1, sync=1), epochs=2, start="alone")
THREE: Final = Bounds((WRITE,), Budget(power=1, sync=1), epochs=2, nodes=3)
VOIDED: Final = Bounds((WRITE,), Budget(power=1, crash=1, sync=3), epochs=3, start="alone")

CLOCK: Final = timed.Bounds(timed.Budget(crash=1, delay=1, lost=1))
SLOW: Final = timed.Bounds(timed.Budget(delay=1, change=1, slow=1))
HANDED: Final = timed.Bounds(timed.Budget(delay=1, swap=1, lost=1))
GIVEN: Final = timed.Bounds(timed.Budget(release=1, change=1), epochs=3)
GIVEN_LATE: Final = timed.Bounds(timed.Budget(release=1, change=1, delay=1), epochs=3)
ADDING: Final = timed.Bounds(timed.Budget(change=2, delay=1, agent=1), listed=1)
THREE_CLOCKS: Final = timed.Bounds(timed.Budget(), nodes=3)
