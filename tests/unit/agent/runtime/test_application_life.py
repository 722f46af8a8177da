"""What is said of an application of which one end comes between two looks. With real processes: integration."""

import asyncio
from typing import cast

import pytest

from agent.adapters.application import Application
from agent.adapters.orphans import Ended
from agent.runtime import application_life
from agent.runtime.application_life import ApplicationLife, Settled

FAILED = Ended(7, "redis-server", 100, 9)


class Ending:
    """It is there for so many looks, and has ended when it is looked for next."""

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._left = [FAILED]

    def populated(self) -> bool:
        self._looks -= 1
        return self._looks >= 0

    def ended(self) -> list[Ended]:
        """As the kernel has it: an end that nobody has waited for yet."""
        found, self._left = (self._left, []) if self._looks < 0 else ([], self._left)
        return found


@pytest.mark.parametrize("looks", [0, 1, 3])
def test_a_failure_between_two_looks_is_none_of_a_start_that_had_only_to_run_once(
    monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    monkeypatch.setattr(application_life, "LOOK_S", 0.001)
    life = ApplicationLife(cast(Application, Ending(looks)))
    assert asyncio.run(life.stay()) is Settled.ENDED
    assert "redis-server (pid 7) with exit status 9" in life.last_words


def test_the_end_of_a_long_life_is_told_with_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application_life, "LOOK_S", 0.001)
    life = ApplicationLife(cast(Application, Ending(2)))
    asyncio.run(life.until_gone())
    assert "redis-server (pid 7) with exit status 9" in life.last_words
