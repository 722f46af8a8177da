"""What nobody catches is in the log, whoever reads standard error; and how the process ends by it, or does not."""

import asyncio
from collections.abc import Callable

import pytest
import structlog
from structlog.testing import capture_logs

from agent.runtime.process import EXIT_BROKEN, outcome
from agent.runtime.uncaught import MAX_REMEMBERED, QUIET_S, Uncaught
from manager.model.errors import ConfigError, DefiniteFailure


def broken() -> None:
    raise ValueError("no")


def broken_elsewhere() -> None:
    raise ValueError("no")


def told(*steps: tuple[float, Callable[[], None]]) -> list[str]:
    """The words of what is logged, when each of ``steps`` comes by a callback at its second."""
    now_s = 0.0

    async def story() -> None:
        nonlocal now_s
        asyncio.get_running_loop().set_exception_handler(Uncaught(structlog.get_logger(), lambda: now_s))
        for at_s, step in steps:
            now_s = at_s
            asyncio.get_running_loop().call_soon(step)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    with capture_logs() as logged:
        asyncio.run(story())
    assert {entry["event"] for entry in logged} <= {"error.uncaught"}
    return [f"{entry['log_level']} {entry['exc_info']!r} {entry['what'].partition(' at ')[0]}" for entry in logged]


def test_what_a_callback_raises_is_told_by_place_and_from_one_place_once_in_a_while() -> None:
    one = told((0.0, broken))
    assert len(one) == 1 and one[0].startswith("error ValueError('no') Exception in callback broken")
    assert len(told((0.0, broken), (1.0, broken), (QUIET_S - 1, broken))) == 1
    assert len(told((0.0, broken), (1.0, broken_elsewhere))) == 2
    assert len(told((0.0, broken), (QUIET_S, broken), (QUIET_S + 1, broken))) == 2


def test_so_many_places_are_remembered() -> None:
    loop, uncaught = asyncio.new_event_loop(), Uncaught(structlog.get_logger(), lambda: 0.0)
    with capture_logs() as logged:
        for number in range(MAX_REMEMBERED + 1):
            uncaught(loop, {"message": str(number)})
        uncaught(loop, {"message": str(MAX_REMEMBERED)})
        assert len(logged) == MAX_REMEMBERED + 1
        uncaught(loop, {"message": "0"})
        assert len(logged) == MAX_REMEMBERED + 2
    loop.close()


def ends(error: Exception) -> Callable[[], None]:
    def live() -> None:
        raise error

    return live


@pytest.mark.parametrize(
    ("error", "event"), [(OSError("no room"), "agent.broken"), (DefiniteFailure("no"), "agent.ended")]
)
def test_why_the_process_ends_is_in_the_log_whatever_it_is(error: Exception, event: str) -> None:
    with capture_logs() as logged:
        assert outcome(ends(error), structlog.get_logger()) == EXIT_BROKEN
    assert [entry["event"] for entry in logged] == [event]


def test_one_that_is_told_to_end_ends_well_and_one_that_is_refused_says_so() -> None:
    assert outcome(lambda: None, structlog.get_logger()) == 0
    with capture_logs() as logged, pytest.raises(ConfigError):
        outcome(ends(ConfigError("no")), structlog.get_logger())
    assert [entry["event"] for entry in logged] == ["agent.refused"]
