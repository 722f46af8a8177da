"""The adapter that starts, adopts, steers and ends a replicator, against real processes in real control groups."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest
import uvloop

from agent.adapters import replicators
from agent.adapters.cgroups import module_cgroup, read_process
from agent.adapters.replicator_process import ReplicatorProcess, RunFiles
from agent.adapters.replicators import Replicator, find_modules
from agent.core import events
from agent.runtime.memory import Memory
from agent.runtime.replicator_hand import ReplicatorHand, answers, end_replicator, lives
from manager.model.control import Event, Hello, Idled, Sync, Synced
from manager.model.errors import DefiniteFailure, IndefiniteFailure
from manager.model.replicator_spec import ReplicatorSpec

COMMAND = (sys.executable, "-m", "tests.integration.agent.replicator_child")
_WAIT_S = 10.0
_ADOPTIONS = 20


class Bench:
    """One module's replicator and what was heard of it."""

    def __init__(self, directory: Path, base: str, module: str) -> None:
        self.run = directory / module
        self.module = module
        self.cgroup = module_cgroup(module, "replicator", base)
        self.spec = ReplicatorSpec(
            "c", module, "m", "a", "boot", (), str(self.run / "s.sock"), "", 0, 1000, False, True, (), "",
            str(directory / "log" / "replicator.log"),
        )  # fmt: skip
        self.memory = Memory(str(self.run), "boot")
        self.heard: list[Event] = []
        self.gone: list[str] = []
        self.log = Path(self.spec.log_file)

    def make(self) -> Replicator:
        return Replicator(str(self.run), self.cgroup, self.heard.append, self.gone.append, COMMAND)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(_WAIT_S):
            while not holds():
                await asyncio.sleep(0.005)

    def play(self, story: Callable[[], Awaitable[None]]) -> None:
        async def played() -> None:
            try:
                await story()
            finally:
                await end_replicator(str(self.run), "")

        asyncio.run(played())


def fatal(what: str, error: BaseException) -> None:
    raise AssertionError(what) from error


@pytest.fixture
def make(short_path: Path, cgroup_base: str) -> Callable[[str], Bench]:
    return lambda module: Bench(short_path, cgroup_base, module)


def test_it_is_started_steered_and_ends_when_told(make: Callable[[str], Bench]) -> None:
    bench = make("db")

    async def story() -> None:
        replicator = bench.make()
        await replicator.start(bench.spec)
        assert [p.pid for p in bench.cgroup.processes()] == [replicator.pid]
        await bench.until(lambda: bench.heard)
        assert isinstance(bench.heard[0], Hello) and bench.heard[0].pid == replicator.pid
        replicator.send(Sync())
        await bench.until(lambda: Synced() in bench.heard)
        with pytest.raises(DefiniteFailure, match="runs already"):
            await replicator.start(bench.spec)
        await replicator.terminate()
        assert Idled() in bench.heard and bench.gone == [] and replicator.pid is None
        assert os.listdir(bench.run) == [] and not os.path.exists(bench.cgroup.directory)
        with pytest.raises(DefiniteFailure, match="not connected"):
            replicator.send(Sync())

    bench.play(story)


def test_it_is_started_without_its_log_where_that_cannot_be_opened(make: Callable[[str], Bench]) -> None:
    bench = make("db")
    bench.log.parent.write_text("in its way")

    async def story() -> None:
        replicator = bench.make()
        await replicator.start(bench.spec)
        await bench.until(lambda: bench.heard)
        assert isinstance(bench.heard[0], Hello) and str(bench.log.parent) in replicator.unlogged
        await replicator.terminate()
        bench.log.parent.unlink()
        await replicator.start(bench.spec)
        assert replicator.unlogged == ""
        await replicator.terminate()

    bench.play(story)


def test_it_can_be_told_something_from_its_first_word_on(make: Callable[[str], Bench]) -> None:
    """On the agent's own loop, where the greeting can be there before the connection's maker goes on."""
    bench = make("db")

    async def story() -> None:
        refused: list[DefiniteFailure] = []

        def heard(event: Event) -> None:
            bench.heard.append(event)
            if isinstance(event, Hello):
                try:
                    replicator.send(Sync())
                except DefiniteFailure as failure:
                    refused.append(failure)

        for n in range(_ADOPTIONS):
            bench.heard.clear()
            replicator = Replicator(str(bench.run), bench.cgroup, heard, bench.gone.append, COMMAND)
            await (replicator.start(bench.spec) if n == 0 else replicator.adopt())
            await bench.until(lambda: bench.heard[-1:] == [Synced()] or refused)
            assert refused == []
            replicator.release()

    async def played() -> None:
        try:
            await story()
        finally:
            await end_replicator(str(bench.run), "")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(played())


def test_its_end_is_told_once_with_how_it_came(make: Callable[[str], Bench]) -> None:
    bench = make("db")

    async def story() -> None:
        replicator = bench.make()
        await replicator.start(bench.spec)
        assert replicator.pid is not None
        os.kill(replicator.pid, signal.SIGKILL)
        await bench.until(lambda: bench.gone)
        await replicator.kill()
        assert bench.gone == ["killed by SIGKILL"]

    bench.play(story)


def test_another_agent_adopts_it_and_the_process_stays_the_same(make: Callable[[str], Bench]) -> None:
    bench = make("db")

    async def story() -> None:
        first = bench.make()
        await first.start(bench.spec)
        pid = first.pid
        first.release()
        assert await find_modules(str(bench.run.parent)) == ("db",)
        assert lives(str(bench.run)) and await answers(str(bench.run), bench.cgroup)
        bench.heard.clear()
        second = bench.make()
        assert await second.adopt() == bench.spec and second.pid == pid
        await bench.until(lambda: bench.heard)
        second.send(Sync())
        await bench.until(lambda: Synced() in bench.heard)
        await second.terminate()
        assert not lives(str(bench.run)) and not await answers(str(bench.run), bench.cgroup) and bench.gone == []

    bench.play(story)


def test_one_that_hangs_does_not_pass_for_one_that_lives(make: Callable[[str], Bench]) -> None:
    bench = make("db")

    async def story() -> None:
        first = bench.make()
        await first.start(bench.spec)
        pid = first.pid
        first.release()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        assert not await answers(str(bench.run), bench.cgroup)
        os.kill(pid, signal.SIGCONT)
        assert await answers(str(bench.run), bench.cgroup)

    bench.play(story)


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_it(make: Callable[[str], Bench]) -> None:
    bench = make("db")

    async def story() -> None:
        replicator = bench.make()
        await replicator.start(bench.spec)
        files = RunFiles(str(bench.run))
        record = files.read_pid()
        own = read_process(os.getpid())
        assert record is not None and own is not None
        await replicator.kill()
        files.write(files.pid, type(record)(os.getpid(), own.started_ticks + 1, record.cgroup))
        assert ReplicatorProcess.find(files) is None and await bench.make().adopt() is None

    bench.play(story)


def test_one_that_ends_at_once_is_a_failed_start_with_its_words_in_the_log(make: Callable[[str], Bench]) -> None:
    bench = make("broken")

    async def story() -> None:
        replicator = bench.make()
        with pytest.raises(DefiniteFailure, match="the replicator of broken ended"):
            await replicator.start(bench.spec)
        assert replicator.pid is None and "its directory is not there" in bench.log.read_text()
        assert bench.gone == []

    bench.play(story)


def test_one_that_takes_no_connection_is_killed(make: Callable[[str], Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make("mute")
    monkeypatch.setattr(replicators, "CONNECT_SECONDS", 0.3)

    async def story() -> None:
        replicator = bench.make()
        with pytest.raises(IndefiniteFailure, match="does not take our connection"):
            await replicator.start(bench.spec)
        assert replicator.pid is None and bench.cgroup.processes() == []

    bench.play(story)


def test_one_whose_application_the_kernel_refuses_to_kill_is_killed_all_the_same(make: Callable[[str], Bench]) -> None:
    bench = make("serving")

    async def refused() -> None:
        raise DefiniteFailure("killing the application: refused")

    async def story() -> None:
        hand = ReplicatorHand(
            bench.spec, str(bench.run), bench.cgroup, bench.memory, lambda _: None, bench.heard.append, lambda: None,
            refused, fatal, COMMAND,
        )  # fmt: skip
        hand.start("boot")
        await bench.until(lambda: bench.heard)
        await hand.kill()
        assert bench.cgroup.processes() == []

    bench.play(story)


def test_what_it_lost_before_a_new_agent_was_connected_to_it_is_known_before_the_next_one_is_started(
    make: Callable[[str], Bench],
) -> None:
    """The agent has read the boot id in effect, and the replicator notes another one, and ends (S8)."""
    bench = make("db")
    told: list[events.Event] = []

    async def nothing() -> None:
        pass

    async def story() -> None:
        former = bench.make()
        await former.start(bench.spec)
        former.release()
        read = bench.memory.boot_id()
        bench.memory.keep("boot+1")
        process = ReplicatorProcess.find(RunFiles(str(bench.run)))
        assert process is not None
        process.signal(signal.SIGKILL)
        assert await process.ended(_WAIT_S)
        hand = ReplicatorHand(
            bench.spec, str(bench.run), bench.cgroup, bench.memory, told.append, bench.heard.append, lambda: None,
            nothing, fatal, COMMAND,
        )  # fmt: skip
        bench.heard.clear()
        hand.start(read)
        await bench.until(lambda: told or bench.heard)
        assert [type(event) for event in told] == [events.ReplicatorGone], bench.heard
        assert "had lost its memory" in cast(events.ReplicatorGone, told[0]).reason
        hand.start(bench.memory.boot_id())
        await bench.until(lambda: bench.heard)
        assert cast(ReplicatorSpec, RunFiles(str(bench.run)).read_spec()).boot_id == "boot+1"
        await hand.kill()

    bench.play(story)


def test_one_that_does_not_end_when_told_is_killed(make: Callable[[str], Bench]) -> None:
    bench = make("deaf")

    async def story() -> None:
        replicator = bench.make()
        await replicator.start(bench.spec)
        await replicator.terminate(0.1)
        assert replicator.pid is None and bench.cgroup.processes() == [] and bench.gone == []

    bench.play(story)
