"""Whether the core asks to be woken at every instant at which time alone changes something of what it does.

The core is told facts, and that the instant has come for which it has asked last. A decision by time whose instant is
not among those waits for the next fact, which may never come. So a state that a run has reached is left alone with the
clock: up to the nanosecond before it wakes nothing may become due, nor any remembered fact change; then it wakes, and
so on from there. What it commands is not answered, as where all else hangs.
"""

import random
from dataclasses import dataclass, field, fields

from agent.core.commands import Command, PublishMember, ServeUntil, WakeAt
from agent.core.copying import replace
from agent.core.events import Event, Tick
from agent.core.mirror import Rule, step_by
from agent.core.state import MirrorState
from agent.core.waking import wake_ns
from manager.model.records import MemberRecord
from manager.model.resources import resources_of, unsteady_in
from tests.simulation.checkers import Violation
from tests.simulation.clockwork import SECOND_NS

MOST_WAKES = 25
"""From one state: some limits lie many renewals ahead."""
FOREVER_NS = 3_600 * SECOND_NS
"""One that asks for nothing is looked at so long after."""
EARLIER_IS_WELL = frozenset({"told_until_ns", "published", "wake_ns"})
"""Who serves alone tells its warden a later deadline with any event, and when it is time at the latest."""


@dataclass(slots=True)
class Waking:
    """Steps cores, and looks at some of the states that they come to."""

    share: float
    """Of all steps."""
    seed: int = 0
    looks: int = 0
    """States and instants that were looked at."""
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """The chance is its own: the run is the same with it."""
        self._chance = random.Random(f"waking {self.seed}")

    def __call__(
        self, rules: tuple[Rule, ...], state: MirrorState, event: Event, now_ns: int
    ) -> tuple[MirrorState, tuple[Command, ...]]:
        """One step of a core.

        Raises:
            Violation: the core would have something to do at an instant for which it has not asked.
        """
        stepped = step_by(rules, state, event, now_ns)
        if self._chance.random() < self.share:
            self.leave_alone(rules, stepped[0], now_ns)
        return stepped

    def leave_alone(self, rules: tuple[Rule, ...], state: MirrorState, now_ns: int) -> None:
        """No fact comes any more. Raises Violation."""
        for _ in range(MOST_WAKES):
            state = _settled(rules, state, now_ns)
            at_ns = wake_ns(state, now_ns)
            last_ns = (now_ns + FOREVER_NS if at_ns is None else at_ns) - 1
            for instant_ns in sorted({self._chance.randint(now_ns, last_ns), last_ns}):
                self.looks += 1
                _require_rest(rules, state, now_ns, instant_ns, at_ns)
            if at_ns is None:
                return
            state, now_ns = step_by(rules, state, Tick(), at_ns)[0], at_ns


def _settled(rules: tuple[Rule, ...], state: MirrorState, now_ns: int) -> MirrorState:
    """With all that follows from what it has just decided, which it remembers with the next event."""
    return step_by(rules, state, Tick(), now_ns)[0]


def _require_rest(
    rules: tuple[Rule, ...], state: MirrorState, now_ns: int, instant_ns: int, at_ns: int | None
) -> None:  # fmt: skip
    after, commands = step_by(rules, state, Tick(), instant_ns)
    names = [known.name for known in fields(MirrorState)]
    changed = {name for name in names if getattr(after, name) != getattr(state, name)}
    published = _steady(after.published) != _steady(state.published)
    early = {type(c) for c in commands} <= {ServeUntil, PublishMember, WakeAt}
    if early and changed <= EARLIER_IS_WELL and not published:
        return
    asked = "nothing" if at_ns is None else f"{at_ns - now_ns} ns"
    told = [c for c in commands if not isinstance(c, WakeAt)]
    raise Violation(
        f"waking: {state.node} asked for {asked}, and {instant_ns - now_ns} ns later there is due {told}; "
        f"{ {name: (getattr(state, name), getattr(after, name)) for name in sorted(changed)} }"
    )


def _steady(record: MemberRecord | None) -> MemberRecord | None:
    """Without the peers that flap: that is for people, is taken back with any event, and a primary has one a second."""
    if record is None:
        return None
    flapping = resources_of(application_failed=False, unsteady=unsteady_in(record.resources))
    return replace(record, resources={name: said for name, said in record.resources.items() if name not in flapping})
