"""The decisions for one farm module on one node: ``step(state, event, now_ns) -> (state, commands)``.

As for a mirror (``agent.core.mirror``): an event is first taken into the state as a fact (``absorbing``). Then the
rules below are tried from the top, again and again: the first that applies changes the state and adds its commands,
until none applies. Last, what others are told (the member record, the answer to probes) and when to look again follow
from where that ended.
"""

from collections.abc import Callable

from agent.core.commands import PublishMember, WakeAt
from agent.core.copying import replace
from agent.core.farm import (
    directing,
    electing,
    member,
    promising,
    requests,
    spreading,
    suspecting,
    telling,
    tidying,
    waking,
)
from agent.core.farm.absorbing import absorb, noted
from agent.core.farm.commands import Command
from agent.core.farm.events import Event
from agent.core.farm.settings import Settings
from agent.core.farm.state import FarmState, Move
from manager.model.errors import InvariantViolated

__all__ = ["FarmState", "Settings", "initial", "step"]

Rule = Callable[[FarmState, int], Move | None]

RULES: tuple[Rule, ...] = (
    requests.finish,
    requests.take,
    member.kill,
    electing.undirect,
    electing.stand_down,
    electing.extend,
    member.begin_out,
    member.stop_application,
    member.release,
    member.unload,
    member.finish,
    member.load,
    electing.adopt,
    electing.stand,
    suspecting.take_over,
    electing.direct,
    directing.probe,
    directing.write_table,
    spreading.hand_over,
    member.count,
    member.prepare,
    member.adopt,
    member.hold,
    member.start,
    tidying.forget,
)
"""Safety first, then the way out, then sharing, then the way in; what is left over in etcd last."""

WHILE_KILLING: frozenset[Rule] = frozenset({requests.finish, requests.take, electing.stand_down, directing.probe})
"""Nothing else begins before all that served is dead."""

MOST_MOVES = 100
"""In one step; more would be rules that undo each other."""


def initial(settings: Settings, *, left: bool = False, traffic_open: bool = False) -> FarmState:
    """The module at the start of its agent: nothing is known.

    ``left``: a former agent ran it here, and what it left was not ended: application, addresses, rules.
    ``traffic_open``: the application that it left has opened this node's traffic.
    """
    former = frozenset(settings.addresses if left else ())
    return FarmState(settings, left=left, traffic_open=left and traffic_open, adopting=left, former=former)


def step(state: FarmState, event: Event, now_ns: int) -> tuple[FarmState, tuple[Command, ...]]:
    """The state after ``event`` at ``now_ns`` (CLOCK_BOOTTIME), and what is to be done, in order.

    Raises:
        InvariantViolated: something that must never happen has happened; the agent ends.
    """
    return step_by(RULES, state, event, now_ns)


def step_by(
    rules: tuple[Rule, ...], state: FarmState, event: Event, now_ns: int
) -> tuple[FarmState, tuple[Command, ...]]:
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
        state = noted(move.state, now_ns)
        commands.extend(move.commands)
    raise InvariantViolated(f"{state.settings.module}: rules without end: {[type(c).__name__ for c in commands[-6:]]}")


def _told(state: FarmState, commands: list[Command], now_ns: int) -> tuple[FarmState, tuple[Command, ...]]:
    """Tell what has changed of this node before what follows from it; and the next wake-up last."""
    state = promising.told(state, now_ns)
    answer = telling.answer(state)
    if answer != state.answering:
        commands.insert(0, answer)
        state = replace(state, answering=answer)
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
