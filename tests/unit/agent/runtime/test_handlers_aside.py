"""What an operator asks about what is set aside, before the replicator is asked."""

import dataclasses

import pytest

from agent.runtime.handlers_aside import MOST_PATH_BYTES, AsideHandlers
from manager.model import asides
from manager.model.api import ErrorKind
from manager.model.api_asides import (
    AsideGiveUpArguments,
    AsideListArguments,
    AsideRestoreArguments,
    AsideShowArguments,
)
from manager.model.asides import MAX_ITEMS, AsideReport
from manager.model.control import COMMANDS, from_line, to_line
from manager.model.records import ModuleConfigRecord
from tests.unit.agent.runtime.bench import KEYS, ROOT, Bench, NoModules, refusal, toml

REPORT = AsideReport("1", "", False, 0, ())


class Modules(NoModules):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[asides.Command] = []

    async def aside(self, module: str, command: asides.Command) -> AsideReport:
        self.asked.append(command)
        # Whatever was typed, it goes through the lines to the replicator.
        assert from_line(COMMANDS, to_line(command)) == command
        return REPORT


class Desk(Bench):
    modules: Modules

    def __init__(self) -> None:
        super().__init__("a", "b")
        self.put(KEYS.module("db").config, ModuleConfigRecord("m", 1, toml(), {}, "", ""))
        self.modules = Modules()
        self.seat = dataclasses.replace(self.seat, modules=self.modules)
        self.handlers = AsideHandlers(self.seat)


def test_an_unknown_module_is_not_found() -> None:
    desk = Desk()

    async def story() -> None:
        error = await refusal(desk.handlers.list_all(AsideListArguments("zz"), ROOT, desk.report))
        assert error.kind is ErrorKind.NOT_FOUND and desk.modules.asked == []

    desk.run(story)


def test_a_page_is_no_longer_than_a_report() -> None:
    desk = Desk()

    async def story() -> None:
        asked = AsideShowArguments("db", 3, "/srv/db", -1, MAX_ITEMS + 1)
        assert await desk.handlers.show(asked, ROOT, desk.report) == REPORT
        [command] = desk.modules.asked
        assert isinstance(command, asides.AsideShow)
        assert (command.number, command.path, command.skip, command.limit) == (3, "/srv/db", 0, MAX_ITEMS)

    desk.run(story)


@pytest.mark.parametrize(
    ("typed", "told"),
    [("/srv/db/x", "/srv/db/x"), ("/srv/db/\udcff", "/srv/db/\\xff"), ("/srv/db/\\xff\n", "/srv/db/\\xff\\x0a")],
)
def test_a_path_of_any_bytes_is_told(typed: str, told: str) -> None:
    desk = Desk()

    async def story() -> None:
        await desk.handlers.restore(AsideRestoreArguments("db", 1, typed, typed), ROOT, desk.report)
        [command] = desk.modules.asked
        assert isinstance(command, asides.AsideRestore)
        assert (command.path, command.target) == (told, told)

    desk.run(story)


def test_a_path_is_told_by_a_line_that_a_replicator_takes_and_a_longer_one_is_refused() -> None:
    """A longer line ends its connection; and who is to be told something at that moment, and cannot be, is ended."""
    desk, longest = Desk(), "/" + "\x01" * (MOST_PATH_BYTES - 1)

    async def story() -> None:
        await desk.handlers.restore(AsideRestoreArguments("db", 1, longest, longest), ROOT, desk.report)
        [command] = desk.modules.asked
        assert len(to_line(command)) <= 1 << 20
        for typed in (f"{longest}x", "/" + "x" * (2 << 20)):
            error = await refusal(desk.handlers.show(AsideShowArguments("db", 1, typed), ROOT, desk.report))
            assert error.kind is ErrorKind.BAD_REQUEST and "more than 65536 bytes" in error.message
        assert desk.modules.asked == [command]

    desk.run(story)


@pytest.mark.parametrize("target", ["restored", "", "./x", "/srv/\ud800", "/srv/\0", "/srv/\\x00"])
def test_a_target_that_is_no_absolute_path_is_refused(target: str) -> None:
    desk = Desk()

    async def story() -> None:
        asked = AsideRestoreArguments("db", 1, "/srv/db/x", target)
        error = await refusal(desk.handlers.restore(asked, ROOT, desk.report))
        assert error.kind is ErrorKind.BAD_REQUEST and desk.modules.asked == []

    desk.run(story)


def test_another_nodes_changes_are_not_given_up_here() -> None:
    desk = Desk()

    async def story() -> None:
        error = await refusal(desk.handlers.give_up(AsideGiveUpArguments("db", "b"), ROOT, desk.report))
        assert error.kind is ErrorKind.REFUSED and "node a" in error.message and desk.modules.asked == []
        await desk.handlers.give_up(AsideGiveUpArguments("db", "a"), ROOT, desk.report)
        assert [type(command) for command in desk.modules.asked] == [asides.AsideGiveUp]

    desk.run(story)
