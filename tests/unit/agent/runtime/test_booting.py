"""Which modules a start of the agent, and of its machine, starts or stops: by their switch, and once."""

import dataclasses
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.runtime.booting import Booting, as_begun
from manager.model.records import BOOT, STOPPED_AT, DesiredRecord
from manager.model.states import Run
from manager.store.api import Put, Txn
from manager.store.fake_store import Execution
from tests.unit.agent.runtime.bench import KEYS, Bench
from tests.unit.agent.runtime.test_farm_modules import around

STARTED, STOPPED = Run.STARTED, Run.STOPPED
OFF, ON = {BOOT: "off"}, {BOOT: "on"}
HELD = {BOOT: "off", STOPPED_AT: BOOT}


@pytest.mark.parametrize(
    ("run", "switches", "with_machine", "wanted"),
    [
        (STARTED, {}, True, None),
        (STOPPED, {}, True, None),
        (STARTED, ON, True, None),
        (STOPPED, ON, True, DesiredRecord(STARTED, ON)),
        (STOPPED, ON, False, None),
        (STOPPED, {**ON, STOPPED_AT: BOOT}, True, DesiredRecord(STARTED, ON)),
        (STARTED, OFF, True, DesiredRecord(STOPPED, HELD)),
        (STARTED, OFF, False, DesiredRecord(STOPPED, HELD)),
        (STOPPED, OFF, True, None),
        (STOPPED, {BOOT: "of another release"}, True, None),
        (STARTED, {BOOT: "of another release"}, True, None),
    ],
)
def test_what_is_wanted_once_the_agent_has_begun(
    run: Run, switches: dict[str, str], with_machine: bool, wanted: DesiredRecord | None
) -> None:
    assert as_begun(DesiredRecord(run, switches), with_machine=with_machine) == wanted


class Machine:
    """One whose modules' starts are looked at, over its starts and its agents'."""

    def __init__(self, directory: Path) -> None:
        self.bench = Bench("a")
        os.makedirs(directory / "run")
        self.around = around(self.bench, directory)

    def wants(self, module: str, run: Run, switches: dict[str, str] | None = None) -> None:
        self.bench.put(KEYS.module(module).desired("a"), DesiredRecord(run, switches or {}))

    def restart(self) -> None:
        self.around = dataclasses.replace(self.around, boot_id=f"{self.around.boot_id}'")

    def agent(self, *modules: str) -> Booting:
        """A new one."""
        booting = Booting(self.around)
        booting.begin(modules)
        return booting

    def wanted(self, module: str) -> Run:
        found = self.bench.view.keys.desired(module, "a")
        assert found is not None
        return found.run

    def play(self, story: Callable[[], Awaitable[None]]) -> None:
        async def seen() -> None:
            await self.bench.until(lambda: self.bench.view.revision >= self.bench.etcd.revision)
            await story()

        self.bench.run(seen)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_on_starts_what_was_stopped_with_the_machine_and_not_with_a_later_agent(machine: Machine) -> None:
    machine.wants("db", STOPPED, ON)

    async def story() -> None:
        assert await machine.agent("db").may_begin("db")
        assert machine.wanted("db") is STARTED
        machine.wants("db", STOPPED, ON)
        await machine.bench.until(lambda: machine.wanted("db") is STOPPED)
        assert await machine.agent("db").may_begin("db")
        assert machine.wanted("db") is STOPPED
        machine.restart()
        assert await machine.agent("db").may_begin("db")
        assert machine.wanted("db") is STARTED

    machine.play(story)


def test_one_that_came_after_the_machines_start_is_not_started_by_the_next_agent(machine: Machine) -> None:
    machine.wants("db", STOPPED, ON)

    async def story() -> None:
        machine.agent()
        assert await machine.agent("db").may_begin("db")
        assert machine.wanted("db") is STOPPED

    machine.play(story)


def test_what_an_agent_did_not_come_to_the_next_one_does(machine: Machine) -> None:
    machine.wants("db", STOPPED, ON)
    machine.wants("web", STOPPED, ON)

    async def story() -> None:
        first = machine.agent("db", "web")
        machine.bench.store.lose_reply(Execution.NEVER)
        assert not await first.may_begin("db")
        assert await first.may_begin("web")
        machine.wants("web", STOPPED, ON)
        await machine.bench.until(lambda: machine.wanted("web") is STOPPED)
        second = machine.agent("db", "web")
        assert await second.may_begin("db") and await second.may_begin("web")
        assert (machine.wanted("db"), machine.wanted("web")) == (STARTED, STOPPED)

    machine.play(story)


def test_off_stops_at_each_start_of_the_agent_and_a_module_that_comes_later_is_left_alone(machine: Machine) -> None:
    machine.wants("db", STARTED, OFF)
    machine.wants("web", STARTED, OFF)

    async def story() -> None:
        machine.agent("db")
        again = machine.agent("db")
        assert await again.may_begin("db") and await again.may_begin("web")
        assert (machine.wanted("db"), machine.wanted("web")) == (STOPPED, STARTED)

    machine.play(story)


def test_a_note_that_is_broken_or_cannot_be_written_keeps_nothing_from_starting(machine: Machine) -> None:
    machine.wants("db", STOPPED, ON)
    Path(machine.around.places.boot_file).write_text("{")
    os.makedirs(f"{machine.around.places.boot_file}.new")

    async def story() -> None:
        assert await machine.agent("db").may_begin("db")
        assert machine.wanted("db") is STARTED

    machine.play(story)


def test_a_wish_that_is_not_understood_begins_nothing_until_it_is(machine: Machine) -> None:
    key = KEYS.module("db").desired("a")
    machine.bench.etcd.commit_now(Txn((), (Put(key, "startd"),)))

    async def story() -> None:
        booting = machine.agent("db")
        assert not await booting.may_begin("db")
        machine.wants("db", STARTED, OFF)
        await machine.bench.until(lambda: machine.bench.view.keys.desired("db", "a") is not None)
        assert await booting.may_begin("db")
        assert machine.wanted("db") is STOPPED, "its switch counts then"

    machine.play(story)
