"""What a record that is settled lets go, and after what: in memory here, with a primary and disks of the test's."""

import asyncio
import errno
from types import SimpleNamespace
from typing import cast

import pytest

from manager.model.control import Settled
from replicator.commands import Commands
from replicator.parts import Parts
from replicator.roles import Roles

ALONE = Settled(5, 2, 100, ("a",))


class Stage:
    """A primary whose list is on its way to the disk, and what is done one after the other."""

    def __init__(self, error: OSError | None = None) -> None:
        self.done: list[str] = []
        self.list_is_there = asyncio.Event()
        self._error = error
        keeper = SimpleNamespace(at_rest=self.list_is_there.wait, forget_base=lambda: None)
        primary = SimpleNamespace(
            keeper=keeper,
            goes_on_alone=lambda command: True,
            takes_out=lambda command: True,
            settled=lambda command: self.done.append("let go"),
            fail=lambda reason, memory_lost: self.done.append("failed"),
        )
        roles = SimpleNamespace(serving=SimpleNamespace(primary=primary), notes=SimpleNamespace(go_on=self._go_on))
        log = SimpleNamespace(info=lambda event, **values: None)
        parts = SimpleNamespace(event=self.done.append, log=log, loop=asyncio.get_running_loop())
        self.commands = Commands(cast(Parts, parts), cast(Roles, roles), lambda *_: None)  # type: ignore[arg-type]

    def _go_on(self, revision: int, *, alone: bool, takes_out: bool) -> None:
        assert (revision, alone, takes_out) == (100, True, True)
        if self._error is not None:
            raise self._error
        self.done.append("noted")


def test_what_is_held_is_let_go_once_the_disk_knows_of_it() -> None:
    async def story() -> None:
        stage = Stage()
        carried_out = asyncio.ensure_future(stage.commands.carry_out(ALONE))
        await asyncio.wait([carried_out], timeout=0.05)
        assert stage.done == [], "the list of what the other one lacks is not on the disk yet"
        stage.list_is_there.set()
        await carried_out
        assert stage.done == ["noted", "let go"]

    asyncio.run(story())


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_what_the_disk_does_not_know_lets_nothing_go(code: int) -> None:
    async def story() -> None:
        stage = Stage(OSError(code, "refused"))
        stage.list_is_there.set()
        await stage.commands.carry_out(ALONE)
        assert stage.done == ["failed"]

    asyncio.run(story())
