"""The decisions for one mirror module on one node: ``step(state, event, now_ns) -> (state, commands)``.

An event is first taken into the state as a fact (``absorbing``). Then the rules below are tried from the top, again
and again: the first that applies changes the state and adds its commands, until none applies. Each rule says what is
due in *this* state, whatever way led here, so that an interruption at any point is a state like any other. Last, what
others are told of it (the member record) and when to look again follow from where that ended.
"""

from collections.abc import Callable

from agent.core import fencing, following, forcing, leaving, membership, promising, requests, serving, telling, waking
from agent.core.absorbing import absorb
from agent.core.commands import Command, KillEverything, PublishMember, WakeAt
from agent.core.copying import replace
from agent.core.events import Event
from agent.core.settings import Settings
from agent.core.state import MirrorState, Move
from manager.model.errors import InvariantViolated

__all__ = ["MirrorState", "Settings", "initial", "step"]

Rule = Callable[[MirrorState, int], Move | None]

RULES: tuple[Rule, ...] = (
    requests.finish,
    requests.take,
    forcing.look,
    fencing.kill,
    fencing.resign,
    promising.promise,
    promising.resume,
    promising.tell_deadline,
    following.give_up_election,
    leaving.left,
    leaving.begin_stop,
    leaving.withdrawn,
    leaving.cancel,
    leaving.walk,
    serving.adopt,
    serving.promote,
    serving.tell_record,
    serving.give_to_another,
    leaving.give_back,
    serving.stop_application,
    serving.add_addresses,
    serving.start_application,
    membership.write_record,
    membership.tell_peers,
    promising.ask,
    following.stop,
    following.start,
    following.follow,
    following.stand,
)
"""Safety first, then the way out, then serving, then the others, then the way in."""

WHILE_KILLING: frozenset[Rule] = frozenset({requests.finish, requests.take, fencing.resign})
"""Nothing else begins before all that served is dead."""

MOST_MOVES = 100
"""In one step; more would be rules that undo each other."""


def initial(settings: Settings, *, left: bool = False) -> MirrorState:
    """The module at the start of its agent: nothing is known; ``left``: a former agent's may run here."""
    return MirrorState(settings, left=left)


def step(state: MirrorState, event: Event, now_ns: int) -> tuple[MirrorState, tuple[Command, ...]]:
    """The state after ``event`` at ``now_ns`` (CLOCK_BOOTTIME), and what is to be done, in order.

    Raises:
        InvariantViolated: something that must never happen has happened; the agent ends.
    """
    return step_by(RULES, state, event, now_ns)


def step_by(
    rules: tuple[Rule, ...], state: MirrorState, event: Event, now_ns: int
) -> tuple[MirrorState, tuple[Command, ...]]:
    """As :func:`step`, with other rules: for tests that break one on purpose."""
    state = absorb(state, event, now_ns)
    commands: list[Command] = []
    for _ in range(MOST_MOVES):
        due = rules if state.killing is None else [r for r in rules if r in WHILE_KILLING]
        for rule in due:
            move = rule(state, now_ns)
            if move is not None:
                break
        else:
            return _told(state, commands, now_ns)
        state = _remembered(move, now_ns)
        commands.extend(move.commands)
    raise InvariantViolated(f"{state.settings.module}: rules without end: {[type(c).__name__ for c in commands[-6:]]}")


def _remembered(move: Move, now_ns: int) -> MirrorState:
    killed = any(isinstance(c, KillEverything) for c in move.commands)
    return fencing.note_hang(move.state, now_ns) if killed else move.state


def _told(state: MirrorState, commands: list[Command], now_ns: int) -> tuple[MirrorState, tuple[Command, ...]]:
    """Publish what has changed of the member record, before what follows from it; and the next wake-up last."""
    record = telling.member(state, now_ns)
    if record != state.published or not state.has_published:
        if state.has_published or record is not None:
            commands.insert(0, PublishMember(record))
        state = replace(state, published=record, has_published=state.has_published or record is not None)
    wake_ns = waking.wake_ns(state, now_ns)
    if wake_ns is not None and wake_ns != state.wake_ns:
        commands.append(WakeAt(wake_ns))
        state = replace(state, wake_ns=wake_ns)
    return state, tuple(commands)
